"""A tabulated curve against the curve itself, bends and limits included."""

import numpy as np
import pytest

from crsteps.persistence.curve_table import TOLERANCE, CurveTable
from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.power_law import Covariance
from crsteps.persistence.sparse_stimulus import StimulusDecay, stimulus_of
from crsteps.persistence.stimulus import (
    HST_WFC3_IR,
    ROMAN_WFI,
    ConstantCurve,
    FermiCurve,
    LinearCurve,
    TableCurve,
)

BENT = TableCurve([1e3, 1e4, 3e4, 1e5], [1e-4, 0.1, 0.11, 0.5], [1.3, 0.8, 1.1, 0.9])
CURVES = [
    ConstantCurve(0.3, 1.0),
    LinearCurve(0.3, 1.1, 8e4),
    HST_WFC3_IR,
    ROMAN_WFI,
    FermiCurve(norm=0.3, level=5e4, width=500.0, alpha=0.2, gamma=1.0),
    BENT,
    TableCurve(BENT.fluence, BENT.amplitude, BENT.gamma, interpolation="monotone"),
]
# of float32 amplitudes and slopes
ROUNDING = 3e-7


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("highest", [3e5, np.inf])
def test_it_is_as_good_as_the_curve(curve, highest):
    rng = np.random.default_rng(1)
    fluence = np.exp(rng.uniform(np.log(0.1), np.log(5e6), 200_000)).astype(np.float32)
    # bends, and the float32 numbers next to them
    bends = np.array([1e3, 1e4, 3e4, 5e4, 1e5, 16.0, 2.0**20], np.float32)
    fluence[:21] = [np.nextafter(b, b * s) for b in bends for s in np.float32([0.5, 1, 2])]
    amplitude, gamma = CurveTable(curve, highest=highest)(fluence)
    true_amplitude, true_gamma = curve(fluence.astype(np.float64))
    assert amplitude.dtype == gamma.dtype == np.float32
    np.testing.assert_allclose(amplitude, true_amplitude, rtol=TOLERANCE + ROUNDING, atol=1e-37)
    np.testing.assert_allclose(gamma, true_gamma, rtol=0, atol=TOLERANCE + ROUNDING)


@pytest.mark.parametrize("curve", CURVES)
def test_limits_are_those_of_the_curve(curve):
    fluence = np.array([np.nan, np.inf, -np.inf, -5.0, -0.0, 0.0, 1e-30, 1e30], np.float32)
    for found, expected in zip(CurveTable(curve)(fluence), curve(fluence), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert CurveTable(curve).reference_time == curve.reference_time


def test_the_curve_is_seldom_asked():
    """Else there would be no point."""

    class Counted:
        reference_time, asked = 1000.0, 0

        def __call__(self, fluence, *, exposure_time=None):
            self.asked += fluence.size
            assert exposure_time == 5.0
            return BENT(fluence)

    curve = Counted()
    table = CurveTable(curve, exposure_time=5.0, highest=1.2e5)
    curve.asked = 0
    table(np.random.default_rng(1).uniform(100, 1.2e5, 100_000).astype(np.float32))
    assert curve.asked < 200


def test_decay_of_many_pixels():
    """Pieces of a large stimulus are those of its parts, which are too small for a table."""
    rng = np.random.default_rng(2)
    shape = (600, 600)
    model = PersistenceModel(
        curve=BENT,
        amplitude_scale=rng.uniform(0.5, 1.5, shape).astype(np.float32),
        covariance=Covariance(0.01, 0.005, 0.002),
        saturation_level=1.2e5,
    )
    fluence = rng.uniform(0, 2e5, shape).astype(np.float32)
    stimulus = stimulus_of(fluence, model=model, source="a", end=0.0, duration=5.0)
    assert model.tabulated(1000) is model
    assert isinstance(model.tabulated(fluence.size).curve, CurveTable)
    pieces = [decay for decay, _ in StimulusDecay(stimulus, model, shape).pieces(50_000)]
    whole = model.decay(fluence, end=0.0)
    np.testing.assert_array_equal(np.concatenate([p.pixels for p in pieces]), whole.pixels)
    for name in ("amplitude", "gamma"):
        found = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_allclose(found, getattr(whole, name), rtol=2e-6)
    for i, expected in enumerate(whole.covariance):
        found = np.concatenate([np.broadcast_to(p.covariance[i], p.pixels.shape) for p in pieces])
        np.testing.assert_allclose(found, expected, rtol=4e-6)


def test_forgotten_pixels_may_stay_where_most_are_kept():
    fluence = np.array([5e4, 10.0, 6e4, 7e4], np.float32)
    model = PersistenceModel(curve=BENT)
    given = {"shape": (1, 4), "end": 0.0, "keep_most": True}
    decay = model.decay_of_pixels(np.arange(4), fluence, **given)
    assert list(decay.pixels) == [0, 1, 2, 3]
    assert decay.amplitude[1] == 0
    np.testing.assert_array_equal(decay.amplitude > 0, [True, False, True, True])
    few = model.decay_of_pixels(np.arange(4), np.float32([10.0, 10.0, 6e4, 10.0]), **given)
    assert list(few.pixels) == [2]
    unknown = model.decay_of_pixels(np.arange(4), np.float32([5e4, np.nan, 6e4, 7e4]), **given)
    assert list(unknown.pixels) == [0, 2, 3]
