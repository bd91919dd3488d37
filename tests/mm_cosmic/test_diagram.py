"""Options and images of the median-minimum diagram."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.mm_cosmic.diagram import DiagramOptions, diagram_images


@given(
    st.integers(3, 7),
    st.integers(2, 6),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 0.9]),
)
@settings(max_examples=40, deadline=None)
def test_images_are_those_of_each_pixel_alone(n, coincidences, seed, missing):
    coincidences = min(coincidences, n - 1)
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 10, (n, 3, 4)).astype(np.float32)
    data[rng.uniform(size=data.shape) < missing] = np.nan
    before = data.copy()
    images = diagram_images(data, cr_coincidences=coincidences)
    for y, x in np.ndindex(3, 4):
        values = np.sort(data[:, y, x][np.isfinite(data[:, y, x])].astype(float))
        assert images.n_usable[y, x] == values.size
        if values.size == 0:
            expected = [np.nan] * 4
        else:
            lowest = values[: max(values.size - coincidences, 1)]
            expected = [lowest.mean(), np.median(values), values.mean(), values[-1]]
        found = [getattr(images, name)[y, x] for name in ("lowest", "median", "mean", "highest")]
        assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)
    assert np.array_equal(data, before, equal_nan=True)
    assert images.lowest.dtype == images.median.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cr_coincidences", 1),
        ("cr_coincidences", 3),
        ("cr_coincidences", 2.5),
        ("photon_distribution", "gauss"),
        ("nbinom_shape", 0.0),
        ("synthetic", "mean"),
        ("nsimulations", 0),
        ("seed", -1),
        ("hist2d_min_neighbors", 9),
        ("ydiag_max", -1.0),
        ("bins", "even"),
        ("boundary_fit", "line"),
        ("knots_splfit", 1),
        ("niter_boundary_extension", -1),
        ("weight_boundary_extension", 0.5),
        ("threshold_rnoise", float("nan")),
        ("minimum_max2d_rnoise", -1.0),
        ("dilation", True),
        ("fixed_points", ((1.0,),)),
        ("fixed_points", ((1.0, np.inf),)),
        ("fixed_points", ((1.0, 2.0, 0.0),)),
    ],
)
def test_options_without_a_meaning_are_refused_by_name(name, value):
    DiagramOptions().check(3)
    with pytest.raises(ValueError, match=name):
        replace(DiagramOptions(), **{name: value}).check(3)


@pytest.mark.parametrize("points", [(), ((1, 2),), ((1, 2), (1, 3))])
def test_straight_lines_need_two_points(points):
    options = DiagramOptions(boundary_fit="piecewise", fixed_points=points)
    with pytest.raises(ValueError, match="piecewise needs two"):
        options.check(3)
    DiagramOptions(boundary_fit="piecewise", fixed_points=((1, 2), (2, 3))).check(3)
    DiagramOptions(seed=None, ydiag_max=0, cr_coincidences=3).check(4)
