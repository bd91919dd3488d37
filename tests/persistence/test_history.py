"""Histories: any order gives the same, or is refused; nothing is forgotten that matters."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.persistence.correction import correct_rates
from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import CLOCK_TOLERANCE, History, stimulus_of
from crsteps.persistence.power_law import Covariance, rate
from crsteps.persistence.sparse_stimulus import Stimulus, StimulusDecay
from crsteps.persistence.stimulus import LinearCurve, TableCurve

SHAPE = (6, 8)
MODEL = PersistenceModel(
    LinearCurve(amplitude=0.5, gamma=1.0, reference_fluence=1e5),
    covariance=Covariance(0.01, 0.001, 0.0),
    saturation_level=1e5,
)
TIMES = GroupTimes.regular(4, n_frames=16, n_drops=4, frame_time=1.454)
MJD = 60000 * 86400.0


class SlicesOnly:
    """Array that can be read slice by slice only, like a variable of a file; it keeps a record."""

    def __init__(self, values):
        self._values = np.asarray(values)
        self.read = []

    def __len__(self):
        return len(self._values)

    def __getitem__(self, index):
        assert isinstance(index, slice)
        self.read.append((index.start, index.stop))
        return self._values[index]


def make_stimulus(seed, *, end=0.0, source=None, model=MODEL):
    """Return the stimulus of an exposure with some bright pixels, and its fluence."""
    rng = np.random.default_rng(seed)
    fluence = 10 ** rng.uniform(1, 5.2, SHAPE)
    fluence[rng.random(SHAPE) < 0.3] = np.nan
    fluence = fluence.astype(np.float32)
    source = source or f"exposure {seed}"
    return stimulus_of(fluence, model=model, source=source, end=end, duration=100.0), fluence


def predicted(history, start, *, model=MODEL):
    """Return the predicted rate of an exposure."""
    rates = np.zeros((1, *SHAPE), np.float32)
    decays = history.decays(model, start)
    return correct_rates(rates, decays=decays, times=TIMES, resets=[start]).rate


def test_stimulus_lists_pixels_worth_remembering():
    fluence = np.full(SHAPE, 10.0)
    fluence[1, 2], fluence[3, 4], fluence[5, 7], fluence[0, 0] = 5e4, np.inf, np.nan, -1e6
    stimulus = stimulus_of(fluence, model=MODEL, source="a", end=MJD, duration=30.0)
    assert list(stimulus.pixels) == [10, 28]
    np.testing.assert_array_equal(stimulus.fluence, np.float32([5e4, 1e5]))
    assert stimulus.pixels.dtype == np.int32
    assert stimulus.fluence.dtype == np.float32
    none = stimulus_of(np.zeros(SHAPE), model=MODEL, source="b", end=MJD, duration=30.0)
    assert none.pixels.size == 0
    assert History("DET11", SHAPE).add(none).stimuli == (none,)


def test_pieces_are_the_decay_of_the_image():
    """By channel, by pixel and over exposure times; the arrays are read once, in order."""
    rng = np.random.default_rng(4)
    model = PersistenceModel(
        TableCurve([1e3, 1e5], [[0.1, 0.5], [0.2, 0.9]], [[1.0, 1.1], [0.9, 1.0]], [10.0, 1000.0]),
        amplitude_scale=np.arange(1.0, 5.0),
        gamma_offset=rng.normal(0, 0.1, SHAPE),
        covariance=Covariance(np.arange(4.0), rng.uniform(0, 1, SHAPE), -0.01),
        saturation_level=1e5,
    )
    channels = np.arange(8) // 2
    fluence = rng.uniform(0, 2e5, SHAPE).astype(np.float32)
    expected = model.decay(fluence, end=MJD, channels=channels, exposure_time=100.0)
    pixels = np.flatnonzero(fluence)
    lazy = Stimulus("a", MJD, 100.0, SlicesOnly(pixels), SlicesOnly(fluence.ravel()))
    for given_channels in (channels, np.broadcast_to(channels, SHAPE)):
        pieces = list(StimulusDecay(lazy, model, SHAPE, given_channels).pieces(7))
        for name in ("pixels", "amplitude", "gamma"):
            together = np.concatenate([getattr(piece, name) for piece, _ in pieces])
            np.testing.assert_array_equal(together, getattr(expected, name))
        together = np.concatenate([piece.covariance.amplitude for piece, _ in pieces])
        np.testing.assert_array_equal(together, expected.covariance.amplitude)
        assert [n for _, n in pieces] == [7, 14, 21, 28, 35, 42, None]
        assert {piece.end for piece, _ in pieces} == {MJD}
    assert lazy.pixels.read == 2 * [(i, min(i + 7, 48)) for i in range(0, 48, 7)]
    assert lazy.fluence.read == lazy.pixels.read


@pytest.mark.parametrize(
    ("pixels", "fluence", "message"),
    [
        ([1, 3, 48], [1e4] * 3, "outside the shape"),
        ([-1, 3], [1e4] * 2, "outside the shape"),
        ([3, 3], [1e4] * 2, "ascending"),
        ([5, 3, 7], [1e4] * 3, "ascending"),
        ([1, 2], [1e4] * 3, "3 fluences for 2 pixels"),
    ],
)
def test_damaged_stimuli_are_refused(pixels, fluence, message):
    stimulus = Stimulus("exp 7", 0.0, 1.0, np.array(pixels), np.array(fluence, np.float32))
    with pytest.raises(ValueError, match=f"exp 7.*{message}|{message}.*exp 7|exp 7 has"):
        History("DET11", SHAPE).add(stimulus)
    history = History("DET11", SHAPE, (stimulus,))  # as from a file
    if message != "3 fluences for 2 pixels":
        with pytest.raises(ValueError, match=message):
            predicted(history, 1000.0)


def test_order_across_pieces_is_checked_too():
    stimulus = Stimulus("a", 0.0, 1.0, np.array([4, 5, 3, 6]), np.full(4, 1e4, np.float32))
    with pytest.raises(ValueError, match="ascending"):
        list(StimulusDecay(stimulus, MODEL, SHAPE).pieces(2))


def test_times_that_are_missing():
    stimulus, _ = make_stimulus(1)
    for end in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="has no end"):
            History("DET11", SHAPE).add(replace(stimulus, end=end))
    with pytest.raises(ValueError, match="has no start"):
        History("DET11", SHAPE).before(np.nan)


def test_exposures_show_what_had_ended():
    history = History("DET11", SHAPE)
    for seed, end in ((1, 0.0), (2, 500.0), (3, 1000.0), (4, 1e6)):
        history = history.add(make_stimulus(seed, end=MJD + end)[0])
    assert history.before(MJD - 100) == ()
    assert [s.source for s in history.before(MJD + 600)] == ["exposure 1", "exposure 2"]
    # times of start and end are rounded
    assert len(history.before(MJD + 1000 - CLOCK_TOLERANCE / 2)) == 3
    assert len(history.before(MJD + 1000 - 2 * CLOCK_TOLERANCE)) == 2
    # a stimulus in the future does not matter
    np.testing.assert_array_equal(
        predicted(history, MJD + 2000),
        predicted(replace(history, stimuli=history.stimuli[:3]), MJD + 2000),
    )


def test_any_order_of_adding_is_the_same():
    stimuli = [make_stimulus(i, end=MJD + 300.0 * (i // 2))[0] for i in range(4)]
    histories = []
    for order in permutations(stimuli):
        history = History("DET11", SHAPE)
        for stimulus in order:
            history = history.add(stimulus)
        histories.append(history)
    assert len({tuple(s.source for s in h.stimuli) for h in histories}) == 1
    images = [predicted(history, MJD + 1000) for history in histories]
    assert images[0].any()
    assert all(np.array_equal(image, images[0]) for image in images)


def test_adding_twice():
    stimulus, fluence = make_stimulus(1)
    history = History("DET11", SHAPE).add(stimulus)
    again = stimulus_of(fluence, model=MODEL, source="exposure 1", end=0.0, duration=100.0)
    assert history.add(again) is history
    for other in (
        replace(again, end=1.0),
        replace(again, duration=99.0),
        replace(again, fluence=again.fluence * np.float32(1.001)),
        replace(again, pixels=again.pixels[1:], fluence=again.fluence[1:]),
        replace(again, pixels=again.pixels[:0], fluence=again.fluence[:0]),
    ):
        with pytest.raises(ValueError, match="exposure 1 is in the history already"):
            history.add(other)


def test_late_stimulus_is_refused_if_it_matters():
    history = History("DET11", SHAPE).record("science", MJD + 1000.0)
    late, _ = make_stimulus(1, end=MJD + 900.0)
    with pytest.raises(ValueError, match="ended before science began"):
        history.add(late)
    # what ended later, and what left nothing, changes nothing
    assert len(history.add(make_stimulus(2, end=MJD + 1100.0)[0]).stimuli) == 1
    empty = replace(late, pixels=late.pixels[:0], fluence=late.fluence[:0])
    assert len(history.add(empty).stimuli) == 1
    # corrected again, later
    assert history.record("science", MJD + 1000.0).corrected == history.corrected


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(4)), st.booleans())
def test_out_of_order_is_the_same_or_refused(order, forget):
    """Four exposures, each corrected with what is known and then added, in any order."""
    exposures = [(f"e{i}", MJD + 400.0 * i, MJD + 400.0 * i + 300) for i in range(4)]
    stimuli = [
        make_stimulus(i, end=end, source=name)[0] for i, (name, _, end) in enumerate(exposures)
    ]
    whole = History("DET11", SHAPE)
    for stimulus in stimuli:
        whole = whole.add(stimulus)
    history = History("DET11", SHAPE)
    refused = ""
    for i in order:
        name, start, _ = exposures[i]
        try:
            image = predicted(history, start)
            if forget:
                history = history.forgotten(MODEL, start)
            history = history.record(name, start).add(stimuli[i])
        except ValueError as error:
            refused = str(error)
            break
        # what was not known then has to be refused when it comes
        if not any(j < i for j in order[order.index(i) :]):
            np.testing.assert_array_equal(image, predicted(whole, start))
    assert bool(refused) == (list(order) != sorted(order))
    assert not refused or "process" in refused  # what to do about it


def test_forgetting_changes_no_later_exposure():
    history = History("DET11", SHAPE)
    for i in range(5):
        history = history.add(make_stimulus(i, end=MJD + 1000.0 * i)[0])
    n_pixels = [len(s.pixels) for s in history.stimuli]
    shorter = history.forgotten(MODEL, MJD + 4200.0)
    assert all(len(s.pixels) < n for s, n in zip(shorter.stimuli[:4], n_pixels[:4], strict=True))
    for start in (MJD + 4200.0, MJD + 5000.0, MJD + 2e4):
        np.testing.assert_array_equal(predicted(shorter, start), predicted(history, start))
    with pytest.raises(ValueError, match="history was shortened"):
        shorter.before(MJD + 4100.0)
    # shortening for an earlier time does not bring anything back
    assert shorter.forgotten(MODEL, MJD).forgotten_until == MJD + 4200.0
    # exposures that were processed already are still known
    assert shorter.add(make_stimulus(1, end=MJD + 1000.0)[0]) is shorter
    nothing = history.forgotten(MODEL, MJD + 1e9)
    assert [len(s.pixels) for s in nothing.stimuli] == [0] * 5
    later = nothing.record("x", MJD + 2e9)
    assert later.add(make_stimulus(1, end=MJD + 1000.0)[0]) is later


def test_forgotten_pixels_are_those_below_the_rate():
    stimulus, _ = make_stimulus(3)
    history = History("DET11", SHAPE).add(stimulus)
    (kept,) = history.forgotten(MODEL, 2000.0).stimuli
    strength = rate(2000.0, amplitude=0.5 * stimulus.fluence.astype(float) / 1e5, gamma=1.0)
    np.testing.assert_array_equal(kept.pixels, stimulus.pixels[strength >= 0.01])
    np.testing.assert_array_equal(kept.fluence, stimulus.fluence[strength >= 0.01])
    # nothing to forget: the arrays are left as they are
    assert history.forgotten(MODEL, 20.0).stimuli[0] is stimulus
    later = history.add(make_stimulus(4, end=5000.0)[0]).forgotten(MODEL, 2000.0)
    assert len(later.stimuli[1].pixels) == len(make_stimulus(4)[0].pixels)


def test_empty_history():
    history = History("DET11", SHAPE)
    assert history.before(MJD) == history.decays(MODEL, MJD) == ()
    assert history.forgotten(MODEL, MJD).stimuli == ()
    assert not predicted(history, MJD).any()
