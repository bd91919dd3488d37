"""The noise law measured from variance arrays, against laws that made them."""

import numpy as np
import pytest

from crsteps.datamodels.noise import ccd_noise, variance_noise
from crsteps.errors import CrstepsInputError

READ_VARIANCE = 9.0
FACTOR = 0.4


@pytest.fixture
def scene():
    """Return an expected signal, half of it blank sky, and a realisation with its noise."""
    rng = np.random.default_rng(11)
    expected = np.where(rng.random((100, 120)) < 0.5, 0.0, rng.uniform(0, 400, (100, 120)))
    noise = rng.normal(size=expected.shape) * np.sqrt(READ_VARIANCE + FACTOR * expected)
    return expected, (expected + noise).astype(np.float32)


def test_variances_by_cause(scene):
    _, data = scene
    # as a pipeline makes them: from the measured signal, where it is positive
    poisson = FACTOR * np.fmax(data, 0)
    read, factor = variance_noise(
        data,
        var_rnoise=np.full(data.shape, READ_VARIANCE),
        var_poisson=poisson,
        var_flat=np.full(data.shape, 1.0),
    )
    assert factor == pytest.approx(FACTOR, rel=0.02)
    # the faint pixels are taken from noise peaks too: half a sigma of Poisson noise at most
    assert np.all((read >= 10.0) & (read < 10.5))
    assert read.dtype == np.float32


def test_subtracted_background_stays_in_the_variance(scene):
    expected, data = scene
    background = 50.0
    read, factor = variance_noise(
        data,
        var_rnoise=np.full(data.shape, READ_VARIANCE),
        var_poisson=FACTOR * (expected + background),
    )
    assert factor == pytest.approx(FACTOR, rel=0.05)
    np.testing.assert_allclose(read, READ_VARIANCE + FACTOR * background, rtol=0.05)


def test_bright_exposure_keeps_its_read_noise():
    # no faint pixel anywhere: nothing may be taken for a background
    rng = np.random.default_rng(3)
    data = rng.normal(1000, 20, (60, 60)).astype(np.float32)
    read, factor = variance_noise(data, var_rnoise=np.full(data.shape, 9.0), var_poisson=0.4 * data)
    np.testing.assert_array_equal(read, np.float32(9.0))
    assert factor == pytest.approx(0.4, rel=1e-5)


def test_factor_that_varies_along_a_calibrated_spectrum():
    rng = np.random.default_rng(4)
    truth = np.linspace(0.1, 0.5, 300) * np.ones((25, 1))
    data = rng.uniform(200, 400, truth.shape).astype(np.float32)
    data[:, 100:130] = 0.5  # nothing measurable here
    data[3, 20] = 1e6  # a cosmic ray that its variance does not follow
    _, factor = variance_noise(
        data, var_rnoise=np.full(data.shape, 9.0), var_poisson=truth * np.fmin(data, 400)
    )
    assert factor.shape == data.shape
    assert factor.dtype == np.float32
    # a block beside the gap is centred up to 8 pixels off, and the gap takes its neighbours
    slope = 0.4 / 300
    np.testing.assert_allclose(factor[:, 20:80], truth[:, 20:80], atol=2 * slope)
    np.testing.assert_allclose(factor, truth, atol=24 * slope)


def test_undefined_variances_mark_pixels(scene):
    _, data = scene
    rnoise = np.full(data.shape, READ_VARIANCE)
    rnoise[0, :4] = [0, np.nan, np.inf, -1]
    flat = np.zeros(data.shape)
    flat[1, :3] = [np.nan, np.inf, 2.0]
    read, factor = variance_noise(data, var_rnoise=rnoise, var_flat=flat)
    assert np.isnan(read[0, :4]).all()
    np.testing.assert_array_equal(read[1, :4], [9, 9, 11, 9])
    assert factor == 0.0


def test_error_array_alone(scene):
    expected, data = scene
    # the errors of a CCD reduction, from the measured signal
    err = np.sqrt(READ_VARIANCE + FACTOR * np.fmax(data, 0))
    read, factor = variance_noise(data, err=err)
    assert factor == pytest.approx(FACTOR, rel=0.02)
    assert np.median(read) == pytest.approx(READ_VARIANCE, rel=0.05)
    law = read + factor * expected
    truth = READ_VARIANCE + FACTOR * expected
    assert np.median(law / truth) == pytest.approx(1, rel=0.05)


def test_error_array_follows_no_cosmic_ray(scene):
    _, data = scene
    data[50, 60] = 5000.0
    err = np.sqrt(READ_VARIANCE + FACTOR * np.fmax(data, 0))
    read, _ = variance_noise(data, err=err)
    # of the variance 2009 of the hit pixel, at most the errors of the fit are left
    assert READ_VARIANCE / 5 < read[50, 60] < 40


def test_error_array_without_faint_pixels_is_taken_whole():
    data = np.full((40, 40), 1000.0, np.float32)
    read, factor = variance_noise(data, err=np.full(data.shape, 20.0))
    assert factor == 0.0
    np.testing.assert_array_equal(read, np.float32(400.0))


def test_error_array_marks_undefined_pixels(scene):
    _, data = scene
    err = np.full(data.shape, 3.0)
    err[0, :4] = [0, np.nan, np.inf, 1e30]
    read, _ = variance_noise(data, err=err)
    assert np.isnan(read[0, :4]).all()
    assert np.isfinite(read[1:]).all()


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_units_of_gain_and_read_noise(gain):
    """Noise in ADU of an image made in electrons, against its measured variance."""
    rng = np.random.default_rng(7)
    electrons, noise_electrons = 900.0, 12.0
    image = (rng.poisson(electrons, 200_000) + rng.normal(0, noise_electrons, 200_000)) / gain
    read_variance, factor = ccd_noise({"GAIN": gain, "RDNOISE": noise_electrons}, "x.fits")
    predicted = read_variance + factor * electrons / gain
    assert predicted == pytest.approx(image.var(), rel=0.02)


def test_malformed_keyword_is_named():
    with pytest.raises(CrstepsInputError, match=r"GAIN = 'high' of x.fits is not a positive"):
        ccd_noise({"GAIN": "high"}, "x.fits", rnoise=1)
