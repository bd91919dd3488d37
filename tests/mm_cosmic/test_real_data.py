"""Real exposures: five of a long-slit CCD spectrograph, and three nods of NIRSpec."""

import numpy as np
import pytest
from astropy.io import fits

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import scene
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.masks import find_cosmic_rays
from crsteps.mm_cosmic.step import MMCosmicStep

# Of the CCD: gain [e-/ADU] from the header; level and noise [ADU] from the first 20 columns, which
# see no light, less the dark current of 120 s.
GAIN, READ_NOISE, BIAS = 2.45, 2.21, 913.0


@pytest.fixture(scope="module")
def sprat(real_data):
    """Return the five exposures without bias."""
    paths = sorted((real_data / "sprat_5x120s").glob("v_e_*.fits.gz"))
    return np.array([fits.getdata(path).astype(np.float32) for path in paths]) - np.float32(BIAS)


@pytest.mark.parametrize("left_out", [0, 2])
def test_an_exposure_left_out_is_predicted_by_the_others(sprat, left_out):
    """Outside its mask it differs from them by noise alone; inside it has charge."""
    noise = ExposureNoise.from_gain(GAIN, READ_NOISE)
    result = find_cosmic_rays(sprat, noise=noise)
    model, mask = result.equivalence, result.exposure_masks[left_out]
    others = np.arange(5) != left_out
    stack = sprat[others]
    cleaned = combine(stack, find_cosmic_rays(stack, noise=noise), noise=noise, names=("meancr",))[
        "meancr"
    ]
    shift = [values[left_out] - values[others].mean() for values in (model.dx, model.dy)]
    expected = scene.shift_image(cleaned.data, *shift)
    expected = expected * (model.flux[left_out] / model.flux[others].mean())
    expected = expected + (model.offset[left_out] - model.offset[others].mean())
    gx, gy = scene.gradients(cleaned.data)
    variance = noise.variance(expected)[0] + cleaned.variance
    variance += model.relative_variance * cleaned.data**2
    variance += model.gradient_variance[0] * gx**2 + model.gradient_variance[1] * gy**2
    residual = (sprat[left_out] - expected) / np.sqrt(variance)
    assert abs(residual[~mask].mean()) < 0.05
    assert residual[~mask].std() == pytest.approx(1, abs=0.05)
    assert np.count_nonzero(np.abs(residual[~mask]) > 5) <= 3
    assert np.count_nonzero(residual[mask] > 5) > max(20, 0.7 * mask.sum())


def test_sprat_from_files_to_products(real_data, tmp_path):
    paths = sorted((real_data / "sprat_5x120s").glob("v_e_*.fits.gz"))
    result = MMCosmicStep.call(
        paths, bias=BIAS, rnoise=READ_NOISE, save_results=True, output_dir=str(tmp_path)
    )
    assert result.warnings == ()
    cleaned, plain = (
        fits.getdata(tmp_path / f"v_e_20180810_12_combined_{name}.fits")
        for name in ("meancr", "mean")
    )
    difference = plain - cleaned
    assert difference[result.meancrt].max() > 1000
    assert np.abs(difference[~result.meancrt]).max() < 15
    assert (tmp_path / "v_e_20180810_12_3_0_0_mmcr.fits").exists()


def test_nirspec_nods_from_files_to_products(real_data, tmp_path, caplog):
    paths = sorted((real_data / "nirspec_mos_nods").glob("*.fits"))
    flagged = MMCosmicStep.call(paths, save_results=True, output_dir=str(tmp_path))
    assert "pointings of the exposures differ" in caplog.text
    for model, path in zip(flagged, paths, strict=True):
        before, after = fits.getdata(path, "DQ"), model.dq
        changed = before != after
        assert 0 < changed.sum() < 0.05 * after.size
        np.testing.assert_array_equal(after[changed], before[changed] | 5)
        assert not np.any(before[changed] & 1)  # no data there: nothing to flag
    with fits.open(tmp_path / "jw01345062001_03101_combined_meancr.fits") as hdus:
        no_data = hdus["MAP"].data == 0
        assert np.all(hdus["DQ"].data[no_data] & 1)
        assert np.all(np.isfinite(hdus["SCI"].data[~no_data]))
        assert np.all(hdus["VARIANCE"].data[~no_data] > 0)
