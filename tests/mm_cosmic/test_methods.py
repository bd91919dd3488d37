"""Names of methods; and what each of them flags, against masks put together by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from crsteps.cosmic_rays.pycosmic import detect_pycosmic
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import auxiliary_images
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays
from crsteps.mm_cosmic.methods import (
    AUXILIARIES,
    CRMETHODS,
    CrMethod,
    find_with_method,
    parse_crmethod,
)
from crsteps.mm_cosmic.user_pixels import make_user_pixels
from crsteps.mm_cosmic.workers_step import process_map
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)
from crsteps.simulation.scoring import score_masks

NOISE = ExposureNoise.from_gain(1.0, 3.4)
MASKS = ("exposure_masks", "suspect_masks", "mediancr", "meancrt", "meancr", "codes")
SQUARE = np.ones((3, 3), dtype=bool)


@pytest.fixture(scope="module")
def equal():
    """Return three equal exposures."""
    return simulate_fibre_exposures(equal_options(shape=(112, 140)), seed=2)


@pytest.fixture(scope="module")
def unequal():
    """Return three exposures of different flux, position and fibres."""
    return simulate_fibre_exposures(unequal_options(shape=(112, 140)), seed=2)


FOUND = {}


def find(exposures, crmethod, **options):
    """Search; what is asked for of whole scenes in the same words is found once."""
    if isinstance(exposures, np.ndarray):
        return search(exposures, crmethod, **options)
    key = (id(exposures), crmethod, repr(sorted(options.items())))
    if key not in FOUND:
        FOUND[key] = search(exposures.data, crmethod, **options)
    return FOUND[key]


def search(data, crmethod, **options):
    options = {"noise": NOISE} | options
    return find_with_method(data, method=parse_crmethod(crmethod), **options)


def f1(result, exposures):
    truth = exposures.charge, exposures.noise
    return (
        score_masks(result.mediancr, *truth, n_required=2).f1,
        score_masks(result.exposure_masks, *truth).f1,
    )


# --- names --------------------------------------------------------------------------------------


def test_documented_methods():
    assert parse_crmethod("mmcosmic") == CrMethod(uses_mm=True, auxiliaries=())
    assert parse_crmethod("pycosmic") == CrMethod(uses_mm=False, auxiliaries=("pycosmic",))
    assert parse_crmethod(" mm_conn ") == CrMethod(uses_mm=True, auxiliaries=("conn",))
    assert len(CRMETHODS) == 9
    for name in CRMETHODS:
        assert parse_crmethod(name).name == name


@given(st.permutations(AUXILIARIES), st.integers(1, 4), st.booleans())
def test_several_detectors(names, number, uses_mm):
    method = CrMethod(uses_mm, tuple(names[:number]))
    assert parse_crmethod(method.name) == method


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mm_pycosmc", "'mm_pycosmic'"),
        ("LACosmic", "'lacosmic'"),
        ("mm_cosmic", "'mmcosmic'"),
        ("mm_lacosmic+pycosmik", "'pycosmic' meant by 'pycosmik'"),
        ("", "choose from lacosmic"),
        ("mm_", "choose from|meant"),
        ("lacosmic+", "choose from"),
        ("mm_lacosmic+lacosmic", "twice"),
    ],
)
def test_unknown_methods_are_refused(name, meant):
    with pytest.raises(ValueError, match=meant):
        parse_crmethod(name)


# --- what is flagged ----------------------------------------------------------------------------


def test_mmcosmic_is_the_null_model(unequal):
    expected = find_cosmic_rays(unequal.data, noise=NOISE)
    result = find(unequal, "mmcosmic")
    for name in MASKS:
        assert_array_equal(getattr(result, name), getattr(expected, name))
    assert result.auxiliary is None
    assert_array_equal(result.codes, np.where(result.mediancr, 2, 0))


def rising_flags(data, median_flags, flags, limit, peak):
    """Flags of pixels that rise above the lowest exposure, in features that have a peak."""
    lowest = data.min(axis=0)
    rise = (data - lowest) / np.sqrt(3.4**2 + np.maximum(lowest, 0))
    expected = []
    for mask, height in zip(flags | median_flags, rise, strict=True):
        labels, n = ndimage.label(mask & (height > limit), SQUARE)
        kept = [i for i in range(1, n + 1) if np.any(height[labels == i] > peak)]
        expected.append(np.isin(labels, kept))
    return np.array(expected)


@pytest.mark.parametrize("limit", [0.0, 3.0, 8.0])
def test_or_adds_what_rises(equal, limit):
    options = MMCosmicOptions(threshold_rnoise=limit)
    null = find(equal, "mmcosmic", options=options)
    assert null.equivalence.is_equal
    result = find(equal, "mm_pycosmic", options=options)
    noise = {"read_variance": 3.4**2, "poisson_factor": 1.0}
    images = [np.median(equal.data, axis=0), *equal.data]
    median_flags, *flags = (detect_pycosmic(image, **noise).mask for image in images)
    added = rising_flags(equal.data, median_flags, np.array(flags), limit, 2 * limit)
    assert_array_equal(result.exposure_masks, null.exposure_masks | added)
    assert_array_equal(result.mediancr, result.exposure_masks.sum(axis=0) >= 2)
    by_null, by_detector = (mask.sum(axis=0) >= 2 for mask in (null.exposure_masks, added))
    assert_array_equal(result.codes[by_null & ~by_detector], 2)
    assert_array_equal(result.codes[by_detector & ~by_null], 3)
    assert_array_equal(result.codes[by_detector & by_null], 4)
    assert_array_equal(result.codes > 0, result.mediancr)
    assert by_detector.sum() > 20
    if limit == 3:
        assert by_null.sum() > 20


@pytest.mark.parametrize("crmethod", ["pycosmic", "lacosmic", "lacosmic+pycosmic"])
def test_detectors_alone_say_where_and_exposures_how_far(unequal, crmethod):
    result = find(unequal, crmethod)
    flags = np.array([found.mask for found in result.auxiliary.exposures])
    flags |= result.auxiliary.median.mask
    for mask, own in zip(result.exposure_masks, flags, strict=True):
        labels, n = ndimage.label(mask, SQUARE)
        assert np.all(ndimage.maximum(own, labels, np.arange(1, n + 1)))
    assert set(np.unique(result.codes)) <= {0, 3}
    assert np.sum(result.exposure_masks & ~flags) > 20


def test_several_detectors_join_their_masks(unequal):
    joined = find(unequal, "mm_lacosmic+pycosmic").auxiliary
    single = [find(unequal, f"mm_{name}").auxiliary for name in ("lacosmic", "pycosmic")]
    assert_array_equal(joined.median.mask, single[0].median.mask | single[1].median.mask)
    for i, found in enumerate(joined.exposures):
        masks = [one.exposures[i].mask for one in single]
        assert_array_equal(found.mask, masks[0] | masks[1])
    assert_array_equal(joined.median.cleaned, single[0].median.cleaned)
    assert_array_equal(joined.median.significance, single[1].median.significance)


def test_scores_of_methods(unequal):
    scores = {name: f1(find(unequal, name), unequal) for name in ("mmcosmic", "mm_pycosmic")}
    scores["odds"] = f1(find(unequal, "mm_pycosmic", auxiliary_combination="odds"), unequal)
    scores["alone"] = f1(find(unequal, "pycosmic"), unequal)
    for median, single in scores.values():
        assert median > 0.85
        assert single > 0.94
    assert scores["odds"][1] > scores["mm_pycosmic"][1]


def test_only_usable_exposure_has_the_detector_alone(equal):
    data = equal.data.copy()
    data[1:, 60:100, 60:120] = np.nan
    data[0, 80, 80:90] += 500
    result = find(data, "mm_pycosmic")
    assert result.exposure_masks[0, 80, 80:90].all()
    assert not result.exposure_masks[1:, 60:100, 60:120].any()
    assert not find(data, "mmcosmic").exposure_masks[0, 80, 80:90].any()
    odds = find(data, "mm_pycosmic", auxiliary_combination="odds")
    assert odds.exposure_masks[0, 80, 80:90].all()


@pytest.mark.parametrize(("n", "how"), [(4, "or"), (4, "odds"), (5, "pycosmic")])
def test_more_exposures(n, how):
    options = equal_options(shape=(64, 80), n_exposures=n, hit_fraction=0, n_crossings=0)
    data = simulate_fibre_exposures(options, seed=3).data.copy()
    data[:2, 40, 30:40] += 400
    how = {
        "or": ("mm_pycosmic", {}),
        "odds": ("mm_pycosmic", {"auxiliary_combination": "odds"}),
    }.get(how, (how, {}))
    result = find(data, how[0], **how[1])
    assert result.mediancr[40, 30:40].all()
    assert not result.exposure_masks[2:, 40, 31:39].any()


def test_exposure_without_data_is_left_out(equal):
    data = np.concatenate([equal.data, np.full_like(equal.data[:1], np.nan)])
    for options in ({}, {"auxiliary_combination": "odds"}):
        result = find(data, "mm_pycosmic", **options)
        assert not result.exposure_masks[3].any()
        assert f1_of_three(result, equal) > 0.94


def f1_of_three(result, exposures):
    return score_masks(result.exposure_masks[:3], exposures.charge, exposures.noise).f1


def test_dilation_has_its_code(equal):
    plain = find(equal, "mm_pycosmic")
    result = find(equal, "mm_pycosmic", options=MMCosmicOptions(dilation=1))
    assert_array_equal(result.mediancr, ndimage.binary_dilation(plain.mediancr, SQUARE))
    assert_array_equal(result.codes[plain.mediancr], plain.codes[plain.mediancr])
    assert_array_equal(result.codes[result.mediancr & ~plain.mediancr], 1)


def test_processes_change_nothing(equal, monkeypatch):
    monkeypatch.setattr(auxiliary_images, "_WORTH_PROCESSES", 0)
    here = search(equal.data, "mm_lacosmic+pycosmic")
    there = search(equal.data, "mm_lacosmic+pycosmic", map_tasks=process_map(2))
    for name in MASKS:
        assert_array_equal(getattr(there, name), getattr(here, name))


def test_inputs_are_not_modified(unequal):
    data = unequal.data.copy()
    user = make_user_pixels(data[0].shape, flagged=[[5, 5]], replaced=[[9, 9, 3, 3]])
    factors = np.array([1.0, 0.9, 1.1])
    find(data, "mm_pycosmic", user=user, flux_factors=factors)
    assert_array_equal(data, unequal.data)
    assert_array_equal(factors, [1.0, 0.9, 1.1])


# --- what the user tells ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told():
    """Return exposures, what the user says about them, and the result."""
    options = equal_options(shape=(64, 80), hit_fraction=0, n_crossings=0)
    data = simulate_fibre_exposures(options, seed=5).data.copy()
    for x in (10, 30, 50):
        data[:2, 20, x : x + 5] += 300
    data[:, 5, 7] = [20.0, 10.0, 30.0]
    user = make_user_pixels(
        data[0].shape,
        skipped=[[1, 20, 1, 64]],
        flagged=[[8, 6], [13, 21]],
        ignored=[[33, 21]],
        replaced=[[52, 21, 5, 5]],
    )
    return data, user, find(data, "mmcosmic", user=user)


def test_skipped_ignored_and_replaced_pixels_are_not_flagged(told):
    _, _, result = told
    assert result.mediancr[20, 12]  # told to be, in a region to be skipped
    for mask in (result.mediancr, result.meancrt, *result.exposure_masks[:2]):
        assert_array_equal(np.flatnonzero(mask[20, :20]), [12])
        assert_array_equal(np.flatnonzero(mask[20, 30:35]), [0, 1, 3, 4])
        assert_array_equal(np.flatnonzero(mask[20, 50:55]), [0, 2, 3, 4])


def test_pixels_to_be_flagged_are_in_the_highest_exposures(told):
    _, _, result = told
    assert result.mediancr[5, 7]
    assert_array_equal(result.exposure_masks[:, 5, 7], [True, False, True])
    assert result.codes[5, 7] == 1
    assert np.all((result.codes > 0) == result.mediancr)
    assert_array_equal(result.mediancr, result.exposure_masks.sum(axis=0) >= 2)


def test_missing_exposures_are_not_the_highest(told):
    data, user, _ = told
    missing = np.zeros(data.shape, dtype=bool)
    missing[2, 5, 7] = True
    result = find(data, "mmcosmic", user=user, missing=missing)
    assert_array_equal(result.exposure_masks[:, 5, 7], [True, False, False])
    missing[:, 5, 7] = True
    result = find(data, "mmcosmic", user=user, missing=missing)
    assert not result.mediancr[5, 7]


def test_replaced_pixels_are_in_all_combinations(told):
    data, user, result = told
    plain = combine(data, result, noise=NOISE)
    combined = combine(data, result, noise=NOISE, user=user)
    y, x = 20, 51
    for name, image in combined.items():
        others = np.ones(data[0].shape, dtype=bool)
        others[y, x] = False
        assert_array_equal(image.data[others], plain[name].data[others])
        box = np.zeros_like(others)
        box[18:23, 49:54] = True
        box &= others & ~result.meancrt
        assert image.data[y, x] == np.median(plain[name].data[box])
        assert image.n_used[y, x] == 0
        assert image.variance[y, x] > 0


def test_flux_factors_of_equal_exposures(equal):
    """Exposures of other flux but else equal are found as such, and combined as told."""
    factors = np.float32([1.0, 0.5, 2.0])
    noise = ExposureNoise(
        NOISE.read_variance * factors[:, None, None] ** 2,
        NOISE.poisson_factor * factors[:, None, None],
    )
    data = equal.data * factors[:, None, None]
    plain = find(equal, "mm_pycosmic")
    options = MMCosmicOptions(equivalence="none")
    means = {}
    for how in ("original", "simulated"):
        result = find(
            data,
            "mm_pycosmic",
            noise=noise,
            options=options,
            flux_factors=factors,
            apply_flux_factor_to=how,
        )
        for name in ("exposure_masks", "mediancr"):
            differ = getattr(result, name) != getattr(plain, name)
            assert differ.sum() <= 2
        combined = combine(data, result, noise=noise, names=("mean", "meancr"))
        means[how] = combined["meancr"].data
        scale = 1 if how == "original" else 3.5 / 3
        truth = equal.mean_scene * scale
        assert_allclose(np.median(means[how][truth > 100] / truth[truth > 100]), 1, rtol=0.02)
        raw = (data / factors[:, None, None] if how == "original" else data).mean(axis=0)
        assert_allclose(combined["mean"].data, raw, rtol=1e-5, atol=1e-3)


def test_offsets_are_used_where_shifts_are_not_measured(unequal):
    options = MMCosmicOptions(equivalence="none")
    offsets = np.array(unequal.options.shifts)
    factors = unequal.options.flux_factors
    without = find(unequal, "mmcosmic", options=options, flux_factors=factors)
    with_them = find(unequal, "mmcosmic", options=options, flux_factors=factors, offsets=offsets)
    assert_array_equal(with_them.equivalence.dx, offsets[:, 0])
    assert f1(with_them, unequal)[0] > f1(without, unequal)[0] + 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary_combination": "and"}, "auxiliary_combination must be 'or' or 'odds'"),
        ({"apply_flux_factor_to": "data"}, "apply_flux_factor_to must be"),
        ({"flux_factors": [1.0, 2.0]}, "flux factors must be 3 positive"),
        ({"flux_factors": [1.0, 2.0, 0.0]}, "flux factors must be 3 positive"),
        ({"offsets": [[0, 0]]}, "offsets of shape"),
        ({"options": MMCosmicOptions(threshold_rnoise=-1)}, "threshold_rnoise"),
    ],
)
def test_impossible_wishes_are_refused(equal, options, message):
    with pytest.raises(ValueError, match=message):
        find(equal.data[:, :20, :20], "mm_pycosmic", **options)


@pytest.mark.parametrize(("value", "how"), [(0.0, "or"), (70.0, "odds"), (7e4, "or")])
def test_constant_exposures_have_no_hits(value, how):
    data = np.full((3, 40, 50), np.float32(value))
    result = find(data, "mm_lacosmic+pycosmic", auxiliary_combination=how)
    assert not result.meancrt.any()
    assert not result.codes.any()
