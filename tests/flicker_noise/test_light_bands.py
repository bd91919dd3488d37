"""Bands of light along the dispersion, against the truth of simulated images."""

import numpy as np
import pytest

from crsteps.flicker_noise.light_bands import find_bands
from crsteps.flicker_noise.scene_mask import SceneMaskOptions, find_scene_mask

SHAPE = (512, 512)
IFU = {"gap_quantile": 0.15}


def slices(level, filled=0.7, spacing=64):
    """Bands of equal light, bent by four pixels, with sharp edges."""
    y, x = np.indices(SHAPE)
    row = y - 4 * (x / 256 - 1) ** 2
    return level * (row % spacing < filled * spacing)


def noise(rng, stripes=0.3):
    """White noise and stripes along y."""
    return rng.standard_normal(SHAPE) + stripes * rng.standard_normal((1, SHAPE[1]))


def traces(rng, n_traces=10, peak=0.6):
    """Faint spectra of both signs, in the middle half of the columns."""
    y, x = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for k in range(n_traces):
        centre = (k + rng.uniform(0.3, 0.7)) * SHAPE[0] / n_traces + 0.01 * (x - 256)
        image += peak * (-1) ** k * np.exp(-((y - centre) ** 2) / 2) * (np.abs(x - 256) < 128)
    return image


@pytest.mark.parametrize("filled", [0.2, 0.5, 0.75])
def test_slices_that_fill_the_field(filled):
    rng = np.random.default_rng(1)
    light = slices(0.8, filled)
    bands = find_bands(light + noise(rng) + 5, np.ones(SHAPE, bool), **IFU)
    assert bands[light > 0].mean() > 0.98
    assert bands[light == 0].mean() < 0.05 + 0.2 * filled  # both edges and a pixel beside


def test_outputs_have_levels_of_their_own():
    """Slices next to the edge of an output, whose noise lifts or lowers all of it."""
    rng = np.random.default_rng(1)
    light = slices(0.8)
    offsets = np.repeat(rng.choice([-2.0, 2.0], (4, SHAPE[1] // 64)), SHAPE[0] // 4, axis=0)
    image = light + noise(rng) + offsets.repeat(64, axis=1)
    bands = find_bands(image, np.ones(SHAPE, bool), n_outputs=4, **IFU)
    assert bands[light > 0].mean() > 0.98
    assert bands[light == 0].mean() < 0.2
    turned = find_bands(image.T, np.ones(SHAPE, bool), dispersion_axis=0, n_outputs=4, **IFU)
    np.testing.assert_array_equal(turned.T, bands)
    together = find_bands(image, np.ones(SHAPE, bool), **IFU)
    assert bands[light > 0].mean() > together[light > 0].mean() + 0.1


def test_slices_hide_in_the_sky_of_the_round_filters():
    rng = np.random.default_rng(2)
    light = slices(0.8)
    image = light + noise(rng)
    by_round_filters = find_scene_mask(image, options=SceneMaskOptions(stripe_axis=0))
    options = SceneMaskOptions(stripe_axis=0, dispersion_axis=1, gap_quantile=0.15)
    found = find_scene_mask(image, options=options)
    assert (~by_round_filters.mask)[light > 0].mean() > 0.5
    assert (~found.mask)[light > 0].mean() < 0.02
    assert found.mask[light == 0].mean() < 0.25


def test_faint_spectra_of_both_signs():
    rng = np.random.default_rng(3)
    light = traces(rng)
    image = light + noise(rng)
    bands = find_bands(image, np.ones(SHAPE, bool))
    assert bands[light > 0.3].mean() > 0.95
    assert bands[light < -0.3].mean() > 0.95
    np.testing.assert_array_equal(bands, find_bands(-image, np.ones(SHAPE, bool)))
    # Beyond the reach of the round filters.
    missed = ~find_scene_mask(image, options=SceneMaskOptions(stripe_axis=0)).mask
    assert missed[np.abs(light) > 0.3].mean() > 0.3


@pytest.mark.parametrize("options", [{}, IFU])
def test_noise_is_no_light(options):
    rng = np.random.default_rng(4)
    assert find_bands(noise(rng, 1.0), np.ones(SHAPE, bool), **options).mean() < 0.06


def test_dispersion_along_y_is_a_transposition():
    rng = np.random.default_rng(5)
    image, usable = slices(1.0) + noise(rng), rng.random(SHAPE) < 0.9
    np.testing.assert_array_equal(
        find_bands(image.T, usable.T, dispersion_axis=0, **IFU),
        find_bands(image, usable, dispersion_axis=1, **IFU).T,
    )


def test_unusable_pixels_are_not_used():
    rng = np.random.default_rng(6)
    image = noise(rng)
    usable = np.ones(SHAPE, bool)
    usable[100:110, :300] = False
    usable[rng.random(SHAPE) < 0.05] = False
    image[~usable] = rng.choice([1e6, np.nan], np.count_nonzero(~usable))
    assert find_bands(image, usable).mean() < 0.06
    assert not find_bands(image, np.zeros(SHAPE, bool)).any()


@pytest.mark.parametrize("shape", [(1, 1), (2, 70), (70, 2), (3, 65)])
def test_small_and_constant_images(shape):
    bands = find_bands(np.full(shape, 4.0), np.ones(shape, bool))
    assert bands.shape == shape
    assert not bands.any()


@pytest.mark.parametrize(
    ("stripe_axis", "rows"), [(1, slice(None)), (0, slice(0, 100))], ids=["stripes", "window"]
)
def test_bands_are_not_looked_for_where_they_cannot_be_told(stripe_axis, rows):
    rng = np.random.default_rng(7)
    image = (noise(rng, 0.0) + traces(rng, peak=20))[rows]
    plain = find_scene_mask(image, options=SceneMaskOptions(stripe_axis=stripe_axis))
    options = SceneMaskOptions(stripe_axis=stripe_axis, dispersion_axis=1, gap_quantile=0.15)
    np.testing.assert_array_equal(find_scene_mask(image, options=options).mask, plain.mask)
