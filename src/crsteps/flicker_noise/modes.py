"""What is possible for an exposure, and what ``auto`` means for it: the table of modes."""

from dataclasses import dataclass, replace

TIME_SERIES_TYPES = ("NIS_SOSS", "NRS_BRIGHTOBJ", "NRC_TSGRISM", "NRC_TSIMAGE")
"""Exposure types (keyword EXP_TYPE) that are time series."""

FFT_TYPES = ("NRS_MSASPEC", "NRS_IFU", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
"""Exposure types for which the jwst step allows ``fit_method = fft``."""

MIRI_TYPES = ("MIR_IMAGE",)
"""Exposure types of MIRI that can be cleaned."""

FEWEST_INTEGRATIONS = 5
"""Integrations of a time series from which ``auto`` makes a template of them."""

SLIT_TYPES = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_IFU")
"""Exposure types of which most pixels see no sky: what there is beside the slits is very smooth."""

# Scales of the sky behind everything and beside slits, in pixels.
_SKY_BOX, _SLIT_SKY_BOX = 48, 512
# Fewest of which a template can be made at all.
_FEWEST_FOR_TEMPLATE = 2


@dataclass(frozen=True)
class Facts:
    """
    What the modes depend on.

    Attributes
    ----------
    exposure_type, subarray : str
        Keywords EXP_TYPE and SUBARRAY in upper case; empty if not known.
    time_series : bool
        Keyword TSOVISIT.
    n_integrations, n_outputs : int
        Integrations in the data, and outputs of the detector.
    """

    exposure_type: str
    subarray: str
    time_series: bool
    n_integrations: int
    n_outputs: int

    @property
    def is_time_series(self):
        """Whether the integrations show the same scene, more or less bright."""
        return self.time_series or self.exposure_type in TIME_SERIES_TYPES

    @property
    def is_miri(self):
        """Whether the detector is one of MIRI's."""
        return self.exposure_type.startswith("MIR")


@dataclass(frozen=True)
class Modes:
    """
    Parameters of the step of the same names that depend on each other and on the exposure.

    Attributes
    ----------
    fit_method, background_method, mask_method : str
        As asked for, or as resolved: then without ``auto``.
    fit_by_channel, single_mask : bool
        Likewise.
    sky_box : int or None
        Likewise; None where it is not asked for.
    remarks : tuple of str
        Sentences on what was asked for and is not possible.
    """

    fit_method: str
    background_method: str
    mask_method: str = "auto"
    fit_by_channel: bool = False
    single_mask: bool = True
    sky_box: int | None = None
    remarks: tuple[str, ...] = ()


def resolve_modes(asked, facts):
    """
    Find the modes for an exposure.

    Parameters
    ----------
    asked : Modes
        What the user asked for.
    facts : Facts
        The exposure.

    Returns
    -------
    Modes
        Possible ones, without ``auto``.

    Raises
    ------
    ValueError
        The exposure cannot be cleaned, or not in the way asked for; with the reason.
    """
    method, remarks = asked.fit_method, list(asked.remarks)
    if facts.is_miri and facts.exposure_type not in MIRI_TYPES:
        raise ValueError(
            f"exposure type {facts.exposure_type}: of MIRI, only images ({', '.join(MIRI_TYPES)}) "
            "can be cleaned"
        )
    if method == "gp" and facts.is_miri:
        method = "median"
        remarks.append("the detectors of MIRI have no common clock to fit: fit_method is median")
    if method == "fft" and facts.exposure_type not in FFT_TYPES:
        raise ValueError(
            f"fit_method = fft is for spectra of NIRSpec ({', '.join(FFT_TYPES)}) and not for "
            f"exposure type {facts.exposure_type or 'unknown'}; choose gp or median"
        )
    background = _background(asked.background_method, method, facts)
    single_mask, by_channel = asked.single_mask, asked.fit_by_channel
    if background == "median_image" and method != "gp" and single_mask:
        single_mask = False  # as the jwst step does
    if by_channel and (facts.is_miri or facts.subarray != "FULL") and facts.n_outputs == 1:
        by_channel = False
        remarks.append("there is one output only: fit_by_channel has no effect")
    mask_method = asked.mask_method
    if mask_method == "auto":
        mask_method = "sources" if method == "gp" else "clip"
    return replace(
        asked,
        fit_method=method,
        background_method=background,
        mask_method=mask_method,
        fit_by_channel=by_channel,
        single_mask=single_mask,
        sky_box=asked.sky_box or _sky_box(facts),
        remarks=tuple(remarks),
    )


def _sky_box(facts):
    """Scale of the sky: stripes wider than it cannot be told from light."""
    return _SLIT_SKY_BOX if facts.exposure_type in SLIT_TYPES else _SKY_BOX


def _background(asked, fit_method, facts):
    """Background method without ``auto``."""
    n = facts.n_integrations
    if asked == "median_image" and n < _FEWEST_FOR_TEMPLATE:
        raise ValueError("background_method = median_image needs more than one integration")
    if asked != "auto":
        return asked
    if fit_method != "gp":
        return "median"
    return "median_image" if facts.is_time_series and n >= FEWEST_INTEGRATIONS else "model"
