"""Times of the darks of a series and the signals in them."""

import numpy as np
import pytest

from crsteps.persistence.dark_series import DarkTimes
from crsteps.persistence.group_charge import GroupTimes, product_persistence
from crsteps.persistence.power_law import charge

MACC = GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454)


def test_signals_of_the_same_readout():
    times = DarkTimes.same_readout([30.0, 160.0, 1000.0], MACC)
    gamma = np.array([0.4, 1.0, 1.7])
    signals = times.unit_signals(gamma, reference_time=300.0)
    assert signals.shape == (3, 3)
    for column, delay in zip(signals.T, times.delays, strict=True):
        product = product_persistence(
            MACC, delay=delay, amplitude=np.ones(3), gamma=gamma, reference_time=300.0
        )
        np.testing.assert_allclose(column, product.rate * 87.24, rtol=1e-6)
    np.testing.assert_allclose(times.integration_times, 87.24)
    np.testing.assert_allclose(times.middles, times.delays + 1.454 * 38.5)
    assert times.centre == pytest.approx(np.sqrt(30 * (1000 + 1.454 * 76)))


def test_signals_of_intervals():
    starts, ends = [30.0, 500.0, 2000.0], [80.0, 900.0, 2001.0]
    times = DarkTimes.intervals(starts, ends)
    expected = charge(np.array(starts), np.array(ends), amplitude=1.0, gamma=1.3)
    np.testing.assert_allclose(times.unit_signals(1.3, reference_time=1000.0), expected)
    np.testing.assert_allclose(times.integration_times, [50, 400, 1])
    np.testing.assert_allclose(times.middles, [55, 700, 2000.5])
    assert times.n_darks == 3


@pytest.mark.parametrize(
    ("delays", "groups", "message"),
    [
        ([], (), "one time for each"),
        ([1.0, 2.0], (MACC,), "one time for each"),
        ([0.0], (MACC,), "after the end"),
        ([np.nan], (MACC,), "after the end"),
        ([1.0], (GroupTimes(([1.0],)),), "two groups"),
    ],
)
def test_impossible_series(delays, groups, message):
    with pytest.raises(ValueError, match=message):
        DarkTimes(delays, groups)
