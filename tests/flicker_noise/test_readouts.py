"""Cleaning of detectors with other clocks and outputs than those of a full frame, against truth."""

from dataclasses import replace

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.cleaning import CleaningOptions, clean_ramp
from crsteps.simulation.flicker_ramps import FlickerRampOptions, simulate_flicker_ramps
from crsteps.simulation.flicker_scenes import SceneOptions

IRS2 = Readout(shape=(2048, 64), n_outputs=4, fast_axis=2, slow_axis=1, overhead=8, irs2=True)
ROMAN = Readout(shape=(64, 4096), n_outputs=32, fast_axis=1, slow_axis=2, overhead=0)
STRIPE = Readout(shape=(64, 2048), n_outputs=4, fast_axis=-1, slow_axis=2)
NARROW = Readout(shape=(16, 512), n_outputs=1, fast_axis=2, slow_axis=1)
BELOW_A_BIN = Readout(shape=(1024, 6), n_outputs=1, fast_axis=1, slow_axis=2)


def simulated(readout, **changes):
    options = FlickerRampOptions(
        readout=readout,
        scene=SceneOptions(kind="blank", sky=2.0),
        n_groups=4,
        common_rms=4.0,
        independent_rms=4.0,
        alternating_rms=0.0,
        read_noise=5.0,
        bad_fraction=0.0,
    )
    return simulate_flicker_ramps(replace(options, **changes), seed=7)


def flicker_left(ramps, readout, **options):
    """Rms of the flicker noise in the differences of groups, before and after, without the mean."""
    used = np.ones(readout.shape, bool)
    cleaned, _ = clean_ramp(
        ramps.data[0],
        flagged=ramps.groupdq[0] > 0,
        background_mask=used,
        readout=readout,
        options=CleaningOptions(**options),
    )
    before = np.diff(ramps.flicker[0], axis=0)
    after = np.diff(cleaned - (ramps.data[0] - ramps.flicker[0]), axis=0)
    return [float(np.std(x - x.mean(axis=(1, 2), keepdims=True))) for x in (before, after)]


@pytest.mark.parametrize(
    ("readout", "most"),
    [(IRS2, 0.61), (ROMAN, 0.61), (STRIPE, 0.59), (NARROW, 0.68), (BELOW_A_BIN, 0.67)],
    ids=["IRS2", "Roman", "stripe", "rows of 16 pixels", "rows of 6 pixels"],
)
def test_noise_is_removed_whatever_the_readout(readout, most):
    before, after = flicker_left(simulated(readout), readout)
    assert after < most * before


def test_the_clock_of_irs2_cleans_better_than_the_traditional_one():
    """By little, because 22 ticks for 16 pixels stretch a row nearly uniformly."""
    ramps = simulated(IRS2, alpha=0.8, independent_rms=0.0)
    traditional = replace(IRS2, irs2=False, overhead=12)
    _, right = flicker_left(ramps, IRS2)
    _, wrong = flicker_left(ramps, traditional)
    assert right < 0.995 * wrong


def test_alternating_columns_of_irs2_are_removed():
    ramps = simulated(IRS2, common_rms=0.0, independent_rms=0.0, alternating_rms=4.0)
    before, after = flicker_left(ramps, IRS2, alternating_columns=True)
    assert after < 0.61 * before
    _, left = flicker_left(ramps, IRS2, alternating_columns=False)
    assert left == pytest.approx(before, rel=0.03)
