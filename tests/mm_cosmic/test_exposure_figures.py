"""Figures of flux factors and offsets, read back from their artists."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from crsteps.mm_cosmic.exposure_figures import plot_flux_factors, plot_offsets
from crsteps.mm_cosmic.flux_factors import FluxFactors
from crsteps.mm_cosmic.offsets import Offsets


@pytest.mark.parametrize("n", [1, 3, 4])
def test_each_exposure_has_its_ratios_its_curve_and_its_factor(n):
    random = np.random.default_rng(1)
    factors = FluxFactors(
        values=np.linspace(0.8, 1.2, n),
        errors=np.where(np.arange(n) == 1, np.nan, 0.01),
        warnings=(),
        histograms=random.integers(0, 9, (n, 10, 12)),
        ratio_edges=np.linspace(0.4, 1.6, 11),
        median_edges=np.geomspace(1, 1000, 13),
        levels=np.geomspace(2, 900, 5),
        ratios=random.uniform(0.8, 1.2, (n, 5)),
    )
    figure = Figure(layout="constrained")
    plot_flux_factors(figure, factors, unit="DN/s")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert len(panels) == n
    for i, axes in enumerate(panels):
        (mesh,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
        np.testing.assert_array_equal(np.nan_to_num(mesh.get_array()), factors.histograms[i])
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["flux factor"].get_ydata()[0] == factors.values[i]
        curve = lines["median ratio of equally many pixels"]
        np.testing.assert_array_equal(curve.get_ydata(), factors.ratios[i])
        error = "(not measured)" if i == 1 else "± 0.0100"
        assert axes.get_title(loc="left").endswith(error)
        assert axes.get_xlabel() == "median image [DN/s]"


def shifted_points():
    """Return a field of Gaussians, shifted by whole pixels (2, -1), and shifted back."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[:60, :80]
    centres = random.uniform([10, 10], [50, 70], (12, 2))
    image = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8) for cy, cx in centres)
    moved = np.roll(image, (-1, 2), axis=(0, 1))
    moved[0, 0] = np.nan
    return Offsets(
        values=np.array([[2.0, -1.0]]),
        reference=image.astype(np.float32),
        exposures=moved[None].astype(np.float32),
        registered=image[None].astype(np.float32),
    )


def test_the_cross_correlation_peaks_where_the_cross_stands():
    figure = Figure(layout="constrained")
    plot_offsets(figure, shifted_points(), origin=(100, 200))
    median, exposure, before, after, peak = figure.axes[:5]
    drawn = peak.images[0]
    left, _, bottom, _ = drawn.get_extent()
    row, column = np.unravel_index(np.argmax(drawn.get_array()), drawn.get_array().shape)
    assert (left + column + 0.5, bottom + row + 0.5) == (2, -1)
    assert [tuple(line.get_xydata()[0]) for line in peak.lines[-2:]] == [(2, -1)] * 2
    assert median.images[0].get_extent() == [100.5, 180.5, 200.5, 260.5]
    assert median.images[0].get_clim() == exposure.images[0].get_clim()
    low, high = before.images[0].get_clim()
    assert low == -high
    assert after.images[0].get_clim() == (low, high)
    assert np.abs(after.images[0].get_array()).max() == 0
    assert np.abs(before.images[0].get_array()).max() > 0.5


def test_equal_images_give_a_file(tmp_path):
    offsets = shifted_points()
    same = Offsets(offsets.values * 0, offsets.reference, *[offsets.reference[None]] * 2)
    plot_offsets(tmp_path / "offsets.png", same)
    assert (tmp_path / "offsets.png").read_bytes().startswith(b"\x89PNG")
