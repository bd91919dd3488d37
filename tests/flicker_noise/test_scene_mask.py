"""The scene mask against the truth of simulated images."""

import numpy as np
import pytest

from crsteps.flicker_noise.line_levels import line_offsets, white_noise
from crsteps.flicker_noise.scene_mask import (
    SceneMaskOptions,
    find_scene_mask,
)

SHAPE = (640, 768)
N_OUTPUTS = 4
OVERHEAD = 12


def stripes(rng, rms, shape=SHAPE, n_outputs=N_OUTPUTS):
    """Noise of power 1/f in the order of reading, of each output by itself."""
    n_lines, width = shape[0], shape[1] // n_outputs
    n_ticks = n_lines * (width + OVERHEAD)
    frequency = np.fft.rfftfreq(n_ticks)
    frequency[0] = frequency[1]
    outputs = []
    for _ in range(n_outputs):
        modes = np.fft.rfft(rng.standard_normal(n_ticks)) / np.sqrt(frequency)
        stream = np.fft.irfft(modes, n_ticks).reshape(n_lines, -1)[:, :width]
        outputs.append(stream / stream.std())
    return rms * np.hstack(outputs)


def nebula(shape=SHAPE):
    y, x = np.indices(shape)
    return 4 * np.exp(-((y - 250) ** 2 + (x - 200) ** 2) / (2 * 150**2))


def stars_and_galaxies(rng, n_sources=180, shape=SHAPE):
    """Sources with Gaussian cores and wings, and exponential discs."""
    y, x = np.indices(shape, dtype=np.float32)
    image = np.zeros(shape)
    for i in range(n_sources):
        dy, dx = y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1])
        peak = 2 + 2 * rng.pareto(0.7)
        if i % 2:
            r2 = dy**2 + dx**2
            star = 0.97 * np.exp(-r2 / (2 * 1.06**2)) + 0.03 * (1 + r2 / 9) ** -1.5
            image += min(peak, 3e4) * star
        else:
            radius = np.sqrt((dy / rng.uniform(0.4, 1)) ** 2 + dx**2)
            image += min(peak, 50) * np.exp(-1.68 * radius / rng.uniform(3, 12))
    return image


def traces(rng, n_traces=12, shape=SHAPE):
    """Spectra along x with the negative ones of a nod."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for _ in range(n_traces):
        y0, start = rng.uniform(20, shape[0] - 20), rng.integers(0, 300)
        seen = (x >= start) & (x < start + 400)
        bow = 2e-5 * (x - 300) ** 2
        for sign, shift in ((1, 0), (-1, 12)):
            profile = np.exp(-((y - y0 - shift - bow) ** 2) / (2 * 1.3**2))
            image += sign * 10 ** rng.uniform(0.3, 2) * profile * seen
    return image


OPTIONS = SceneMaskOptions(n_outputs=N_OUTPUTS)


@pytest.mark.parametrize("rms", [0.0, 0.5, 1.0])
def test_stars_and_galaxies_are_covered(rms):
    rng = np.random.default_rng(5)
    scene = stars_and_galaxies(rng)
    noise = rng.standard_normal(SHAPE) + stripes(rng, rms)
    result = find_scene_mask(scene + nebula() + noise + 7, options=OPTIONS)
    assert result.mask[scene > 1].mean() > 0.97
    assert result.mask[scene < 0.02].mean() < 0.07
    # The line holds the rapid part of the noise, too, which the white noise does not leave out.
    assert np.median(result.sigma) == pytest.approx(1, abs=0.03 + 0.1 * rms)


@pytest.mark.parametrize("rms", [0.0, 0.5, 1.0])
def test_stripes_do_not_make_a_mask(rms):
    rng = np.random.default_rng(6)
    noise = rng.standard_normal(SHAPE) + stripes(rng, rms)
    result = find_scene_mask(noise + nebula(), options=OPTIONS)
    assert result.mask.mean() < 0.05
    assert result.background_fraction == pytest.approx(1 - result.mask.mean())
    # Nor does the mask cut the stripes.
    kept = noise[~result.mask]
    assert kept.std() == pytest.approx(noise.std(), rel=0.005)
    assert kept.mean() == pytest.approx(noise.mean(), abs=0.01)


def test_filtered_white_noise_has_the_noise_of_the_filter():
    rng = np.random.default_rng(7)
    result = find_scene_mask(rng.standard_normal((1024, 1024)))
    # Gaussian of width s: 1 / (2 s sqrt(pi)); binning and the removed sky take a little.
    expected = 2.3548 / (2 * np.sqrt(np.pi) * np.array([2.5, 6, 12]))
    np.testing.assert_allclose(result.filter_noise, expected, rtol=0.06)


def test_spectra_of_both_signs_are_covered():
    rng = np.random.default_rng(8)
    scene = traces(rng)
    noise = rng.standard_normal(SHAPE) + stripes(rng, 0.7, shape=SHAPE[::-1]).T
    options = SceneMaskOptions(stripe_axis=0, n_outputs=N_OUTPUTS)
    mask = find_scene_mask(scene + noise, options=options).mask
    assert mask[scene > 1].mean() > 0.97
    assert mask[scene < -1].mean() > 0.97


def test_sign_does_not_matter():
    rng = np.random.default_rng(9)
    image = stars_and_galaxies(rng, 60) + rng.standard_normal(SHAPE) + stripes(rng, 1.0) + 3
    image = image.astype(np.float32)
    image[rng.random(SHAPE) < 0.01] = np.nan
    np.testing.assert_array_equal(
        find_scene_mask(image, options=OPTIONS).mask,
        find_scene_mask(-image, options=OPTIONS).mask,
    )


def test_stripe_axis_is_a_transposition():
    rng = np.random.default_rng(10)
    image = stars_and_galaxies(rng, 60) + rng.standard_normal(SHAPE) + stripes(rng, 1.0)
    columns = find_scene_mask(image.T, options=SceneMaskOptions(stripe_axis=0, n_outputs=N_OUTPUTS))
    rows = find_scene_mask(image, options=OPTIONS)
    np.testing.assert_array_equal(columns.mask.T, rows.mask)
    np.testing.assert_array_equal(columns.sigma.T, rows.sigma)


def test_wings_of_a_saturated_star_are_covered():
    rng = np.random.default_rng(12)
    y, x = np.indices((256, 256)) - 128
    distance = np.hypot(y, x)
    image = 3e4 * (1 + distance**2 / 1.5**2) ** -1.5 + rng.standard_normal((256, 256))
    missing = distance < 4
    image[missing] = 1e6
    mask = find_scene_mask(image, missing=missing).mask
    assert mask[distance < 40].all()
    assert mask[distance > 100].mean() < 0.1


def test_trace_along_the_stripes_does_not_become_their_offset():
    rng = np.random.default_rng(13)
    trace = np.zeros((128, 512))
    trace[60:66] = 40
    offsets = np.repeat(rng.standard_normal((128, 1)), 512, axis=1)
    measured = line_offsets(
        (trace + offsets + rng.standard_normal(trace.shape)).astype(np.float32),
        np.ones(trace.shape, bool),
    )
    assert np.abs(measured[60:66]).max() < 4
    np.testing.assert_allclose(measured[:50, 0], offsets[:50, 0], atol=0.25)
    mask = find_scene_mask(trace + offsets + rng.standard_normal(trace.shape)).mask
    assert mask[60:66].all()


def test_white_noise_is_measured_under_stripes_and_alternating_columns():
    rng = np.random.default_rng(14)
    image = 3 * rng.standard_normal((256, 256)) + 50 * rng.standard_normal((256, 1))
    image[:, ::2] += 20
    image[:, 128:] *= 2
    sigma = white_noise(image.astype(np.float32), np.ones(image.shape, bool))
    assert sigma[:, :128].mean() == pytest.approx(3, rel=0.03)
    assert sigma[:, 128:].mean() == pytest.approx(6, rel=0.03)


def test_given_noise_replaces_the_measured_one():
    rng = np.random.default_rng(15)
    sigma = np.where(np.arange(256) < 128, 1.0, 5.0) * np.ones((256, 1))
    sigma[3, 4] = 0
    result = find_scene_mask(sigma * rng.standard_normal(sigma.shape), sigma=sigma)
    np.testing.assert_array_equal(result.sigma, sigma.astype(np.float32))
    assert result.mask[3, 4]
    assert result.mask.mean() < 0.05


def test_some_background_remains_in_every_block():
    rng = np.random.default_rng(16)
    y = np.indices((64, 256))[0]
    scene = 4.0 * (np.sin(2 * np.pi * y / 16) > 0.5)
    image = scene + rng.standard_normal(scene.shape)
    generous = SceneMaskOptions(dilation=8, smallest_background=0.2)
    mask = find_scene_mask(image, options=generous).mask
    for line in (0, 32):
        assert 0.2 <= (~mask[line : line + 32]).mean() < 0.3
    # What is given back is fainter than what was not.
    assert scene[~mask].mean() < 0.5 * scene.mean()
    starved = find_scene_mask(image, options=SceneMaskOptions(dilation=8, smallest_background=0))
    assert (~starved.mask).mean() < 0.1


def test_missing_pixels_are_masked_and_not_used():
    rng = np.random.default_rng(17)
    image = rng.standard_normal((128, 128))
    missing = np.zeros(image.shape, bool)
    missing[20:60, 30:50] = True
    image[missing] = 1e9
    image[90, 90] = np.nan
    before = image.copy()
    mask = find_scene_mask(image, missing=missing).mask
    assert mask[missing].all()
    assert mask[90, 90]
    assert mask[~missing].mean() < 0.05
    np.testing.assert_array_equal(image, before)


def test_without_a_usable_pixel_all_is_masked():
    result = find_scene_mask(np.full((70, 90), np.nan))
    assert result.mask.all()
    assert result.background_fraction == 0
    assert find_scene_mask(np.ones((70, 90)), missing=np.ones((70, 90), bool)).mask.all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 1), (1, 40), (33, 7)])
def test_small_and_constant_images(shape):
    image = np.full(shape, 4.0)
    result = find_scene_mask(image)
    assert not result.mask.any()
    assert result.mask.shape == result.sigma.shape == shape


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((2, 3, 4)), {}, "two axes"),
        (np.zeros((0, 4)), {}, "two axes"),
        (np.zeros((8, 9)), {"n_outputs": 4}, "4 outputs do not divide a line of 9 pixels"),
        (np.zeros((8, 9)), {"stripe_axis": 2}, "stripe_axis must be 0 or 1"),
        (np.zeros((8, 9)), {"n_outputs": 0}, "n_outputs must be at least 1"),
        (np.zeros((8, 9)), {"seed_sigma": (1.0, 2.0, 3.0)}, "must not be above seed_sigma"),
    ],
)
def test_mistakes(image, options, message):
    with pytest.raises(ValueError, match=message):
        find_scene_mask(image, options=SceneMaskOptions(**options))
