"""What is found in the median-minimum diagram, on exposures whose cosmic rays are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crsteps.mm_cosmic import simulated_diagram
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.diagram_masks import find_in_diagram, rising_features
from crsteps.mm_cosmic.offsets import shift_image

NOISE = {"gain": 1.0, "read_noise": 4.0}
# Many simulations of few pixels: the boundary is the upper end of what was drawn.
OPTIONS = DiagramOptions(dilation=0, nsimulations=30)
PLACE = (slice(20, 22), slice(30, 33))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(simulated_diagram, "_N_EXTENT_SETS", 500)


def exposures(scene=None, *, factors=(1, 1, 1), seed=8):
    """Exposures of a scene with read noise 4 and the photon noise of gain 1."""
    rng = np.random.default_rng(seed)
    if scene is None:
        scene = np.tile(np.geomspace(3, 3000, 90), (70, 1))
    return np.array(
        [rng.poisson(scene * f) + rng.normal(0, 4, scene.shape) for f in factors], dtype=np.float32
    )


def only_pixels(*places, shape=(70, 90)):
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def few_others(mask, hit, most=3):
    """All pixels that were hit and at most a few others."""
    return mask[hit].all() and np.count_nonzero(mask & ~hit) <= most


@pytest.mark.parametrize("bins", ["adapted", "uniform"])
def test_hits_in_two_exposures_are_found_in_the_median_and_both(bins):
    data = exposures()
    data[:2, *PLACE] += 300
    data[2, 50, 10] += 500
    before = data.copy()
    found = find_in_diagram(data, **NOISE, options=replace(OPTIONS, bins=bins))
    two, single = only_pixels(PLACE), only_pixels((50, 10))
    assert few_others(found.median, two)
    # The boundary is that of the median: single exposures exceed it more often.
    assert few_others(found.exposures[0], two, most=20)
    assert few_others(found.exposures[1], two, most=20)
    assert few_others(found.exposures[2], single, most=20)
    assert few_others(found.mean, two | single)
    assert np.array_equal(data, before)
    assert found.lowest == pytest.approx(data.min(axis=0))
    assert found.median_image == pytest.approx(np.median(data, axis=0))
    assert found.boundary.converged
    assert not found.warnings


def test_hits_in_three_of_five_exposures():
    data = exposures(factors=(1, 1, 1, 1, 1))
    data[[0, 2, 4], *PLACE] += 300
    found = find_in_diagram(data, **NOISE, options=replace(OPTIONS, cr_coincidences=3))
    assert few_others(found.median, only_pixels(PLACE))
    assert [mask[PLACE].all() for mask in found.exposures] == [True, False, True, False, True]


def test_exposures_without_cosmic_rays_have_few_flags():
    found = find_in_diagram(exposures(np.full((200, 200), 40.0)), **NOISE, options=OPTIONS)
    assert np.count_nonzero(found.median) <= 4
    assert np.count_nonzero(found.mean) <= 1


def test_dilation():
    data = exposures()
    data[:2, 20, 30] += 300
    found = find_in_diagram(data, **NOISE, options=replace(OPTIONS, dilation=2))
    around = only_pixels((slice(18, 23), slice(28, 33)))
    assert found.median[around].all()
    assert few_others(found.median, around, most=50)
    assert np.array_equal(found.exposures[0] & around, around)


def test_thresholds_in_units_of_the_read_noise():
    data = exposures(np.full((70, 90), 40.0))
    data[:2, 20, 30] += 100
    for name, limit in (("threshold_rnoise", 20.0), ("minimum_max2d_rnoise", 30.0)):
        assert find_in_diagram(data, **NOISE, options=OPTIONS).median[20, 30]
        low = replace(OPTIONS, **{name: limit})
        assert find_in_diagram(data, **NOISE, options=low).median[20, 30]
        high = replace(OPTIONS, **{name: 2 * limit})
        assert not find_in_diagram(data, **NOISE, options=high).median.any()


def test_missing_pixels_are_neither_flagged_nor_used():
    data = exposures()
    data[:2, *PLACE] += 300
    data[0, 20, 30] = np.nan  # beside flagged ones
    data[:, 40:45, 3:9] = np.nan
    data[1, 60, 60] = np.inf
    data[:2, 61, 20] = [np.nan, data[1, 61, 20] + 500]  # hit in one of two usable exposures
    found = find_in_diagram(data, **NOISE, options=replace(OPTIONS, dilation=1))
    missing = ~np.isfinite(data)
    assert not (found.exposures & missing).any()
    assert not (found.median & missing.all(axis=0)).any()
    assert not (found.mean & missing.all(axis=0)).any()
    assert found.exposures[1][PLACE].all()
    assert found.median[61, 20]  # the median of two is as wrong as one of them
    assert found.simulated.n_pixels == np.count_nonzero(~missing.any(axis=0))
    assert np.array_equal(np.isnan(found.median_image), missing.all(axis=0))


def test_what_is_not_to_be_cleaned_is_neither_flagged_nor_simulated():
    data = exposures()
    data[:2, *PLACE] += 300
    data[:2, 50, 50] += 300
    clean = ~only_pixels((slice(15, 25), slice(25, 40)))
    options = replace(OPTIONS, dilation=1)
    found = find_in_diagram(data, **NOISE, to_be_cleaned=clean, options=options)
    assert found.median[50, 50]
    for mask in (found.median, found.mean, *found.exposures):
        assert not mask[~clean].any()
    assert found.simulated.n_pixels == np.count_nonzero(clean)


def test_pixels_of_single_image_detectors_are_not_simulated():
    data = exposures()
    data[:2, 0:2, :] += 300
    masks = [only_pixels((slice(i, i + 2), slice(0, 90))) for i in (0, 10, 20, 30)]
    masks[0] |= only_pixels((slice(40, 50), 5))  # does not rise above the noise: no cosmic ray
    found = [SimpleNamespace(mask=mask, cleaned=None) for mask in masks]
    auxiliary = SimpleNamespace(median=found[0], mean=None, exposures=found[1:])
    options = replace(OPTIONS, threshold_rnoise=30.0)
    result = find_in_diagram(data, **NOISE, auxiliary=auxiliary, options=options)
    assert result.simulated.n_pixels == 62 * 90


def test_features_that_rise():
    mask = only_pixels((2, slice(3, 6)), (3, 6), (8, 8), (12, slice(0, 4)))
    image = np.zeros(mask.shape)
    image[3, 6], image[8, 8], image[20, 20], image[12, 2] = 5, 2, 9, np.nan
    kept = rising_features(mask, image, 3.0)
    assert np.array_equal(kept, only_pixels((2, slice(3, 6)), (3, 6)))


@pytest.mark.parametrize("applied_to", ["simulated", "original"])
def test_flux_factors(applied_to):
    factors = np.array([1.0, 0.7, 1.4])
    data = exposures(factors=factors)
    data[:2, *PLACE] += 3000
    told = find_in_diagram(
        data, **NOISE, flux_factors=factors, apply_flux_factor_to=applied_to, options=OPTIONS
    )
    assert few_others(told.median, only_pixels(PLACE))
    # Not told of the factors, it takes the differences for cosmic rays.
    assert np.count_nonzero(find_in_diagram(data, **NOISE, options=OPTIONS).median) > 300
    if applied_to == "original":
        assert told.median_image[:, :60] == pytest.approx(
            np.median(data / factors[:, None, None], axis=0)[:, :60], rel=1e-5
        )


def test_offsets():
    y, x = np.mgrid[:70, :90]
    scene = 20 + 3000 * np.exp(-0.5 * ((x - 45 - 5 * np.sin(y / 9)) / 1.5) ** 2)
    offsets = np.array([[0.0, 0.0], [0.6, 0.0], [-0.6, 0.0]])
    rng = np.random.default_rng(5)
    shifted = [np.maximum(shift_image(scene, dx, dy), 0) for dx, dy in offsets]
    data = np.array([rng.poisson(s) + rng.normal(0, 4, s.shape) for s in shifted])
    data[:2, *PLACE] += 800
    told = find_in_diagram(data, **NOISE, offsets=offsets, options=OPTIONS)
    assert told.median[PLACE].all()
    wrong = [
        np.count_nonzero(found.median & ~only_pixels(PLACE))
        for found in (told, find_in_diagram(data, **NOISE, options=OPTIONS))
    ]
    assert wrong[0] <= 5
    assert wrong[1] > 50


def test_exposures_simulated_from_themselves():
    # Exposures that differ as nothing describes; cleaned, each is its own expectation.
    base = np.tile(np.geomspace(30, 3000, 90), (70, 1))
    scenes = [base * (1 + 0.4 * np.sin(np.arange(90) / k)) for k in (3, 5, 7)]
    rng = np.random.default_rng(2)
    data = np.array([rng.poisson(s) + rng.normal(0, 4, s.shape) for s in scenes])
    data[:2, *PLACE] += 1500
    no = np.zeros((70, 90), dtype=bool)
    auxiliary = SimpleNamespace(
        median=SimpleNamespace(mask=no, cleaned=None),
        exposures=[SimpleNamespace(mask=no, cleaned=s.astype(np.float32)) for s in scenes],
    )
    counts = []
    for synthetic in ("single", "median"):
        options = replace(OPTIONS, synthetic=synthetic)
        found = find_in_diagram(data, **NOISE, auxiliary=auxiliary, options=options)
        counts.append(np.count_nonzero(found.median & ~only_pixels(PLACE)))
        assert found.median[PLACE].all()
    assert counts[0] <= 5
    assert counts[1] > 100


def test_straight_lines_as_the_boundary():
    data = exposures(np.full((70, 90), 40.0))
    data[:2, 20, 30] += 100
    data[:2, 50, 30] += 300
    line = replace(OPTIONS, boundary_fit="piecewise", fixed_points=((0, 200), (100, 200)))
    found = find_in_diagram(data, **NOISE, options=line)
    assert np.argwhere(found.median).tolist() == [[50, 30]]


def test_bias_and_unit_of_each_pixel():
    # The same exposures in other units: nothing else changes.
    data = exposures()
    data[:2, *PLACE] += 300
    electrons = find_in_diagram(data, **NOISE, options=OPTIONS)
    units = find_in_diagram(data / 8, gain=8.0, read_noise=0.5, options=OPTIONS)
    image = np.ones((70, 90))
    images = find_in_diagram(data, gain=image, read_noise=4 * image, options=OPTIONS)
    for other in (units, images):
        assert np.count_nonzero(other.median ^ electrons.median) <= 2
        assert np.count_nonzero(other.exposures ^ electrons.exposures) <= 5


def test_no_light_and_no_noise_of_the_data():
    for level in (0, 65535, -20):
        found = find_in_diagram(np.full((3, 20, 30), level), **NOISE, options=OPTIONS)
        assert not found.median.any()
        assert not found.exposures.any()


def test_an_axis_that_is_too_short_is_reported():
    options = replace(OPTIONS, ydiag_max=3.0)
    found = find_in_diagram(exposures(), **NOISE, options=options)
    assert any("above the vertical axis" in sentence for sentence in found.warnings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": np.zeros((2, 5, 5))}, "three or more exposures"),
        ({"data": [np.zeros((5, 5)), np.zeros((5, 5)), np.zeros((5, 6))]}, "images of one shape"),
        ({"data": np.full((3, 5, 5), np.nan)}, "no pixel is left"),
        ({"data": np.zeros((3, 0, 5))}, "no pixel is left"),
        ({"gain": 0.0}, "gain must be positive"),
        ({"read_noise": np.nan}, "read_noise must be positive"),
        ({"read_noise": np.ones((3, 3))}, "does not fit"),
        ({"flux_factors": [1.0, 2.0]}, "3 positive numbers"),
        ({"flux_factors": [1.0, 2.0, -1.0]}, "3 positive numbers"),
        ({"apply_flux_factor_to": "both"}, "'simulated' or 'original'"),
        ({"offsets": [[0, 0], [1, 1]]}, "3 pairs"),
        ({"to_be_cleaned": np.ones((4, 4), dtype=bool)}, "to_be_cleaned has the shape"),
        ({"to_be_cleaned": np.zeros((5, 5), dtype=bool)}, "no pixel is left"),
        ({"options": replace(OPTIONS, cr_coincidences=3)}, "cr_coincidences"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes, words):
    arguments = {"data": np.ones((3, 5, 5)), **NOISE, "options": OPTIONS} | changes
    with pytest.raises(ValueError, match=words):
        find_in_diagram(arguments.pop("data"), **arguments)
