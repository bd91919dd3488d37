"""Small exposures on disk and in memory."""

import numpy as np
import pytest
from astropy.io import fits

SHAPE = (12, 16)


@pytest.fixture
def image():
    """Return a smooth image of positive integers, different at every pixel."""
    return (1000 + np.arange(np.prod(SHAPE)).reshape(SHAPE)).astype(np.int16)


@pytest.fixture
def three(tmp_path, image):
    """Return the paths of three plain FITS exposures with gain and read noise in the header."""
    paths = []
    for number in range(3):
        header = fits.Header({"GAIN": 2.0, "RDNOISE": 8.0, "OBJECT": f"exposure {number}"})
        path = tmp_path / f"x{number}.fits"
        fits.writeto(path, image + np.int16(number), header)
        paths.append(path)
    return paths


@pytest.fixture
def write_mef(tmp_path):
    """Return a function that writes a file of named extensions and returns its path."""

    def write(name, primary=None, **arrays):
        hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
        hdus += [fits.ImageHDU(array, name=key) for key, array in arrays.items()]
        path = tmp_path / name
        fits.HDUList(hdus).writeto(path)
        return path

    return write


@pytest.fixture
def jwst_model():
    """Return a function that makes a JWST image with a known noise law and WCS."""
    import gwcs
    from astropy import units
    from astropy.coordinates import ICRS
    from astropy.modeling.models import Shift
    from gwcs import coordinate_frames
    from stdatamodels.jwst import datamodels

    def make(seed=1, name="jw01_nrs1_rate.fits"):
        rng = np.random.default_rng(seed)
        signal = rng.uniform(0, 50, (40, 30)).astype(np.float32)
        model = datamodels.ImageModel(data=signal)
        model.var_rnoise = np.full_like(signal, 0.25)
        model.var_poisson = 0.02 * signal
        model.err = np.sqrt(model.var_rnoise + model.var_poisson)
        model.dq = np.zeros(signal.shape, np.uint32)
        model.dq[2, 3] = 1  # DO_NOT_USE
        model.dq[4, 5] = 4  # JUMP_DET alone leaves a value
        model.data[6, 7] = np.nan
        model.meta.filename = name
        model.meta.telescope = "JWST"
        model.meta.target.catalog_name = "a target"
        model.meta.bunit_data = "DN/s"
        detector = coordinate_frames.Frame2D(name="detector", unit=(units.pix, units.pix))
        sky = coordinate_frames.CelestialFrame(reference_frame=ICRS(), name="world")
        model.meta.wcs = gwcs.WCS([(detector, Shift(1.5) & Shift(-2.0)), (sky, None)])
        return model

    return make
