"""Fluence of exposures: what was known of the charge of each pixel at the end."""

import numpy as np
import pytest

from crsteps.persistence.exposure_stimuli import fluence_of_ramp, fluence_of_rate
from crsteps.persistence.group_charge import GroupTimes

TIMES = GroupTimes.regular(5, n_frames=4, n_drops=1, frame_time=10.0)
NONE = np.False_


def steady_ramp(rates):
    """Return the group means of steady light, (integrations, groups, 1, n), frame by frame."""
    rates = np.atleast_2d(np.asarray(rates, np.float64))
    groups = [
        [np.mean([rate * frame for frame in frames], axis=0) for frames in TIMES.frames]
        for rate in rates
    ]
    return np.array(groups)[:, :, np.newaxis]


def test_steady_light_reaches_its_charge_at_the_last_frame():
    rates = np.array([0.0, 3.0, 250.0, -2.0])
    fluence = fluence_of_ramp(steady_ramp(rates), saturated=NONE, unusable=NONE, times=TIMES)
    assert fluence.dtype == np.float32
    # the last of 24 frames of 10 s
    np.testing.assert_allclose(fluence, [rates * 240.0], rtol=1e-6)


def test_largest_of_the_integrations():
    ramp = steady_ramp([[1.0, 5.0, 2.0], [3.0, 4.0, 2.5]])
    fluence = fluence_of_ramp(ramp, saturated=NONE, unusable=NONE, times=TIMES)
    np.testing.assert_allclose(fluence, [[720.0, 1200.0, 600.0]], rtol=1e-6)


def test_last_usable_group_counts():
    ramp = steady_ramp([4.0, 4.0, 4.0, 4.0])
    ramp[0, 3:, 0, 1] = np.nan
    ramp[0, 4, 0, 2] = np.inf
    ramp[0, 1:, 0, 3] = 1e9  # spoilt, and flagged
    unusable = np.zeros(ramp.shape, bool)
    unusable[0, 1:, 0, 3] = True
    fluence = fluence_of_ramp(ramp, saturated=NONE, unusable=unusable, times=TIMES)
    np.testing.assert_allclose(fluence, 960.0, rtol=1e-6)


def test_saturated_pixels():
    ramp = steady_ramp([[1000.0] * 4, [10.0] * 4])
    saturated = np.zeros(ramp.shape, bool)
    saturated[0, 3:, 0, 1] = True
    saturated[0, 2, 0, 2] = True  # later groups were not flagged, but they are saturated
    saturated[0, :, 0, 3] = True
    ramp[saturated] = 6e4
    ramp[0, 2:, 0, 2] = 6e4
    level = fluence_of_ramp(ramp, saturated=saturated, unusable=NONE, times=TIMES)
    np.testing.assert_allclose(level, [[2.4e5, np.inf, np.inf, np.inf]], rtol=1e-6)
    carried_on = fluence_of_ramp(
        ramp, saturated=saturated, unusable=NONE, times=TIMES, saturated_as="extrapolated"
    )
    np.testing.assert_allclose(carried_on, [[2.4e5, 2.4e5, 2.4e5, np.inf]], rtol=1e-6)


def test_the_sooner_a_pixel_saturates_the_more_it_held():
    ramp = np.minimum(steady_ramp([400.0, 800.0, 1600.0]), 5e4)
    fluence = fluence_of_ramp(
        ramp, saturated=ramp >= 5e4, unusable=NONE, times=TIMES, saturated_as="extrapolated"
    )
    np.testing.assert_allclose(fluence, [[96e3, 192e3, 384e3]], rtol=1e-6)


def test_saturated_counts_even_if_unusable():
    ramp = steady_ramp([10.0, 10.0])
    flags = np.array([[True, False]])
    fluence = fluence_of_ramp(ramp, saturated=flags, unusable=np.True_, times=TIMES)
    np.testing.assert_array_equal(fluence, [[np.inf, np.nan]])
    rate = fluence_of_rate(np.ones((1, 2)), duration=3.0, saturated=flags, unusable=np.True_)
    np.testing.assert_array_equal(rate, [[np.inf, np.nan]])


def test_nothing_known():
    ramp = np.full((2, 5, 3, 4), np.nan, np.float32)
    assert np.isnan(fluence_of_ramp(ramp, saturated=NONE, unusable=NONE, times=TIMES)).all()
    one = steady_ramp([[1.0], [1.0]])
    one[1] = np.nan  # known in one of two integrations
    np.testing.assert_allclose(
        fluence_of_ramp(one, saturated=NONE, unusable=NONE, times=TIMES), 240.0, rtol=1e-6
    )


def test_single_group_and_inputs_stay():
    times = GroupTimes(([10.0, 20.0],))
    ramp = np.array([[[[30.0, np.nan]]]], np.float32)
    ramp.flags.writeable = False
    fluence = fluence_of_ramp(ramp, saturated=NONE, unusable=NONE, times=times)
    np.testing.assert_allclose(fluence, [[40.0, np.nan]])
    every_other = np.zeros((1, 5, 4, 6))[:, :, ::2, ::-1]
    assert fluence_of_ramp(every_other, saturated=NONE, unusable=NONE, times=TIMES).shape == (2, 6)


def test_fluence_of_rates():
    rate = np.array([[1.0, -2.0, np.nan, np.inf, 5.0, 6.0]])
    saturated = np.array([[False, False, True, False, True, False]])
    unusable = np.array([[False, False, False, False, False, True]])
    fluence = fluence_of_rate(rate, duration=100.0, saturated=saturated, unusable=unusable)
    assert fluence.dtype == np.float32
    np.testing.assert_array_equal(fluence, [[100.0, -200.0, np.inf, np.nan, np.inf, np.nan]])
    several = np.stack([rate, 2 * rate])
    fluence = fluence_of_rate(several, duration=100.0, saturated=saturated, unusable=unusable)
    np.testing.assert_array_equal(fluence, [[200.0, -200.0, np.inf, np.nan, np.inf, np.nan]])


def test_impossible_input():
    ramp = np.zeros((1, 5, 2, 2))
    with pytest.raises(ValueError, match='"clipped"'):
        fluence_of_ramp(ramp, saturated=NONE, unusable=NONE, times=TIMES, saturated_as="clipped")
    with pytest.raises(ValueError, match="5 groups"):
        fluence_of_ramp(ramp[:, 1:], saturated=NONE, unusable=NONE, times=TIMES)
    with pytest.raises(ValueError, match="saturated flags have the shape"):
        fluence_of_ramp(ramp, saturated=np.zeros((3, 2), bool), unusable=NONE, times=TIMES)
    for duration in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="duration"):
            fluence_of_rate(np.ones((2, 2)), duration=duration, saturated=NONE, unusable=NONE)
    with pytest.raises(ValueError, match=r"\(y, x\)"):
        fluence_of_rate(np.ones(3), duration=1.0, saturated=NONE, unusable=NONE)
