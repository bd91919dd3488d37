"""FITS files of simulated exposures."""

import numpy as np
import pytest
from astropy.io import fits

from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures
from crsteps.simulation.fits_exposures import write_fits_exposures


@pytest.fixture(scope="module")
def exposures():
    """Three small exposures with a bias level and a gain."""
    return simulate_fibre_exposures(equal_options(shape=(40, 60), gain=2.0, bias=300.0), seed=1)


def test_integers(exposures, tmp_path):
    paths = write_fits_exposures(exposures, tmp_path, stem="night")
    assert [path.name for path in paths] == ["night1.fits", "night2.fits", "night3.fits"]
    for path, image in zip(paths, exposures.data, strict=True):
        with fits.open(path, do_not_scale_image_data=True) as hdus:
            assert hdus[0].header["BITPIX"] == 16
            assert hdus[0].header["BZERO"] == 32768
        data, header = fits.getdata(path, header=True)
        assert np.abs(data - image).max() <= 0.5 + 1e-3
        assert (header["GAIN"], header["RDNOISE"], header["BIASLEV"]) == (2.0, 3.4, 300.0)


def test_floats_without_cosmic_rays(exposures, tmp_path):
    paths = write_fits_exposures(exposures, tmp_path, integers=False, cosmic_rays=False)
    np.testing.assert_array_equal(fits.getdata(paths[1]), exposures.cosmic_ray_free[1])
