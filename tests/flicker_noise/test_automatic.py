"""Automatic parameters against those that the jwst step chooses."""

import numpy as np
import pytest
from jwst.clean_flicker_noise import autoparam
from stdatamodels.jwst import datamodels

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.automatic import (
    ImageStatistics,
    choose_parameters,
    decide,
    measure_image,
)

SMALL = (200, 240)


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def sky(shape=SMALL, sigma=0.02):
    return 1 + sigma * np.random.default_rng(4).standard_normal(shape)


def crowded():
    image = sky()
    image[disc(SMALL, (100, 120), 60)] += 10
    return image


def gradient():
    return sky() + 1e-3 * np.arange(SMALL[1])


def crowded_gradient():
    image = gradient()
    image[disc(SMALL, (100, 120), 60)] += 10
    return image


def half_brighter():
    image = sky(sigma=1e-4)
    image[: SMALL[0] // 2] += 0.003
    return image


def discs_near_the_middle():
    image = sky(sigma=1e-4)
    image[disc(SMALL, (95, 115), 80)] += 0.01
    image[disc(SMALL, (105, 125), 80)] += 0.01
    return image


def with_missing_pixels():
    image = sky()
    image[:4] = image[100, 100:120] = np.nan
    return image


def steps():
    """Outputs side by side along the longer axis, as wide as those of a full frame."""
    level = np.repeat([0.0, 0.1, 0.2, 0.3], 512)
    return sky((96, 2048), 0.03) + level


SCENES = [sky, crowded, gradient, crowded_gradient, half_brighter, discs_near_the_middle]


def chosen_by_jwst(monkeypatch, image, exposure_type, readout, flat=None):
    """Parameters of the jwst step and the statistics it decides on."""
    model = datamodels.ImageModel(data=image.astype(np.float32))
    model.meta.subarray.slowaxis = readout.slow_axis
    monkeypatch.setattr(autoparam.cfn, "read_flat_file", lambda _model, _name: flat)
    statistics = []
    tree = autoparam._image_decision_tree

    def watched_tree(parameters, limits, *values):
        statistics.extend(values)
        tree(parameters, limits, *values)

    monkeypatch.setattr(autoparam, "_image_decision_tree", watched_tree)
    choose = {
        "NRC_IMAGE": autoparam.nircam_image_parameters,
        "NIS_IMAGE": autoparam.niriss_image_parameters,
    }[exposure_type]
    return choose(model, None if flat is None else "flat.fits"), statistics


def readout_of(exposure_type, shape):
    if exposure_type == "NRC_IMAGE":
        return Readout(shape=shape, fast_axis=1, slow_axis=-2)
    return Readout(shape=shape, fast_axis=-2, slow_axis=-1)


@pytest.mark.parametrize("with_flat", [False, True])
@pytest.mark.parametrize("exposure_type", ["NRC_IMAGE", "NIS_IMAGE"])
@pytest.mark.parametrize("scene", [*SCENES, with_missing_pixels], ids=lambda scene: scene.__name__)
def test_choice_and_statistics_are_those_of_the_jwst_step(
    scene, exposure_type, with_flat, monkeypatch
):
    image = scene()
    untouched = image.copy()
    readout = readout_of(exposure_type, SMALL)
    flat = sky(sigma=0.001).astype(np.float32) if with_flat else None
    theirs, their_statistics = chosen_by_jwst(monkeypatch, image, exposure_type, readout, flat)
    arguments = {"exposure_type": exposure_type, "readout": readout, "flat": flat}
    assert choose_parameters(image, **arguments) == theirs
    ours = measure_image(image, **arguments)
    fraction, offset, slope, ratio, scatter = their_statistics
    assert ours.masked_fraction == pytest.approx(fraction, abs=1e-12)
    assert ours.output_offset == offset
    assert ours.slope == pytest.approx(slope, rel=1e-3)
    assert ours.slope_ratio == pytest.approx(ratio, rel=1e-3)
    assert ours.output_scatter == pytest.approx(scatter, rel=1e-3)
    np.testing.assert_array_equal(image, untouched)


@pytest.mark.parametrize("exposure_type", ["NRC_IMAGE", "NIS_IMAGE"])
def test_steps_between_outputs(exposure_type, monkeypatch):
    image = steps() if exposure_type == "NRC_IMAGE" else steps().T
    readout = readout_of(exposure_type, image.shape)
    theirs, statistics = chosen_by_jwst(monkeypatch, image, exposure_type, readout)
    arguments = {"exposure_type": exposure_type, "readout": readout}
    assert choose_parameters(image, **arguments) == theirs
    offset = measure_image(image, **arguments).output_offset
    assert offset == pytest.approx(statistics[1], rel=1e-6)
    assert 0.09 < offset < 0.11
    assert theirs["fit_by_channel"]


@pytest.mark.parametrize("exposure_type", ["NRC_IMAGE", "NIS_IMAGE"])
def test_tree_is_that_of_the_jwst_step_everywhere(exposure_type):
    """All combinations of statistics below, at and above every limit."""
    name = "nircam" if exposure_type == "NRC_IMAGE" else "niriss"
    limits = {
        "nircam": [0.1, 0.07, 1e-5, 1e-5, 3.0, 0.02],
        "niriss": [0.07, 0.07, 1e-5, 1e-4, 5.0, 0.02],
    }[name]
    keys = ["mask_frac", "max_offset_high_mask", "max_slope_low_offset"]
    keys += ["max_slope_high_offset", "slope_ratio", "channel_sigma"]
    around = [0.5, 1.0, 2.0]
    combinations = np.array(np.meshgrid(around, [0, *around], [0.5, 1, 2, 10, 20], around, around))
    seen = set()
    for fraction, offset, slope, ratio, scatter in combinations.reshape(5, -1).T:
        statistics = ImageStatistics(
            fraction * limits[0],
            offset * limits[1],
            slope * 1e-5,
            ratio * limits[4],
            scatter * limits[5],
        )
        theirs = {}
        autoparam._image_decision_tree(
            theirs,
            dict(zip(keys, limits, strict=True)),
            statistics.masked_fraction,
            statistics.output_offset,
            statistics.slope,
            statistics.slope_ratio,
            statistics.output_scatter,
        )
        method, by_channel = decide(statistics, exposure_type)
        assert (method, by_channel) == (theirs["background_method"], theirs["fit_by_channel"])
        seen.add((method, by_channel))
    assert len(seen) == 4


def test_impossible_input():
    readout = readout_of("NRC_IMAGE", SMALL)
    with pytest.raises(ValueError, match="cannot be chosen for exposure type NRS_IFU"):
        choose_parameters(sky(), exposure_type="NRS_IFU", readout=readout)
    with pytest.raises(ValueError, match="no background pixel"):
        choose_parameters(np.full(SMALL, np.nan), exposure_type="NRC_IMAGE", readout=readout)
    with pytest.raises(ValueError, match="no background pixel"):
        choose_parameters(
            sky(),
            exposure_type="NRC_IMAGE",
            readout=readout,
            background_mask=np.zeros(SMALL, bool),
        )
