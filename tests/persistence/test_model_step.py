"""Models from what reference files say, and their use in the units of the data."""

import numpy as np
import pytest

from crsteps.datamodels.persistence_reference import read_persistence, write_persistence
from crsteps.persistence.correction import correct_rates
from crsteps.persistence.correction_result import CorrectionOptions
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.model_step import in_data_units, in_electrons, model_of, read_model
from crsteps.persistence.report import correction_line, correction_measurements
from crsteps.persistence.stimulus import ConstantCurve, FermiCurve, LinearCurve, TableCurve

SHAPE = (8, 12)
META = {
    "instruments": ["NISP"],
    "description": "of a test",
    "pedigree": "DUMMY",
    "flight_calibrated": False,
}
LINEAR = {"kind": "linear", "amplitude": 2.0, "gamma": 0.9, "reference_fluence": 1e4}
TIMES = GroupTimes.regular(4, frame_time=1.5, n_frames=16, n_drops=4)


def written(path, **changes):
    """Write a reference of one detector, and return its path."""
    entry = {"curve": LINEAR, "reference_time": 500.0, "forgetting_rate": 0.02, "systematic": 0.1}
    write_persistence(path, {"DET11": {**entry, **changes}}, meta=META)
    return path


@pytest.mark.parametrize(
    ("curve", "wanted"),
    [
        ({"kind": "constant", "amplitude": 0.3, "gamma": 1.1}, ConstantCurve(0.3, 1.1, 500.0)),
        (LINEAR, LinearCurve(2.0, 0.9, 1e4, 500.0)),
        (
            {"kind": "fermi", "norm": 0.3, "level": 8e4, "width": 2e4, "alpha": 0.2, "gamma": 1.0},
            FermiCurve(0.3, 8e4, 2e4, 0.2, 1.0, reference_time=500.0),
        ),
        (
            {"kind": "table", "fluence": [1e3, 1e5], "amplitude": [0.1, 1.0], "gamma": [1.0, 0.8]},
            TableCurve([1e3, 1e5], [0.1, 1.0], [1.0, 0.8], reference_time=500.0),
        ),
    ],
)
def test_every_kind_of_curve(tmp_path, curve, wanted):
    path = written(tmp_path / "r.asdf", curve=curve, saturation_level=9e4)
    known = read_model(path, detector="DET11", shape=SHAPE)
    fluence = np.array([0.0, 2e3, 7e4, np.nan])
    np.testing.assert_array_equal(known.model.curve(fluence), wanted(fluence))
    assert known.model.curve.reference_time == 500.0
    assert (known.model.saturation_level, known.model.forgetting_rate) == (9e4, 0.02)
    assert known.systematic == 0.1
    assert known.channels is None


@pytest.mark.parametrize("axis", ["x", "y"])
def test_channels_of_a_window(tmp_path, axis):
    """Numbered over the whole detector."""
    path = written(tmp_path / "r.asdf", gamma_offset=[0.0, 0.1, 0.2, 0.3], channel_axis=axis)
    window = (slice(1, 5), slice(4, 12))
    whole = model_of(read_persistence(path, detector="DET11"), shape=SHAPE)
    part = read_model(path, detector="DET11", shape=SHAPE, window=window)
    decay = whole.model.decay(np.full(SHAPE, 1e5), end=0.0, channels=whole.channels)
    cut = part.model.decay(np.full((4, 8), 1e5), end=0.0, channels=part.channels)
    gamma = decay.gamma.reshape(SHAPE)
    along = gamma[0] if axis == "x" else gamma[:, 0]
    wanted = np.repeat([0.9, 1.0, 1.1, 1.2], len(along) // 4)
    np.testing.assert_allclose(along, wanted, rtol=1e-6)
    np.testing.assert_array_equal(cut.gamma.reshape(4, 8), gamma[window])


def test_units_of_the_data(tmp_path):
    """Corrected in units of 0.02 e-/s as in e-/s, with the same decisions."""
    covariance = {"amplitude": 0.04, "gamma": 0.01, "cross": -0.015}
    path = written(tmp_path / "r.asdf", covariance=covariance, gamma_offset=0.1)
    known = read_model(path, detector="DET11", shape=SHAPE)
    fluence = np.linspace(0, 1e4, 96, dtype=np.float32).reshape(SHAPE)
    options = CorrectionOptions(flag_rate=0.5, bad_rate=2.0, bad_significance=50.0)

    def corrected(model, chosen, factor):
        rates = np.full((1, *SHAPE), 7 / factor)
        result = correct_rates(
            rates,
            decays=[model.decay(fluence, end=0.0)],
            times=TIMES,
            resets=[40.0],
            options=chosen,
        )
        return rates * factor, result

    electrons, wanted = corrected(known.model, options, 1.0)
    units = 0.02
    data, result = corrected(*in_data_units(known.model, options, units), units)
    result = in_electrons(result, options, units)
    np.testing.assert_allclose(data, electrons, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.rate, wanted.rate, rtol=1e-6)
    np.testing.assert_allclose(result.variance, wanted.variance, rtol=1e-5)
    for name in ("subtracted", "persistence_flag", "bad_flag"):
        np.testing.assert_array_equal(getattr(result, name), getattr(wanted, name))
    assert result.fractions_before == wanted.fractions_before
    assert result.fractions_after == wanted.fractions_after
    assert result.thresholds == options.thresholds
    assert 0 < wanted.bad_flag.sum() < wanted.persistence_flag.sum() < 96

    line = correction_line("x", result, n_earlier=3)
    n_flagged, n_bad = wanted.persistence_flag.sum(), wanted.bad_flag.sum()
    assert line.startswith("x: persistence of 1 of 3 earlier exposures, subtracted in ")
    assert line.endswith(f"; {n_flagged} pixels flagged, {n_bad} not to be used")
    measured = correction_measurements(result, n_earlier=3)
    assert measured["fraction_before_0.1"]["value"] == wanted.fractions_before[0]
    assert measured["fraction_after_0.01"]["keyword"] == "PPA0010"
    assert measured["subtracted_fraction"]["value"] == wanted.subtracted.mean()
    assert all(len(m["keyword"]) <= 8 and len(m["comment"]) < 48 for m in measured.values())
