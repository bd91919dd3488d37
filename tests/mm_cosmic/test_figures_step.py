"""What the functions that draw are given for each kind of result."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.figure import Figure

from crsteps.datamodels.exposures import Exposure
from crsteps.datamodels.mask_files import MaskFile
from crsteps.mm_cosmic import figures_step
from crsteps.mm_cosmic.figures_step import Figures
from crsteps.mm_cosmic.search_step import prepare
from crsteps.mm_cosmic.step import MMCosmicStep

HIT = (20, 30)
DRAWING = ("plot_expected_and_real", "plot_simulated_and_real", "plot_mm_diagram")


@pytest.fixture(scope="module")
def exposures():
    """Return three exposures of a varied scene, two of them hit in one pixel."""
    random = np.random.default_rng(6)
    scene = np.linspace(10, 400, 60 * 50).reshape(60, 50)
    stack = random.poisson(scene, (3, 60, 50)) + random.normal(0, 4, (3, 60, 50))
    stack[:2, *HIT] += 900
    missing = np.zeros((60, 50), bool)
    return [
        Exposure(image.astype(np.float32), missing, 16.0, 1.0, 0.0, fits.Header(), "x", "fits")
        for image in stack
    ]


@pytest.fixture
def figures(exposures):
    """Return a function that gives the figures of a search with parameters."""

    def make(given=None, **parameters):
        step = MMCosmicStep(**parameters)
        search = prepare(step, exposures).changed(given=given)
        return Figures(step, search, search.run(), unit="adu", title="night")

    return make


@pytest.fixture
def drawn(monkeypatch):
    """Let the functions that draw note what they are given."""
    calls = {}
    for name in DRAWING:
        monkeypatch.setattr(
            figures_step, name, lambda target, name=name, **given: calls.update({name: given})
        )
    return calls


def test_null_model_is_drawn_beside_the_pixels(figures, drawn):
    made = figures(mm_equivalence="none")
    made.draw_limit(None)
    (given,) = drawn.values()
    assert list(drawn) == ["plot_expected_and_real"]
    assert given["prior"] is made.result.prior
    signal, difference = given["boundary"]
    at_hit = np.interp(made.result.lowest[HIT], signal, difference)
    assert at_hit < (made.result.median - made.result.lowest)[HIT]
    assert (given["unit"], given["title"], given["n_exposures"]) == ("adu", "night", 3)


def test_simulated_diagram_is_drawn_with_its_fit(figures, drawn):
    made = figures(mm_boundary_fit="spline", mm_nsimulations=2, mm_threshold_rnoise=2.5)
    made.draw_limit(None)
    (given,) = drawn.values()
    assert list(drawn) == ["plot_simulated_and_real"]
    assert given["fit"] is made.result.diagram.boundary
    assert given["simulated"] is made.result.diagram.simulated
    assert given["threshold"] == pytest.approx(10)
    signal, difference = given["boundary"]
    np.testing.assert_array_equal(difference, given["fit"].evaluate(signal))


def test_without_comparison_there_is_no_limit(figures, drawn):
    made = figures(crmethod="pycosmic")
    made.draw_limit(None)
    assert list(drawn) == ["plot_mm_diagram"]
    assert made.boundary is None
    assert made.threshold is None


def test_given_masks_have_no_limit_and_no_codes(figures, drawn):
    flagged = np.zeros((60, 50), bool)
    flagged[HIT] = True
    empty = np.zeros((60, 50), bool)
    masks = MaskFile(
        np.stack([flagged, flagged, empty]), flagged, flagged, empty, None, None,
        np.empty((0, 4), int), fits.Header(),
    )  # fmt: skip
    made = figures(given=masks)
    made.draw_limit(None)
    assert list(drawn) == ["plot_mm_diagram"]
    np.testing.assert_array_equal(made.codes == 2, flagged)
    assert made.combined["mediancr"][HIT] == made.search.data[2][HIT]


def test_page_of_a_feature_fills_a_window(figures):
    made, window = figures(mm_equivalence="none"), Figure(figsize=(8, 5))
    y, x = (np.array([value]) for value in HIT)
    made.draw_feature(window, x, y, "feature 1 of 1")
    (image,) = window.axes[0].get_images()
    assert np.ptp(image.get_array()[..., :3].astype(int)) > 100
    assert made.pages.codes[HIT] == 2


def test_offsets_are_drawn_where_they_were_measured(figures, monkeypatch):
    given = {}
    monkeypatch.setattr(figures_step, "plot_offsets", lambda *a, **k: given.update(k))
    made = figures(mm_equivalence="none")
    made.step = SimpleNamespace(mm_crosscorr_region=["[5:40, 7:50]"])
    made.draw_offsets(None)
    assert given["origin"] == (4, 6)
