"""Curves of the stimulus against published forms, tables against interpolation by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crsteps.persistence.stimulus import (
    HST_WFC3_IR,
    ROMAN_WFI,
    ConstantCurve,
    FermiCurve,
    LinearCurve,
    TableCurve,
)

TABLE = TableCurve(fluence=[1e3, 1e4, 1e5], amplitude=[0.001, 0.1, 0.2], gamma=[1.2, 1.0, 0.9])
CURVES = [
    ConstantCurve(0.3, 1.0),
    LinearCurve(0.3, 1.1, 8e4),
    HST_WFC3_IR,
    ROMAN_WFI,
    TABLE,
    TableCurve(TABLE.fluence, TABLE.amplitude, TABLE.gamma, interpolation="monotone"),
    TableCurve([2e4], [0.1], [1.0]),
]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_limits_of_all_curves(curve, dtype):
    fluence = np.array([[-500, 0, 1], [100, 50_000, 200_000]], dtype)
    amplitude, gamma = curve(fluence)
    assert amplitude.shape == gamma.shape == (2, 3)
    assert amplitude.dtype == gamma.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert np.all(amplitude[0, :2] == 0)
    assert np.all(np.isfinite(gamma))
    assert np.all(np.diff(amplitude.ravel()[1:]) >= 0)
    assert amplitude[1, 2] > 0
    if dtype != np.int32:
        amplitude, gamma = curve(np.array([np.nan, np.inf, -np.inf, 5e4], dtype))
        assert list(np.isnan(amplitude)) == list(np.isnan(gamma)) == [True, True, True, False]
    assert curve(5e4)[0].shape == ()


def test_hst():
    """Values of the formula P = norm (x/E_F)^alpha / (1 + exp((E_F - x)/kT)) by hand."""
    amplitude, gamma = HST_WFC3_IR([83400.0, 83400 + 18500.0, 40000.0])
    np.testing.assert_allclose(
        amplitude,
        [
            0.15,
            0.3 * (101900 / 83400) ** 0.159 / (1 + np.exp(-1)),
            0.3 * (40000 / 83400) ** 0.159 / (1 + np.exp(43400 / 18500)),
        ],
    )
    np.testing.assert_allclose(amplitude, [0.15, 0.22642, 0.02332], rtol=1e-3)
    assert np.all(gamma == 1.022)
    assert HST_WFC3_IR.reference_time == 1000


def test_roman():
    """Linear below the half well, continuous there, a Fermi distribution above."""
    fluence = np.array([1e4, 5e4 - 1e-6, 5e4, 6e4, 1e5])
    amplitude, gamma = ROMAN_WFI(fluence)
    half = 0.017 * (5 / 6) ** 0.045 / (1 + np.exp(0.2))
    above = 0.017 * (10 / 6) ** 0.045 / (1 + np.exp(-0.8))
    np.testing.assert_allclose(amplitude, [half / 5, half, half, 0.0085, above], rtol=1e-9)
    assert np.all(gamma == 1)


def test_fermi_curve_far_from_its_level():
    steep = FermiCurve(0.3, 8e4, 1.0, 0.1, 1.0)
    amplitude, _ = steep([1.0, 7.9e4, 1e6])
    np.testing.assert_allclose(amplitude, [0, 0, 0.3 * 12.5**0.1], atol=1e-300)


def test_linear():
    amplitude, gamma = LinearCurve(0.3, 1.1, 8e4)([4e4, 1.6e5])
    np.testing.assert_allclose(amplitude, [0.15, 0.6])
    assert np.all(gamma == 1.1)


def test_table_by_hand():
    amplitude, gamma = TABLE([500.0, 1e3, 10**3.5, 1e4, 10**4.5, 1e5, 1e9])
    expected = [0.0005, 0.001, 0.01, 0.1, np.sqrt(0.02), 0.2, 0.2]
    np.testing.assert_allclose(amplitude, expected)
    np.testing.assert_allclose(gamma, [1.2, 1.2, 1.1, 1.0, 0.95, 0.9, 0.9])


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=40))
def test_monotone_table_does_not_overshoot(fluence):
    curve = TableCurve(
        [10.0, 1e3, 1.1e3, 1e5],
        [1e-4, 0.1, 0.11, 0.11],
        [1.0, 1.0, 1.2, 1.3],
        interpolation="monotone",
    )
    amplitude, gamma = curve(np.sort(fluence))
    assert np.all(np.diff(amplitude) >= -1e-15)
    assert np.all(np.diff(gamma) >= -1e-15)
    assert amplitude.max() <= 0.11 * (1 + 1e-12)


@pytest.mark.parametrize("interpolation", ["linear", "monotone"])
def test_table_is_met_at_its_entries(interpolation):
    curve = TableCurve(TABLE.fluence, TABLE.amplitude, TABLE.gamma, interpolation=interpolation)
    amplitude, gamma = curve(TABLE.fluence)
    np.testing.assert_allclose(amplitude, TABLE.amplitude)
    np.testing.assert_allclose(gamma, TABLE.gamma)


def test_table_over_durations():
    curve = TableCurve(
        [1e4, 1e5], [[0.1, 0.2], [0.4, 0.8]], [[1.0, 1.0], [0.8, 0.6]], exposure_time=[10.0, 1000.0]
    )
    for duration, amplitude, gamma in (
        (1.0, [0.1, 0.2], [1, 1]),
        (10.0, [0.1, 0.2], [1, 1]),
        (100.0, [0.2, 0.4], [0.9, 0.8]),
        (5000.0, [0.4, 0.8], [0.8, 0.6]),
    ):
        value = curve([1e4, 1e5], exposure_time=duration)
        np.testing.assert_allclose(value[0], amplitude)
        np.testing.assert_allclose(value[1], gamma)
    for duration in (None, 0.0, np.nan):
        with pytest.raises(ValueError, match="duration"):
            curve([1e4], exposure_time=duration)
    single = TableCurve([1e4, 1e5], [[0.1, 0.2]], [[1.0, 1.1]], exposure_time=[10.0])
    np.testing.assert_allclose(single([1e5], exposure_time=3.0), [[0.2], [1.1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fluence": [1e4, 1e3, 1e5]}, "fluences"),
        ({"fluence": [0.0, 1e3, 1e5]}, "fluences"),
        ({"amplitude": [0.0, 0.1, 0.2]}, "positive amplitudes"),
        ({"gamma": [1.0, np.nan, 1.0]}, "finite slopes"),
        ({"gamma": [1.0, 1.0]}, "entries"),
        ({"interpolation": "cubic"}, "not known"),
        ({"exposure_time": [1.0, 2.0]}, "entries"),
        (
            {
                "exposure_time": [2.0, 1.0],
                "amplitude": np.ones((2, 3)),
                "gamma": np.ones((2, 3)),
            },
            "durations",
        ),
    ],
)
def test_impossible_tables(change, message):
    table = {"fluence": TABLE.fluence, "amplitude": TABLE.amplitude, "gamma": TABLE.gamma}
    with pytest.raises(ValueError, match=message):
        TableCurve(**table | change)


def test_impossible_curves():
    with pytest.raises(ValueError, match="positive"):
        LinearCurve(0.3, 1.0, 0.0)
    with pytest.raises(ValueError, match="positive"):
        FermiCurve(0.3, 8e4, 0.0, 0.1, 1.0)
