"""Questions at the terminal: when they are asked, and what the answers change."""

import logging
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.errors import CrstepsInputError
from crsteps.mm_cosmic import interactive_step
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.interactive_step import Session, open_session
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays

SINGLE, TRACK = (20, 30), (slice(40, 43), 12)


@dataclass(frozen=True)
class FakeSearch:
    """What a session needs of a search."""

    data: tuple
    options: MMCosmicOptions
    diagram: DiagramOptions | None

    def changed(self, **changes):
        return replace(self, **changes)


@pytest.fixture
def null_search():
    """Return a search with the null model, of three exposures."""
    return FakeSearch((None, None, None), MMCosmicOptions(), None)


@pytest.fixture
def diagram_search(null_search):
    """Return a search with a simulated diagram."""
    return replace(null_search, diagram=DiagramOptions())


@pytest.fixture(scope="module")
def result():
    """Return masks with two features: a pixel and a short track hit in two exposures."""
    random = np.random.default_rng(3)
    stack = random.normal(100.0, 5.0, (3, 60, 50)).astype(np.float32)
    for place in (SINGLE, TRACK):
        stack[:2, *place] += 500
    found = find_cosmic_rays(stack, noise=ExposureNoise.from_gain(1e6, 5.0))
    assert found.mediancr.sum() >= 4
    return found


def answering(*answers):
    """Return a function like input, with these answers; the prompts are its attribute."""
    remaining, prompts = list(answers), []

    def ask(prompt):
        prompts.append(prompt)
        if not remaining:
            raise EOFError
        return remaining.pop(0)

    ask.prompts, ask.remaining = prompts, remaining
    return ask


def closed_window(draw, keys, title):
    """Stand for a window that was closed without a key."""


def pressing(*keys):
    """Return a function that stands for windows in which these keys are pressed."""
    remaining = list(keys)
    return lambda draw, allowed, title: remaining.pop(0)


# --- when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "display", "words"),
    [(False, True, "no terminal"), (True, False, "no display"), (True, True, None)],
)
def test_nothing_is_asked_where_nobody_can_answer(monkeypatch, caplog, terminal, display, words):
    monkeypatch.setattr(interactive_step.sys, "stdin", SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr(interactive_step, "windows_can_be_shown", lambda: display)
    caplog.set_level(logging.INFO, logger=interactive_step.log.name)
    session = open_session(SimpleNamespace(interactive=True))
    assert (session is None) == (words is not None)
    assert [words in message for message in caplog.messages] == ([True] if words else [])


def test_nothing_is_asked_unless_wanted(monkeypatch):
    monkeypatch.setattr(interactive_step.sys, "stdin", None)
    assert open_session(SimpleNamespace(interactive=False)) is None
    assert open_session(SimpleNamespace(interactive=True)) is None  # as under a scheduler


# --- the limit of detection ----------------------------------------------------------------------


@pytest.mark.parametrize("key", ["c", None])
def test_going_on_changes_nothing(diagram_search, key):
    ask = answering("")  # a closed window asks, and an empty answer goes on
    assert Session(ask, pressing(key)).revise(diagram_search, None) is None
    assert len(ask.prompts) == (key is None)


def test_exit_ends_the_run(null_search):
    with pytest.raises(CrstepsInputError, match="nothing was written"):
        Session(answering("x"), closed_window).revise(null_search, None)


def test_refit_asks_for_what_the_fit_depends_on(diagram_search):
    ask = answering("f", "3", "piecewise", "7", "", "", "[0, 20], [500, 60, 10]")
    changed = Session(ask, closed_window).revise(diagram_search, None)
    assert changed.diagram == replace(
        diagram_search.diagram,
        hist2d_min_neighbors=3,
        boundary_fit="piecewise",
        knots_splfit=7,
        fixed_points=((0.0, 20.0), (500.0, 60.0, 10.0)),
    )
    assert not ask.remaining


def test_impossible_answers_are_asked_again(diagram_search, capsys):
    wrong = ("many", "9", "spline", "5", "5", "2", "-")  # a word; then more neighbours than eight
    right = ("8", "", "", "", "", "")
    ask = answering("f", *wrong, *right)
    changed = Session(ask, closed_window).revise(diagram_search, None)
    assert changed.diagram == replace(diagram_search.diagram, hist2d_min_neighbors=8)
    told = capsys.readouterr().out
    assert "'many' is not understood" in told
    assert "hist2d_min_neighbors must be a whole number, 0 to 8" in told
    assert not ask.remaining


def test_rerun_asks_for_what_the_simulation_depends_on(diagram_search):
    ask = answering("nbinom", "25", "", "4")
    changed = Session(ask, pressing("r")).revise(diagram_search, None)
    assert changed.diagram == replace(
        diagram_search.diagram, photon_distribution="nbinom", nbinom_shape=25.0, nsimulations=4
    )


def test_null_model_has_its_own_questions(null_search):
    ask = answering("r", "f", "0", "0.02", "0.5", "0.02")  # there is nothing to simulate again
    changed = Session(ask, closed_window).revise(null_search, None)
    assert changed.options == MMCosmicOptions(false_pixels=0.5, grow_probability=0.02)


def test_a_closed_terminal_goes_on(diagram_search):
    """Standard input that ends while it is read from is no endless loop."""
    assert Session(answering(), closed_window).revise(diagram_search, None) is None
    changed = Session(answering(), pressing("f")).revise(diagram_search, None)
    assert changed == diagram_search


# --- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "first", "second"),
    [
        (("", ""), True, True),
        (("n", "y"), False, True),
        (("y", "n"), True, False),
        (("a",), True, True),
        (("s",), False, False),
        (("Y", "s"), True, False),
        (("what", "n", "A"), False, True),
    ],
)
def test_refused_features_leave_all_masks(result, answers, first, second):
    ask, shown = answering(*answers), []
    draw = lambda figure, x, y, title: shown.append((x, y, title))  # noqa: E731
    show = lambda draw_window, keys, title: draw_window(None)  # noqa: E731
    verified = Session(ask, show).verify(result, draw)
    assert not ask.remaining
    for place, kept in ((SINGLE, first), (TRACK, second)):
        assert np.all(verified.mediancr[place] == kept)
        assert np.all(verified.meancrt[place] == kept)
        assert np.all(verified.exposure_masks[:2, *place] == kept)
        assert np.all((verified.codes[place] > 0) == kept)
        assert result.mediancr[place].all()
    x, y, title = shown[0]
    assert (y[0], x[0], title) == (*SINGLE, "feature 1 of 2")


def test_flags_of_single_hits_stay(result):
    verified = Session(answering("s"), closed_window).verify(result, None)
    assert not verified.mediancr.any()
    np.testing.assert_array_equal(verified.exposure_masks, result.exposure_masks & ~result.mediancr)
