"""The table of modes: what auto means, and what is not possible."""

from dataclasses import replace

import pytest

from crsteps.flicker_noise.modes import (
    FFT_TYPES,
    SLIT_TYPES,
    TIME_SERIES_TYPES,
    Facts,
    Modes,
    resolve_modes,
)

IMAGE = Facts(
    exposure_type="NRC_IMAGE", subarray="FULL", time_series=False, n_integrations=2, n_outputs=4
)
AUTO = Modes(fit_method="gp", background_method="auto")


@pytest.mark.parametrize("kind", TIME_SERIES_TYPES)
def test_time_series_get_a_template_of_their_integrations(kind):
    facts = replace(IMAGE, exposure_type=kind, n_integrations=5)
    assert resolve_modes(AUTO, facts).background_method == "median_image"
    assert resolve_modes(AUTO, replace(facts, n_integrations=4)).background_method == "model"


def test_a_visit_may_be_a_time_series_whatever_its_type():
    facts = replace(IMAGE, n_integrations=20)
    assert resolve_modes(AUTO, facts).background_method == "model"
    facts = replace(facts, time_series=True)
    assert resolve_modes(AUTO, facts).background_method == "median_image"


@pytest.mark.parametrize("fit", ["median", "fft"])
def test_background_of_the_standard_fits_is_that_of_jwst(fit):
    facts = replace(IMAGE, exposure_type="NRS_BRIGHTOBJ", n_integrations=20)
    modes = resolve_modes(replace(AUTO, fit_method=fit), facts)
    assert (modes.background_method, modes.mask_method) == ("median", "clip")
    assert resolve_modes(AUTO, facts).mask_method == "sources"


def test_what_is_asked_for_is_kept():
    asked = Modes(
        fit_method="median",
        background_method="model",
        sky_box=64,
        mask_method="sources",
        fit_by_channel=True,
        single_mask=False,
    )
    assert resolve_modes(asked, IMAGE) == asked


@pytest.mark.parametrize("kind", ["NRC_IMAGE", "NIS_SOSS", "MIR_IMAGE", "NRS_IMAGE", ""])
def test_fourier_series_are_for_spectra_of_nirspec(kind):
    with pytest.raises(ValueError, match="fit_method = fft is for spectra of NIRSpec"):
        resolve_modes(replace(AUTO, fit_method="fft"), replace(IMAGE, exposure_type=kind))


@pytest.mark.parametrize("kind", FFT_TYPES)
def test_fourier_series_of_nirspec(kind):
    modes = resolve_modes(replace(AUTO, fit_method="fft"), replace(IMAGE, exposure_type=kind))
    assert modes.fit_method == "fft"


def test_images_of_miri_get_line_medians_and_its_spectra_nothing():
    modes = resolve_modes(AUTO, replace(IMAGE, exposure_type="MIR_IMAGE", n_outputs=1))
    assert (modes.fit_method, modes.background_method) == ("median", "median")
    assert "fit_method is median" in modes.remarks[0]
    with pytest.raises(ValueError, match="exposure type MIR_MRS: of MIRI, only images"):
        resolve_modes(AUTO, replace(IMAGE, exposure_type="MIR_MRS"))


def test_one_output_has_no_channels():
    asked = Modes(fit_method="median", background_method="median", fit_by_channel=True)
    modes = resolve_modes(asked, replace(IMAGE, subarray="SUB64P", n_outputs=1))
    assert not modes.fit_by_channel
    assert "fit_by_channel" in modes.remarks[0]


def test_median_image_needs_integrations_of_which_each_has_its_mask_as_in_jwst():
    asked = Modes(fit_method="median", background_method="median_image")
    with pytest.raises(ValueError, match="more than one integration"):
        resolve_modes(asked, replace(IMAGE, n_integrations=1))
    assert not resolve_modes(asked, IMAGE).single_mask
    assert resolve_modes(replace(asked, fit_method="gp"), IMAGE).single_mask


def test_sky_beside_slits_is_smoother_than_behind_everything():
    assert resolve_modes(AUTO, IMAGE).sky_box == 48
    for kind in SLIT_TYPES:
        facts = replace(IMAGE, exposure_type=kind)
        assert resolve_modes(AUTO, facts).sky_box == 512
        assert resolve_modes(replace(AUTO, sky_box=30), facts).sky_box == 30
