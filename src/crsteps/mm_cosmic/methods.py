"""Ways to find cosmic rays in equal exposures: the null model, detectors of single images, both."""

from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from crsteps.cosmic_rays.auxiliary import METHODS as AUXILIARIES
from crsteps.mm_cosmic.auxiliary_images import find_in_images
from crsteps.mm_cosmic.blocks import divide_by_flux
from crsteps.mm_cosmic.detection_codes import BY_DILATION
from crsteps.mm_cosmic.diagram_search import find_with_diagram
from crsteps.mm_cosmic.evidence import evidence_levels, rising_detections
from crsteps.mm_cosmic.examination import examine
from crsteps.mm_cosmic.masks import (
    MMCosmicOptions,
    assemble_masks,
    checked_reader,
    detect,
    make_result,
    needed_hits,
    without_pixels,
)

MM_ONLY, MM_PREFIX = "mmcosmic", "mm_"
CRMETHODS = (*AUXILIARIES, MM_ONLY, *(MM_PREFIX + name for name in AUXILIARIES))
AUXILIARY_COMBINATIONS = ("or", "odds")


@dataclass(frozen=True)
class CrMethod:
    """
    What finds cosmic rays.

    Attributes
    ----------
    uses_mm : bool
        Whether the exposures are compared with each other (MM.Cosmic).
    auxiliaries : tuple of str
        Detectors of single images, from `AUXILIARIES`; their masks are joined.
    """

    uses_mm: bool
    auxiliaries: tuple[str, ...]

    @property
    def name(self):
        """The name that `parse_crmethod` takes."""
        joined = "+".join(self.auxiliaries)
        if not self.auxiliaries:
            return MM_ONLY
        return MM_PREFIX + joined if self.uses_mm else joined


def parse_crmethod(text):
    """
    Parse the name of a method.

    Parameters
    ----------
    text : str
        ``mmcosmic``; one of `AUXILIARIES` alone, or several joined by ``+``; these with ``mm_``
        before them for both, such as ``mm_lacosmic+pycosmic``.

    Returns
    -------
    CrMethod

    Raises
    ------
    ValueError
        Unknown method, with the nearest name there is, or one detector twice.
    """
    name = text.strip()
    if name == MM_ONLY:
        return CrMethod(uses_mm=True, auxiliaries=())
    uses_mm = name.startswith(MM_PREFIX)
    auxiliaries = tuple(part.strip() for part in name.removeprefix(MM_PREFIX).split("+"))
    for auxiliary in auxiliaries:
        if auxiliary not in AUXILIARIES:
            raise ValueError(f"unknown crmethod {text!r}: {_suggestion(name, auxiliary)}")
    if len(set(auxiliaries)) < len(auxiliaries):
        raise ValueError(f"crmethod {text!r} names one detector twice: name each once")
    return CrMethod(uses_mm, auxiliaries)


def _suggestion(name, auxiliary):
    """Say what was meant, or what there is."""
    alone = "+" not in name
    known, meant = (CRMETHODS, name) if alone else (AUXILIARIES, auxiliary)
    near = get_close_matches(meant.lower(), known, n=1)
    if near:
        return f"is {near[0]!r} meant?" if alone else f"is {near[0]!r} meant by {auxiliary!r}?"
    return f"choose from {', '.join(CRMETHODS)}, or join detectors as in 'mm_lacosmic+pycosmic'"


def find_with_method(
    exposures,
    *,
    noise,
    missing=None,
    method=None,
    options=None,
    auxiliary_options=None,
    auxiliary_combination="or",
    diagram=None,
    flux_factors=None,
    apply_flux_factor_to="simulated",
    offsets=None,
    user=None,
    map_tasks=map,
):
    """
    Find cosmic rays with any method.

    Parameters
    ----------
    exposures, noise, missing
        As for `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    method : CrMethod, optional
        See `parse_crmethod`; MM.Cosmic alone when not given.
    options : crsteps.mm_cosmic.options.MMCosmicOptions, optional
        Options.
    auxiliary_options : dict, optional
        Options of each detector of single images by its name.
    auxiliary_combination : {"or", "odds"}, optional
        How their masks join the null model's: flagged by either, or as evidence.
    diagram : crsteps.mm_cosmic.diagram.DiagramOptions, optional
        Search with a boundary in a simulated diagram instead of the null model.
    flux_factors : array-like, shape (n_exposures,), optional
        Flux of each exposure relative to the scene. Exposures are compared after division by it;
        what they differ by still is measured, unless the options say they are equal.
    apply_flux_factor_to : {"original", "simulated"}, optional
        Whether exposures are divided by their factor in the combinations too, or only their
        expectation is multiplied by it.
    offsets : array-like, shape (n_exposures, 2), optional
        Shifts ``dx, dy`` of each exposure relative to their median, pixels. Where shifts are
        measured, that starts from them.
    user : crsteps.mm_cosmic.user_pixels.UserPixels, optional
        Pixels the user decides about.
    map_tasks : callable, optional
        Like `map`: what calls the detectors on the images, in processes of their own perhaps.

    Returns
    -------
    crsteps.mm_cosmic.masks.MMCosmicResult

    Raises
    ------
    ValueError
        As `find_cosmic_rays`, or an impossible method.
    """
    method = method or parse_crmethod(MM_ONLY)
    options = options or MMCosmicOptions()
    _check_choices(auxiliary_combination, apply_flux_factor_to)
    reader = checked_reader(exposures, noise, missing, options)
    if offsets is not None and np.shape(offsets) != (len(reader), 2):
        raise ValueError(
            f"offsets of shape {np.shape(offsets)} are not dx, dy of {len(reader)} exposures"
        )
    told = {"flux_factors": None if flux_factors is None else np.asarray(flux_factors, float)}
    told |= {"apply_flux_factor_to": apply_flux_factor_to, "crmethod": method.name}
    told["offsets"] = None if offsets is None else np.asarray(offsets, float)
    detectors = {"methods": method.auxiliaries, "options": auxiliary_options}
    detectors["map_tasks"] = map_tasks
    if diagram is not None:
        result = find_with_diagram(reader, method, options, diagram, detectors, user, told)
    else:
        scaled = reader
        if flux_factors is not None:
            divided = divide_by_flux(exposures, noise, flux_factors)
            scaled = checked_reader(*divided, missing, options)
        odds = auxiliary_combination == "odds"
        result = _find_by_null_model(scaled, method, options, detectors, told, odds=odds)
        if flux_factors is not None and apply_flux_factor_to == "simulated":
            result = _with_flux(result, told["flux_factors"])
    return result if user is None else apply_user_pixels(result, user, reader, options)


def _find_by_null_model(reader, method, options, detectors, told, *, odds):
    """Compare the exposures by the null model, with the detectors if there are any."""
    examination = examine(reader, options, offsets=told["offsets"])
    if not method.auxiliaries:
        hits, suspects, log_probability = detect(examination, options)
        masks = assemble_masks(hits, suspects, examination, options)
        return make_result(examination, masks, log_probability, options, **told)
    keep = ("probability",) if odds else ()
    auxiliary = find_in_images(reader, examination.median, keep=keep, **detectors)
    detected = rising_detections(examination, auxiliary, options)
    hits, suspects, log_probability = _detect_with(
        examination, auxiliary, detected, options, compare=method.uses_mm, odds=odds
    )
    compared = hits if method.uses_mm else np.zeros_like(hits)
    by_detector = detected if method.uses_mm else hits | detected
    if odds and method.uses_mm:
        # They were evidence; alone they count where there is nothing to compare with.
        detected = detected & (examination.n_usable == 1)
    hits = hits | detected
    masks = assemble_masks(
        hits, suspects & ~hits, examination, options, detected=by_detector, compared=compared
    )
    return make_result(examination, masks, log_probability, options, auxiliary=auxiliary, **told)


def _detect_with(examination, auxiliary, detected, options, *, compare, odds):
    """Hits by the null model; from the detectors' features alone, or with them as evidence."""
    if not compare:
        return detect(examination, options, detected=detected, compare=False)
    levels = None
    if odds:
        levels = evidence_levels(auxiliary)[examination.model.usable]
    return detect(examination, options, levels=levels)


def _with_flux(result, factors):
    """Result for the exposures as they are, found in those divided by their flux factors."""
    model = result.equivalence
    model = replace(model, flux=model.flux * factors, offset=model.offset * factors)
    return replace(result, equivalence=model)


def apply_user_pixels(result, user, reader, options):
    """
    Bring masks in line with what the user says.

    Nothing is flagged in what is to be skipped, ignored or replaced. A pixel to be flagged is
    flagged in MEDIANCR, and in the highest of the exposures, as many as must be hit for that.

    Parameters
    ----------
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Masks, with all dilations.
    user : crsteps.mm_cosmic.user_pixels.UserPixels
        Pixels the user decides about.
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        Exposures.
    options : crsteps.mm_cosmic.masks.MMCosmicOptions
        Options.

    Returns
    -------
    crsteps.mm_cosmic.masks.MMCosmicResult
    """
    # The arrays of this result are its own: pixels can be set in place.
    result = without_pixels(result, ~user.to_be_cleaned(result.mediancr.shape))
    if user.flagged is None:
        return result
    pixels = np.nonzero(user.flagged & (result.n_usable > 0))
    result.mediancr[pixels] = result.meancrt[pixels] = True
    result.codes[pixels] = np.maximum(result.codes[pixels], BY_DILATION)
    needed = needed_hits(result.n_usable[pixels], options)
    highest = _highest(reader, result.equivalence, pixels, needed)
    result.exposure_masks[:, *pixels] |= highest
    np.logical_and(result.suspect_masks, ~result.exposure_masks, out=result.suspect_masks)
    return result


def _highest(reader, model, pixels, needed):
    """The highest exposures of some pixels, as many as needed, as booleans (n, n_pixels)."""
    values = np.array([np.asarray(exposure)[pixels] for exposure in reader.exposures], dtype=float)
    values /= model.flux[:, None]
    known = np.isfinite(values) & model.usable[:, None]
    if reader.missing is not None:
        for own, missing in zip(known, reader.missing, strict=True):
            own &= True if missing is None else ~np.asarray(missing)[pixels]
    rank = np.argsort(np.argsort(np.where(known, -values, np.inf), axis=0), axis=0)
    return (rank < needed) & known


def _check_choices(auxiliary_combination, apply_flux_factor_to):
    """Refuse what is none of the choices."""
    for name, value, choices in (
        ("auxiliary_combination", auxiliary_combination, AUXILIARY_COMBINATIONS),
        ("apply_flux_factor_to", apply_flux_factor_to, ("original", "simulated")),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
