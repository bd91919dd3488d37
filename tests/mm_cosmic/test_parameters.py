"""Every parameter of MMCosmicStep: how it may be written, and what it changes."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from astropy.io import fits

from crsteps.cosmic_rays.auxiliary import detect_auxiliary
from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.datamodels.exposures import Exposure
from crsteps.errors import CrstepsInputError
from crsteps.mm_cosmic import parameters_step
from crsteps.mm_cosmic.figures_step import MOST_PAGES, Figures, combine_as_told
from crsteps.mm_cosmic.search_step import prepare
from crsteps.mm_cosmic.step import MMCosmicStep
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

SHAPE = (60, 80)
READ_NOISE = 3.4
EXAMPLE = Path(__file__).with_name("data") / "params_example1.yaml"
HIT_TWICE, EDGE, SINGLE = (30, 20), (0, 40), (50, 60)
SPLINE = {"mm_boundary_fit": "spline", "mm_equivalence": "none", "mm_nsimulations": 2}


@cache
def simulated(n_exposures, shifts):
    """Return simulated exposures of fibres."""
    options = equal_options(shape=SHAPE, n_exposures=n_exposures, n_crossings=2, shifts=shifts)
    return simulate_fibre_exposures(replace(options, line_spacing=25.0), seed=4).data


def images(n_exposures=3, shifts=None):
    """Return exposures of fibres, and cosmic rays besides those that are simulated."""
    data = simulated(n_exposures, shifts).copy()
    data[:2, *HIT_TWICE] += 800
    data[:2, *EDGE] += 800
    data[0, *SINGLE] += 800
    return data


def as_exposures(data, gain=1.0):
    """Return arrays in ADU as the step reads them from plain FITS images."""
    missing = np.zeros(data[0].shape, bool)
    return [
        Exposure(image.copy(), missing, READ_NOISE**2, 1 / gain, 0.0, fits.Header(), f"{i}", "fits")
        for i, image in enumerate(data)
    ]


@pytest.fixture(scope="module")
def run():
    """Return a function that searches with parameters, each set of them once."""
    known, data = {}, images()

    def search(stack=None, **parameters):
        key = repr(sorted(parameters.items()))
        if stack is not None or key not in known:
            step = MMCosmicStep(**parameters)
            parameters_step.check(step)
            searched = prepare(step, as_exposures(data if stack is None else stack))
            found = SimpleNamespace(step=step, search=searched, result=searched.run())
            if stack is not None:
                return found
            known[key] = found
        return known[key]

    return search


def combined(found, name):
    """Return one combined image."""
    return combine_as_told(found.step, found.search, found.result, [name])[name]


# --- all of them --------------------------------------------------------------------------


def test_every_parameter_of_numina_is_one():
    requirements = yaml.safe_load(EXAMPLE.read_text())["requirements"]
    assert len(requirements) == 65
    assert set(requirements) <= set(MMCosmicStep.load_spec_file())


def test_defaults_are_numinas_unless_the_specification_says_so():
    """The comment of a parameter with another default names that of numina."""
    spec, step = MMCosmicStep.load_spec_file(), MMCosmicStep()
    preset = stored_parameters()
    different = {name for name, value in preset.items() if str(getattr(step, name)) != str(value)}
    told = {name for name in spec if "numina:" in (spec.inline_comments[name] or "")}
    own = {"crmethod", "save_diagnostics"}  # an example's choice; what numina always does
    assert different - own == told
    for name in told:
        assert f"numina: {preset[name]}" in spec.inline_comments[name]


def stored_parameters():
    """Return the parameters of the preset."""
    from crsteps.framework.parameter_files import load
    from crsteps.framework.references import packaged_file

    return load(packaged_file("pars-mmcosmic_numina.asdf")).parameters


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"crmethod": "mm_lacosmik"}, "crmethod: .*is 'mm_lacosmic' meant"),
        ({"crmethod": "lacosmic+lacosmic"}, "crmethod .*twice"),
        ({"use_auxmedian": True}, "set crmethod to one with such a detector"),
        ({"aux_combination": "odds"}, "is not both"),
        (
            {"aux_combination": "odds", "crmethod": "mm_lacosmic", "mm_boundary_fit": "spline"},
            "set mm_boundary_fit to analytic",
        ),
        ({"mm_synthetic": "single", "mm_boundary_fit": "spline"}, "mm_synthetic = single"),
        (
            {"mm_synthetic": "single", "mm_boundary_fit": "spline", "crmethod": "mm_lacosmic"}
            | {"mm_crosscorr_region": [1, 20, 1, 20]},
            "mm_crosscorr_region shifts the median",
        ),
        ({"la_sigclip": ["a"]}, "la_sigclip"),
        ({"la_sigclip": [-1.0]}, "la_sigclip must be positive"),
        ({"la_psfsize": 4}, "la_psfsize = 4 is even"),
        ({"dc_threshold": 1.0}, "dc_threshold"),
        ({"nn_threshold": 0.0}, "nn_threshold"),
        ({"mm_seed": -3}, "mm_seed"),
        ({"flux_factor": [1, -1, 1]}, "flux_factor"),
        ({"mm_boundary_fit": "piecewise"}, "two or more"),
        ({"mm_xy_offsets": [[0, 0]] * 3, "mm_crosscorr_region": [1, 20, 1, 20]}, "one of the two"),
        ({"regions_to_be_skipped": ["none.reg"]}, "There is no region file none.reg"),
        ({"flux_factor_regions": [[5, 1, 1, 2]]}, "flux_factor_regions"),
        ({"pixels_to_be_replaced_by_local_median": [[3, 3]]}, "local_median"),
        ({"crmasks": "none.fits"}, "crmasks: there is no file none.fits"),
        ({"verify_cr": True}, "set interactive to true"),
        ({"rnoise": ["low"]}, "rnoise"),
        ({"combinations": ["meancr3"]}, "there is no 'meancr3'"),
    ],
)
def test_impossible_values_are_refused_before_anything_is_read(parameters, words):
    with pytest.raises(CrstepsInputError, match=words) as error:
        parameters_step.check(MMCosmicStep(**parameters))
    assert re.search(r"\w[\])'\"]*[.?]$", str(error.value))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"regions_to_be_skipped": [[1, 81, 1, 2]]}, "regions_to_be_skipped: .*reaches beyond"),
        ({"pixels_to_be_flagged_as_cr": [[81, 1]]}, r"as_cr: the pixel \[81, 1\] is not in"),
        ({"pixels_to_be_replaced_by_local_median": [[3, 3, 4, 5]]}, "local_median: .*odd"),
        ({"mm_xy_offsets": [[0, 0], [1, 1]]}, "2 pairs for 3 exposures"),
        ({"flux_factor": [1.0, 1.1]}, "flux_factor has 2 values for 3 exposures"),
        ({"mm_crosscorr_region": [1, 9, 1, 9]}, "mm_crosscorr_region: .*at least 100"),
        ({"mm_crosscorr_region": [1, 90, 1, 9]}, "mm_crosscorr_region: .*reaches beyond"),
    ],
)
def test_values_that_do_not_fit_the_exposures_are_refused(parameters, words):
    with pytest.raises(CrstepsInputError, match=words):
        prepare(MMCosmicStep(**parameters), as_exposures(images()))


# --- methods and masks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crmethod", "found_by"),
    [
        ("mmcosmic", {2}),
        ("lacosmic", {3}),
        ("pycosmic", {3}),
        ("mm_lacosmic", {2, 3, 4}),
        ("mm_pycosmic", {2, 3, 4}),
        ("lacosmic+pycosmic", {3}),
        ("mm_lacosmic+pycosmic", {2, 3, 4}),
    ],
)
def test_crmethod(run, crmethod, found_by):
    result = run(crmethod=crmethod, **(SPLINE if crmethod == "mm_pycosmic" else {})).result
    assert result.crmethod == crmethod
    assert result.mediancr[HIT_TWICE]
    assert result.exposure_masks[:, *HIT_TWICE].tolist() == [True, True, False]
    assert result.meancrt[SINGLE]
    assert not result.mediancr[SINGLE]
    codes = set(np.unique(result.codes)) - {0, 1}
    assert codes
    assert codes <= found_by
    assert (result.auxiliary is None) == (crmethod == "mmcosmic")


def test_aux_combination(run):
    either, odds = (
        run(crmethod="mm_pycosmic", aux_combination=how).result for how in ("or", "odds")
    )
    assert np.any(either.exposure_masks != odds.exposure_masks)
    assert odds.mediancr[HIT_TWICE]


def test_use_auxmedian(run):
    cleaned = run(crmethod="mm_pycosmic", use_auxmedian=True)
    pixels = cleaned.result.mediancr
    expected = cleaned.result.auxiliary.median.cleaned[pixels]
    np.testing.assert_allclose(combined(cleaned, "mediancr").data[pixels], expected, rtol=1e-5)


def test_mm_replacement(run):
    usual, minimum = (run(mm_replacement=how, dilation=1) for how in ("clean_mean", "minimum"))
    pixels = usual.result.mediancr
    lowest = np.min(usual.search.data, axis=0)
    np.testing.assert_allclose(
        combined(minimum, "mediancr").data[pixels], lowest[pixels], rtol=1e-5
    )
    assert np.any(combined(usual, "mediancr").data[pixels] > lowest[pixels] + 1)


@pytest.mark.parametrize("limit", [{}, SPLINE], ids=["analytic", "spline"])
@pytest.mark.parametrize("name", ["mm_dilation", "dilation"])
def test_dilations(run, name, limit):
    plain = run(**limit, mm_dilation=0).result.mediancr
    grown = run(**{**limit, "mm_dilation": 0, name: 1}).result
    np.testing.assert_array_equal(grown.mediancr, dilate(plain, 1))
    assert set(np.unique(grown.codes)) == ({0, 2} if name == "mm_dilation" and limit else {0, 1, 2})


def test_mm_cr_coincidences(run):
    stack = images(n_exposures=4)
    stack[2, *HIT_TWICE] += 800
    two, three = (run(stack, mm_cr_coincidences=n).result.mediancr for n in (2, 3))
    assert two[HIT_TWICE]
    assert two[EDGE]
    assert three[HIT_TWICE]
    assert not three[EDGE]


def test_null_model_parameters(run):
    usual = run().result.exposure_masks
    assert run(mm_false_pixels=100.0).result.exposure_masks.sum() > usual.sum()
    assert run(mm_grow_probability=1e-9).result.exposure_masks.sum() < usual.sum()


def test_mm_equivalence(run):
    stack = images()
    stack[1] *= 0.8
    auto, none = (run(stack, mm_equivalence=how).result for how in ("auto", "none"))
    assert auto.equivalence.flux[1] / auto.equivalence.flux[0] == pytest.approx(0.8, rel=0.03)
    assert np.all(none.equivalence.flux == 1)
    assert none.meancrt.sum() > auto.meancrt.sum()


def test_max_memory(run):
    assert run(max_memory=4.0).search.options.block_bytes == 4 * 2**20


def test_jobs():
    (search,) = [prepare(MMCosmicStep(jobs=2), as_exposures(images()))]
    assert search.jobs == 2


# --- flux factors and offsets -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "factors"),
    [
        ("none", None),
        (None, None),
        ([1.0, 0.8, 1.1], [1.0, 0.8, 1.1]),
        ("1.0, 0.8, 1.1", [1.0, 0.8, 1.1]),
        (["1.0", "0.8", "1.1"], [1.0, 0.8, 1.1]),
        (0.9, [0.9, 0.9, 0.9]),
    ],
)
def test_flux_factor(value, factors):
    search = prepare(MMCosmicStep(flux_factor=value), as_exposures(images()))
    found = search.flux_factors
    assert found is None if factors is None else found.tolist() == factors


def test_flux_factors_that_cannot_be_measured_are_told(caplog):
    step = MMCosmicStep(flux_factor="auto")
    search = prepare(step, as_exposures(0.001 * images()))
    assert search.flux_factors.tolist() == [1, 1, 1]
    assert "flux factors were not measured, but set to 1" in caplog.text


def test_physical_coordinates_of_region_files_follow_the_header(tmp_path):
    """Of a frame that begins at column 101 and row 201 of the detector."""
    path = tmp_path / "skip.reg"
    path.write_text("physical\nbox(105.5,205.5,10,10)\n", encoding="utf-8")
    exposures = as_exposures(images())
    exposures[0].header.update({"LTV1": -100.0, "LTV2": -200.0})
    search = prepare(MMCosmicStep(regions_to_be_skipped=[str(path)]), exposures)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[:10, :10] = True
    np.testing.assert_array_equal(search.user.skipped, expected)


@pytest.mark.parametrize(
    ("region", "factor"), [([[1, 80, 1, 30]], 0.8), (["[1:80, 31:60]"], 1.0), (None, None)]
)
def test_flux_factor_regions(region, factor):
    """Exposure 2 is fainter in the lower half alone."""
    stack = images()
    stack[1, :30] *= 0.8
    step = MMCosmicStep(flux_factor="auto", flux_factor_regions=region)
    search = prepare(step, as_exposures(stack))
    ratio = search.flux_factors[1] / search.flux_factors[[0, 2]].mean()
    assert search.measured_flux is not None
    if factor is None:
        assert 0.8 < ratio < 1.0
    else:
        assert ratio == pytest.approx(factor, abs=0.03)


@pytest.mark.parametrize("limit", [{}, SPLINE], ids=["analytic", "spline"])
def test_apply_flux_factor_to(run, limit):
    """Divided exposures have one level; else the combined images are those of the exposures."""
    stack = images()
    stack[1] *= 0.5
    found = {
        how: run(stack, flux_factor=[1.0, 0.5, 1.0], apply_flux_factor_to=how, **limit)
        for how in ("original", "simulated")
    }
    sky = np.median(images().mean(axis=0))
    original, simulated = (np.median(combined(found[how], "mean").data) for how in found)
    assert original == pytest.approx(sky, rel=0.1)
    assert simulated == pytest.approx(sky * 2.5 / 3, rel=0.1)
    for each in found.values():
        assert each.result.mediancr[HIT_TWICE]


def test_mm_xy_offsets(run):
    shifted = run(**SPLINE, mm_xy_offsets=[[0, 0], [1.5, 0], [0, 1.5]])
    np.testing.assert_array_equal(shifted.result.offsets, [[0, 0], [1.5, 0], [0, 1.5]])
    as_text = MMCosmicStep(mm_xy_offsets=["[0", "0]", "[1.5", "0]", "[0", "1.5]"])
    assert parameters_step.offsets(as_text) == [[0, 0], [1.5, 0], [0, 1.5]]
    x = run(**SPLINE).result.diagram.boundary.knots[-1]
    assert shifted.result.diagram.boundary.evaluate(x) > 2 * run(
        **SPLINE
    ).result.diagram.boundary.evaluate(x)


@pytest.mark.parametrize("region", [[5, 75, 5, 55], ["[5:75, 5:55]"], ["[5:75", " 5:55]"]])
def test_mm_crosscorr_region(region):
    stack = images(shifts=((0, 0), (0, 0), (1.6, 0.7)))
    search = prepare(MMCosmicStep(mm_crosscorr_region=region), as_exposures(stack))
    dx, dy = search.offsets[2] - search.offsets[:2].mean(axis=0)
    assert (dx, dy) == (pytest.approx(1.6, abs=0.05), pytest.approx(0.7, abs=0.05))
    assert search.measured_offsets.reference.shape == (51, 71)


# --- regions and pixels -------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{}, SPLINE], ids=["analytic", "spline"])
def test_regions_and_pixels(run, limit):
    usual = run(**limit).result
    x, y = HIT_TWICE[1] + 1, HIT_TWICE[0] + 1
    skipped = run(**limit, regions_to_be_skipped=[[x - 3, x + 3, y - 3, y + 3]]).result
    assert usual.mediancr[HIT_TWICE]
    assert not skipped.meancrt[HIT_TWICE[0] - 3 : HIT_TWICE[0] + 4, x - 4 : x + 3].any()
    if not limit:  # pixels that are skipped are not simulated either
        np.testing.assert_array_equal(skipped.mediancr[40:], usual.mediancr[40:])
    ignored = run(**limit, pixels_to_be_ignored_as_cr=[[x, y]]).result
    assert not ignored.exposure_masks[:, *HIT_TWICE].any()
    flagged = run(**limit, pixels_to_be_flagged_as_cr=[[6, 46]]).result
    assert not usual.mediancr[45, 5]
    assert flagged.mediancr[45, 5]
    assert flagged.exposure_masks[:, 45, 5].sum() == 2


@pytest.mark.parametrize(
    ("form", "parsed"),
    [
        ([[2, 4, 5, 6], [1, 1, 1, 1]], 7),
        (["[2:4, 5:6], [1:1, 1:1]"], 7),
        (["[2", "4", "5", "6]"], 6),  # as strun splits a command line
        (["2", "4", "5", "6"], 6),
    ],
)
def test_forms_of_regions(form, parsed):
    step = MMCosmicStep(regions_to_be_skipped=form)
    parameters_step.check(step)
    assert prepare(step, as_exposures(images())).user.skipped.sum() == parsed


def test_ds9_files(in_tmp_path):
    (in_tmp_path / "skip.reg").write_text("image\nbox(10,10,3,5,0)\n")
    (in_tmp_path / "flag.reg").write_text("image\npoint(6,46)\n")
    step = MMCosmicStep(regions_to_be_skipped=["skip.reg"], pixels_to_be_flagged_as_cr=["flag.reg"])
    parameters_step.check(step)
    user = prepare(step, as_exposures(images())).user
    assert user.skipped.sum() == 15
    assert np.argwhere(user.flagged).tolist() == [[45, 5]]


def test_pixels_to_be_replaced_by_local_median(run):
    found = run(pixels_to_be_replaced_by_local_median=[[21, 31, 3, 5]])
    assert not found.result.mediancr[HIT_TWICE]
    image = combined(found, "median")
    box = image.data[28:33, 19:22].copy()
    box[2, 1] = np.nan
    box[found.result.meancrt[28:33, 19:22]] = np.nan
    assert image.data[HIT_TWICE] == pytest.approx(np.nanmedian(box))
    assert image.n_used[HIT_TWICE] == 0


# --- simulated diagram --------------------------------------------------------------------


def boundary_at(found, fraction=0.8):
    """Return the height of the boundary at a fraction of its range."""
    boundary = found.result.diagram.boundary
    low, high = boundary.knots[[0, -1]]
    return float(boundary.evaluate(low + fraction * (high - low)))


def test_mm_boundary_fit(run):
    assert run().result.diagram is None
    assert run(**SPLINE).result.diagram.boundary.kind == "spline"
    points = {"mm_fixed_points_in_boundary": [[0, 30], [1000, 300]]}
    lines = run(**{**SPLINE, "mm_boundary_fit": "piecewise"}, **points).result.diagram.boundary
    assert lines.kind == "piecewise"
    assert lines.evaluate(500.0) == pytest.approx(165)


def test_mm_fixed_points_in_boundary(run):
    x = float(run(**SPLINE).result.diagram.boundary.knots[-1])
    usual = run(**SPLINE).result.diagram.boundary.evaluate(x)
    fixed = run(**SPLINE, mm_fixed_points_in_boundary=[[x, 3 * usual, 1e5]]).result.diagram.boundary
    assert fixed.evaluate(x) == pytest.approx(3 * usual, rel=0.05)


@pytest.mark.parametrize(
    ("form", "points"),
    [
        ([[0, 20], [5, 6, 7]], ((0, 20), (5, 6, 7))),
        ([0, 20], ((0, 20),)),
        (["[0", " 20]", "[5", "6", "7]"], ((0, 20), (5, 6, 7))),
        (["[0, 20], [5, 6, 7]"], ((0, 20), (5, 6, 7))),
        ([], ()),
        (None, ()),
    ],
)
def test_forms_of_points(form, points):
    assert parameters_step.fixed_points(MMCosmicStep(mm_fixed_points_in_boundary=form)) == points


def test_wider_noise_raises_the_boundary(run):
    """A negative binomial distribution is wider, the more so the smaller its shape."""
    poisson = boundary_at(run(**SPLINE))
    narrow, wide = (
        boundary_at(run(**SPLINE, mm_photon_distribution="nbinom", mm_nbinom_shape=shape))
        for shape in (100.0, 3.0)
    )
    assert poisson < narrow < wide


def test_mm_synthetic(run):
    median, single = (
        run(**SPLINE, crmethod="mm_pycosmic", mm_synthetic=how).result.diagram.simulated.counts
        for how in ("median", "single")
    )
    assert median.sum() == pytest.approx(single.sum(), rel=0.01)
    assert np.any(median != single)


def test_simulation_parameters(run):
    usual = run(**SPLINE).result.diagram
    assert usual.simulated.n_simulations == 2
    more = run(**{**SPLINE, "mm_nsimulations": 4}).result.diagram.simulated
    assert more.n_simulations == 4
    assert more.counts.sum() > 1.6 * usual.simulated.counts.sum()
    high = run(**SPLINE, mm_ydiag_max=77.0).result.diagram.simulated
    assert high.y_edges[-1] == pytest.approx(77)
    other = run(**SPLINE, mm_seed=7).result.diagram.simulated
    assert np.any(other.counts != usual.simulated.counts)
    random = [run(images(), **SPLINE, mm_seed="none").result.diagram.simulated for _ in range(2)]
    assert np.any(random[0].counts != random[1].counts)
    uniform = run(**SPLINE, mm_bins="uniform").result.diagram.simulated
    assert np.ptp(np.diff(uniform.x_edges)) < 1e-3 * np.ptp(uniform.x_edges)
    assert np.ptp(np.diff(usual.simulated.x_edges)) > 1e-3 * np.ptp(usual.simulated.x_edges)


def test_fit_parameters(run):
    usual = run(**SPLINE).result.diagram.boundary
    assert len(np.unique(usual.knots)) == 5
    assert len(np.unique(run(**SPLINE, mm_knots_splfit=3).result.diagram.boundary.knots)) == 3
    assert len(usual.iterations) == 6
    once = run(**SPLINE, mm_niter_boundary_extension=0)
    assert len(once.result.diagram.boundary.iterations) == 1
    assert boundary_at(once) < boundary_at(run(**SPLINE))
    steep = run(**SPLINE, mm_weight_boundary_extension=8.0)
    assert boundary_at(steep) > boundary_at(run(**SPLINE))
    lonely = run(**SPLINE, mm_hist2d_min_neighbors=6).result.diagram.boundary
    assert lonely.points_y.sum() < usual.points_y.sum()


@pytest.mark.parametrize("name", ["mm_threshold_rnoise", "mm_minimum_max2d_rnoise"])
def test_thresholds_in_read_noises(run, name):
    assert run(**SPLINE).result.mediancr[HIT_TWICE]
    assert not run(**SPLINE, **{name: 1e4}).result.meancrt.any()


def test_threshold_of_detectors(run):
    """What detectors flag has to rise above the lowest exposures with the null model as well."""
    assert run(crmethod="mm_pycosmic").result.auxiliary.median.mask.any()
    high = run(crmethod="mm_pycosmic", mm_threshold_rnoise=1e4).result
    assert not np.any(high.codes > 2)


# --- detectors of single images -----------------------------------------------------------


@pytest.fixture(scope="module")
def detect():
    """Return a function that runs a detector with parameters of the step on one exposure."""
    image = images()[0]
    image[40:47, 10:17] += 3000  # a plateau, as of a saturated star, and charge on its rim
    image[43, 17] += 6000

    def with_parameters(crmethod, **parameters):
        options = parameters_step.auxiliary_options(MMCosmicStep(crmethod=crmethod, **parameters))
        return detect_auxiliary(
            crmethod,
            image,
            read_variance=READ_NOISE**2,
            poisson_factor=1.0,
            options=options[crmethod],
        )

    return with_parameters


@pytest.mark.parametrize(
    ("parameters", "fewer"),
    [
        ({"la_sigclip": [9.0, 9.0]}, True),
        ({"la_sigclip": [5.0, 2.0]}, False),
        ({"la_sigclip": [9.0]}, True),
        ({"la_objlim": [50.0, 50.0]}, True),
        ({"la_objlim": [2.0]}, False),
        ({"la_satlevel": 1000.0}, True),
        ({"la_niter": 1}, True),
    ],
    ids=str,
)
def test_limits_of_lacosmic(detect, parameters, fewer):
    usual, other = detect("lacosmic").mask, detect("lacosmic", **parameters).mask
    assert np.any(usual != other)
    assert (other.sum() < usual.sum()) == fewer


@pytest.mark.parametrize(
    "parameters",
    [
        {"la_fsmode": "median"},
        {"la_psfmodel": "gaussx"},
        {"la_psfmodel": "moffat"},
        {"la_psffwhm_x": 1.5},
        {"la_psffwhm_y": 1.5},
        {"la_psfsize": 3},
        {"la_sepmed": False},
    ],
    ids=str,
)
def test_fine_structure_of_lacosmic(detect, parameters):
    low = {"la_objlim": [3.0]}  # where the fine structure decides
    assert np.any(detect("lacosmic", **low).mask != detect("lacosmic", **low, **parameters).mask)


def test_more_parameters_of_lacosmic(detect, caplog):
    assert detect("lacosmic").mask[EDGE]
    assert not detect("lacosmic", la_padwidth=0).mask[EDGE]
    low, high = (detect("lacosmic", la_objlim=[2.0], la_sigfrac=[f]).mask for f in (0.3, 1.0))
    assert high.sum() < low.sum()
    moffat = detect("lacosmic", la_psfmodel="moffat", la_psfbeta=1.5).mask
    assert np.any(moffat != detect("lacosmic", la_psfmodel="moffat").mask)
    usual = detect("lacosmic")
    for how in ("median", "medmask", "idw"):
        cleaned = detect("lacosmic", la_cleantype=how).cleaned
        assert np.any(cleaned[usual.mask] != usual.cleaned[usual.mask])
    caplog.set_level("INFO")
    assert not caplog.messages
    detect("lacosmic", la_verbose=True)
    assert caplog.messages


@pytest.mark.parametrize(
    ("parameters", "fewer"),
    [
        ({"pc_sigma_det": [15.0, 15.0]}, True),
        ({"pc_sigma_det": [5.0, 2.0]}, False),
        ({"pc_sigma_det": [15.0]}, True),
        ({"pc_rlim": [3.0, 3.0]}, True),
        ({"pc_iterations": 1}, True),
        ({"pc_fwhm_gauss_x": 1.5}, None),
        ({"pc_fwhm_gauss_y": 1.5}, None),
        ({"pc_replace_box_x": 11}, None),
        ({"pc_replace_box_y": 11}, None),
        ({"pc_increase_radius": 1}, False),
    ],
    ids=str,
)
def test_parameters_of_pycosmic(detect, parameters, fewer):
    usual, other = detect("pycosmic"), detect("pycosmic", **parameters)
    if fewer is None:
        assert np.any(usual.mask != other.mask) or np.any(usual.cleaned != other.cleaned)
    else:
        assert (other.mask.sum() < usual.mask.sum()) == fewer


def test_more_parameters_of_pycosmic(detect, caplog):
    usual = detect("pycosmic")
    assert np.all(usual.error[usual.mask] == 1e6)
    assert np.all(detect("pycosmic", pc_replace_error=50.0).error[usual.mask] == 50)
    caplog.set_level("INFO")
    detect("pycosmic", pc_verbose=True)
    assert caplog.messages


@pytest.mark.parametrize(
    ("crmethod", "parameters"),
    [
        ("deepcr", {"dc_mask": "WFC3-UVIS", "dc_threshold": 0.2, "dc_verbose": True}),
        ("conn", {"nn_model": "NRES", "nn_threshold": 0.3, "nn_verbose": True}),
    ],
)
def test_parameters_of_networks(crmethod, parameters):
    """They reach the detectors, whose own tests need the packages of the networks."""
    step = MMCosmicStep(crmethod=f"mm_{crmethod}", **parameters)
    options = parameters_step.auxiliary_options(step)[crmethod]
    assert {name[3:]: value for name, value in parameters.items()}.items() <= vars(options).items()


def test_images_are_searched_once_while_limits_are_changed(monkeypatch):
    """Another boundary for the same images: what the detectors found in large ones is kept."""
    monkeypatch.setattr("crsteps.mm_cosmic.auxiliary_images._WORTH_PROCESSES", 0)
    once = MMCosmicStep(crmethod="mm_lacosmic", interactive=True, **SPLINE)
    search = prepare(once, as_exposures(images()))
    first = search.run()
    assert set(search.found_in_images) == {"median", "mean", *(f"exposure {i}" for i in (1, 2, 3))}
    monkeypatch.setattr("crsteps.mm_cosmic.search_step.process_map", lambda jobs: no_more_images)
    options = replace(search.diagram, knots_splfit=3)
    second = search.changed(diagram=options).run()
    assert second.auxiliary.median is first.auxiliary.median
    assert len(second.diagram.boundary.knots) == 3


def no_more_images(function, tasks):
    """Stand for a map of which nothing is asked."""
    assert not tasks
    return []


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("crsteps.cosmic_rays.networks.find_spec", lambda name: None)
    parameters_step.check_packages(MMCosmicStep(crmethod="mm_lacosmic+pycosmic"))
    with pytest.raises(CrstepsInputError, match=r"crmethod = mm_conn: .*crsteps\[conn\]"):
        parameters_step.check_packages(MMCosmicStep(crmethod="mm_conn"))


# --- figures ------------------------------------------------------------------------------


def test_parameters_of_figures(run):
    usual = run()
    for given, expected in ((-1, MOST_PAGES), (0, 0), (7, 7), (5000, MOST_PAGES)):
        step = MMCosmicStep(semiwindow=9, color_scale="minmax", maxplots=given)
        options = Figures(step, usual.search, usual.result).page_options
        assert (options.semiwindow, options.color_scale) == (9, "minmax")
        assert options.maxplots == expected
