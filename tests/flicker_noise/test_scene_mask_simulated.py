"""The scene mask of simulated exposures against the true one."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.flicker_noise.line_levels import typical_noise
from crsteps.flicker_noise.scene_mask import SceneMaskOptions, find_scene_mask
from crsteps.flicker_noise.slope import flagged_reads, mean_difference
from crsteps.simulation import flicker_ramps

SEED = 12
SMALL = (384, 512)


def masked(ramps, **options):
    """Own mask of an exposure, from the mean of its integrations."""
    readout = ramps.options.readout
    axis = 1 if abs(readout.fast_axis) == 1 else 0
    noise = typical_noise(ramps.data[0, 1] - ramps.data[0, 0], stripe_axis=axis)
    return find_scene_mask(
        mean_difference(ramps.data, [flagged_reads(dq) for dq in ramps.groupdq]),
        image_noise=noise,
        options=SceneMaskOptions(stripe_axis=axis, n_outputs=readout.n_outputs, **options),
    ).mask


def compare(ramps, **options):
    """Part of the background that is masked, and of the scene that is not."""
    mask, true = masked(ramps, **options), ramps.scene_mask
    return mask[~true].mean(), (~mask)[true].mean()


def simulated(preset, shape=None, seed=SEED, scene=None, **changes):
    options = preset(**changes)
    if shape:
        options = replace(options, readout=replace(options.readout, shape=shape))
    return flicker_ramps.simulate_flicker_ramps(
        replace(options, scene=replace(options.scene, **(scene or {}))), seed=seed
    )


@pytest.mark.parametrize(
    ("preset", "shape", "hidden", "missed"),
    [
        (flicker_ramps.nirspec_sub512, None, 0.17, 0.01),
        (flicker_ramps.nirspec_sub2048, (32, 1024), 0.17, 0.01),
        (flicker_ramps.nircam_stripe, (256, 512), 0.06, 0.03),
        (flicker_ramps.niriss_soss, (256, 512), 0.25, 0.06),
    ],
    ids=["sub512", "sub2048", "stripe", "soss"],
)
def test_windows_of_time_series(preset, shape, hidden, missed):
    got = compare(simulated(preset, shape))
    assert got[0] < hidden
    assert got[1] < missed


def test_many_integrations_do_not_hide_the_background_under_harmless_wings():
    few = simulated(flicker_ramps.nirspec_sub512, n_integrations=10)
    many = simulated(flicker_ramps.nirspec_sub512, n_integrations=80)
    assert masked(many).mean() < masked(few).mean() + 0.03


def test_faintest_light_that_stays_is_set():
    ramps = simulated(flicker_ramps.nirspec_sub512)
    light = np.abs(ramps.scene.sources) / ramps.white_sigma
    # A tenth of the noise of a difference of groups, and half of it.
    assert light[~masked(ramps)].max() < 0.2
    assert 0.2 < light[~masked(ramps, faintest=0.5)].max() < 0.8


@pytest.mark.parametrize(
    ("preset", "quantile", "hidden", "missed"),
    [(flicker_ramps.nirspec_mos, 0.5, 0.2, 0.01), (flicker_ramps.nirspec_ifu, 0.15, 0.25, 0.05)],
    ids=["mos", "ifu"],
)
def test_spectra_of_a_full_frame(preset, quantile, hidden, missed):
    scene = {"n_sources": 12 if preset is flicker_ramps.nirspec_mos else 10}
    ramps = simulated(preset, (680, 512), scene=scene)
    got = compare(ramps, dispersion_axis=1, gap_quantile=quantile)
    assert got[0] < hidden
    assert got[1] < missed


@pytest.mark.parametrize("n_sources", [150, 1500])
def test_light_left_in_the_background_of_a_sparse_and_a_crowded_field(n_sources):
    ramps = simulated(flicker_ramps.nircam_full, SMALL, scene={"n_sources": n_sources, "nebula": 0})
    left = ramps.scene.sources[~masked(ramps)].mean()
    true = ramps.scene.sources[~ramps.scene_mask].mean()
    # The true mask covers what is above a tenth of the noise; crowded, it covers everything.
    assert left < {150: 1.3, 1500: 5.0}[n_sources] * true
    assert masked(ramps).mean() < {150: 0.35, 1500: 0.6}[n_sources]


def test_sky_gradient_and_steps_between_amplifiers_are_no_sources():
    ramps = simulated(flicker_ramps.nircam_full, SMALL, scene={"n_sources": 100, "nebula": 0})
    mean = mean_difference(ramps.data, [flagged_reads(dq) for dq in ramps.groupdq])
    y, x = np.indices(SMALL)
    options = SceneMaskOptions(n_outputs=4)
    plain = find_scene_mask(mean, options=options).mask
    stepped = mean + 6.0 * np.array([0, 1, -1, 2])[x // 128]
    assert np.mean(plain != find_scene_mask(stepped, options=options).mask) < 0.001
    slanted = find_scene_mask(mean + 0.01 * x + 0.01 * y, options=options).mask
    background = ~ramps.scene_mask
    assert slanted[background].mean() < plain[background].mean() + 0.03
    assert slanted[~background].mean() > plain[~background].mean() - 0.02


def bright_star(shape, flux):
    """Core, halo falling with the third power, six bright spikes and two faint ones."""
    y, x = np.indices(shape, dtype=float)
    dx, dy = x - shape[1] / 2, y - shape[0] / 2
    halo = (1 + (dx**2 + dy**2) / 1.5**2) ** -1.5
    image = 0.9 * halo / halo.sum()
    for angle in (30, 90, 150, 210, 270, 330, 0, 180):
        strength = 0.1 / 6 * (0.2 if angle % 180 == 0 else 1.0)
        direction = np.deg2rad(angle)
        along = np.maximum(dx * np.cos(direction) + dy * np.sin(direction), 0)
        across = dy * np.cos(direction) - dx * np.sin(direction)
        image += strength * (along > 0) * np.exp(-(across**2) / 2.9) / (1 + along / 3) ** 2 / 9
    return flux * image


@pytest.mark.parametrize("flux", [1e5, 1e6])
def test_spikes_and_saturated_core_of_a_bright_star(flux):
    shape = (512, 512)
    rng = np.random.default_rng(3)
    star = bright_star(shape, flux)
    # Saturated in the first or second of five groups: no difference is left.
    missing = star > 25000
    image = star + rng.standard_normal(shape) * np.sqrt(1.34**2 + star / 7.2)
    image += 0.5 * rng.standard_normal((shape[0], 1))
    image[missing] = np.nan
    mask = find_scene_mask(image, image_noise=5.4, options=SceneMaskOptions(n_outputs=4)).mask
    light = star / 5.4
    assert mask[light > 0.5].mean() > 0.999
    assert mask[light > 0.2].mean() > 0.97
    assert mask[light < 0.03].mean() < 0.08


def test_typical_noise_leaves_out_stripes_sources_and_missing_pixels():
    rng = np.random.default_rng(4)
    image = 3 * rng.standard_normal((600, 400)) + 30 * rng.standard_normal((600, 1))
    image[:, ::2] += 20
    image[rng.random(image.shape) < 0.03] = 1e5
    image[rng.random(image.shape) < 0.03] = np.nan
    assert typical_noise(image, stripe_axis=1) == pytest.approx(3, rel=0.12)
    assert typical_noise(image.T, stripe_axis=0) == typical_noise(image, stripe_axis=1)
    assert typical_noise(np.full((5, 5), np.nan), stripe_axis=1) == 0
    assert typical_noise(np.zeros((5, 1)), stripe_axis=1) == 0
