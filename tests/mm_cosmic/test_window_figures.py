"""Windows: whether there can be any, and the keys that close them."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backend_bases import KeyEvent
from matplotlib.figure import Figure

from crsteps.mm_cosmic.window_figures import draw_rendered, show_until_key, windows_can_be_shown


@pytest.fixture(autouse=True)
def without_windows(monkeypatch):
    """Let pyplot draw into memory."""
    before = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def test_a_backend_of_files_shows_no_windows():
    assert not windows_can_be_shown()


@pytest.mark.parametrize("backend", ["tkagg", "qtagg", "gtk4agg"])
def test_a_toolkit_without_display_shows_no_windows(backend, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("matplotlib.get_backend", lambda: backend)
    assert not windows_can_be_shown()
    assert pyplot.get_backend().lower() == "agg"


@pytest.mark.parametrize(("pressed", "answer"), [("fc", "f"), ("zX", "x"), ("z", None), ("", None)])
def test_the_first_key_that_answers_closes_the_window(monkeypatch, pressed, answer):
    shown = []

    def press(*, block):
        assert block
        figure = pyplot.gcf()
        shown.append(figure)
        for key in pressed:
            figure.canvas.callbacks.process(
                "key_press_event", KeyEvent("key_press_event", figure.canvas, key)
            )

    monkeypatch.setattr(pyplot, "show", press)
    before = dict(pyplot.rcParams)
    drawn = []
    assert show_until_key(drawn.append, "frcx", "diagram") == answer
    assert drawn == shown
    assert not pyplot.get_fignums()
    assert dict(pyplot.rcParams) == before


def test_a_finished_figure_fills_the_window():
    page, window = Figure(figsize=(2, 1)), Figure(figsize=(4, 2))
    page.add_axes((0, 0, 1, 1)).imshow(np.eye(4), aspect="auto")
    draw_rendered(window, page)
    (image,) = window.axes[0].get_images()
    assert image.get_array().shape == (100, 200, 4)
    assert len(np.unique(image.get_array()[..., 0])) >= 2
