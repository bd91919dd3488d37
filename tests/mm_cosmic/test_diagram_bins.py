"""Bins of the axes of the diagram, against NumPy's histograms with the same edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crsteps.mm_cosmic.diagram_bins import N_BINS, adapted_bins, even_bins


def bins_of(kind, low, high, values):
    if kind == "adapted":
        return adapted_bins(low, high, unit=4.0, values=values)
    return even_bins(low, high, unit=4.0 if kind == "arcsinh" else np.inf, overflow=True)


@pytest.mark.parametrize("kind", ["even", "arcsinh", "adapted"])
@given(st.integers(0, 10**6), st.floats(10, 1e5))
@settings(max_examples=25, deadline=None)
def test_values_are_found_in_the_bins_of_the_edges(kind, seed, high):
    rng = np.random.default_rng(seed)
    values = rng.exponential(high / 5, 3000).astype(np.float32)
    bins = bins_of(kind, 0.0, high, values)
    assert np.all(np.diff(bins.edges) > 0)
    assert bins.edges[[0, -1]] == pytest.approx([0, high], rel=1e-6)
    # Values on an edge belong to either side by rounding.
    scale = np.arcsinh(values / 4) if kind != "even" else values / high
    edges = np.arcsinh(bins.edges / 4) if kind != "even" else bins.edges / high
    clear = np.abs(scale[:, None] - edges).min(axis=1) > 1e-5
    values = values[clear & (values < high)]
    found = np.bincount(bins.find(values), minlength=bins.n_bins)
    assert np.array_equal(found, np.histogram(values, bins.edges)[0])


def test_values_beyond_the_axis():
    outside = np.array([-5, 3, 20], dtype=np.float32)
    assert even_bins(0, 10).find(outside).tolist() == [0, 30, N_BINS - 1]
    assert even_bins(0, 10, overflow=True).find(outside).tolist() == [0, 30, N_BINS]


def test_half_of_the_adapted_bins_go_with_the_number_of_values():
    rng = np.random.default_rng(1)
    values = rng.uniform(100, 150, 10000)
    bins = adapted_bins(0, 1e4, unit=4.0, values=values)
    inside = np.count_nonzero((bins.edges >= 100) & (bins.edges <= 150))
    assert 48 <= inside <= 54
    # The same value again and again cannot be divided.
    one = adapted_bins(0, 1e4, unit=4.0, values=np.full(1000, 105.0))
    assert one.n_bins < 60
    assert np.all(np.diff(one.edges) > 0)
