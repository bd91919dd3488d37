"""
Masks with a boundary in a simulated diagram, joined with what detectors of single images find.

The procedure is the one documented for numina-crmasks; what is different from the program is meant:
exposures are compared without their bias, the mask of the mean always holds that of the median,
flux factors of simulated exposures do not change the combinations, and the mask of the cleaned
mean holds what a detector finds in it and nothing else.
"""

from dataclasses import replace

import numpy as np

from crsteps.cosmic_rays.hysteresis import dilate
from crsteps.mm_cosmic.auxiliary_images import detect_in_combination, find_in_images
from crsteps.mm_cosmic.blocks import ExposureReader, divide_by_flux
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.detection_codes import detection_codes
from crsteps.mm_cosmic.diagram import diagram_images
from crsteps.mm_cosmic.diagram_masks import find_in_diagram, rising_features
from crsteps.mm_cosmic.masks import MMCosmicResult, make_warnings
from crsteps.mm_cosmic.measurement import measure_equivalence, measurement_bands


def find_with_diagram(reader, method, options, diagram, detectors, user, told):
    """
    Find cosmic rays as numina-crmasks is documented to.

    Parameters
    ----------
    reader : crsteps.mm_cosmic.blocks.ExposureReader
        Exposures.
    method : crsteps.mm_cosmic.methods.CrMethod
        What finds them; without MM.Cosmic, the detectors alone.
    options : crsteps.mm_cosmic.masks.MMCosmicOptions
        ``dilation``, and ``equivalence``, which acts on the combinations alone.
    diagram : crsteps.mm_cosmic.diagram.DiagramOptions
        Options of the diagram.
    detectors : dict
        Arguments of `crsteps.mm_cosmic.auxiliary_images.find_in_images`.
    user : crsteps.mm_cosmic.user_pixels.UserPixels or None
        Pixels the user decides about: only where the diagram is made from is settled here.
    told : dict
        Attributes of the result: ``flux_factors``, ``apply_flux_factor_to``, ``offsets``,
        ``crmethod``.

    Returns
    -------
    crsteps.mm_cosmic.masks.MMCosmicResult
    """
    raw, (raw_stack, raw_noise) = reader, reader.block(slice(None))
    noise, stack = _typical_noise(raw_noise), raw_stack
    if told["flux_factors"] is not None and told["apply_flux_factor_to"] == "original":
        divided = divide_by_flux(reader.exposures, reader.noise, told["flux_factors"])
        reader = ExposureReader(*divided, reader.missing)
        stack, _ = reader.block(slice(None))
    bands = [reader.block(rows) for rows in measurement_bands(*reader.shape)]
    model = measure_equivalence(bands, adapt=options.equivalence == "auto")
    del bands
    images = diagram_images(stack, cr_coincidences=diagram.cr_coincidences)
    auxiliary = None
    if method.auxiliaries:
        keep = ("cleaned",) if method.uses_mm and diagram.synthetic == "single" else ()
        auxiliary = find_in_images(reader, images.median, mean=images.mean, keep=keep, **detectors)
    found = None
    if method.uses_mm:
        found = _find_in_diagram(raw_stack, auxiliary, user, noise, diagram, told)
    threshold = None
    if found is not None:
        threshold = images.lowest + diagram.threshold_rnoise * np.float32(noise["read_noise"])
    masks = _join(stack, images, auxiliary, found, threshold, options)
    warnings = make_warnings(model, images.n_usable) + (found.warnings if found else ())
    result = MMCosmicResult(
        **masks,
        log_probability=np.zeros(reader.shape, dtype=np.float32),
        lowest=images.lowest,
        median=images.median,
        n_usable=images.n_usable,
        equivalence=model,
        prior=None,
        read_variance=float(np.median(noise["read_noise"]) ** 2),
        poisson_factor=float(1 / np.median(noise["gain"])),
        expected_false=float("nan"),
        warnings=warnings,
        auxiliary=auxiliary,
        diagram=found,
        **told,
    )
    if auxiliary is None:
        return result
    return _search_cleaned_mean(raw, stack, result, detectors, options)


def _typical_noise(noise):
    """Gain and read noise of one exposure, as `find_in_diagram` takes them: mean of all."""
    read, poisson = (
        values.mean(axis=0) if values.shape[1:] != (1, 1) else values.mean()
        for values in (noise.read_variance, noise.poisson_factor)
    )
    return {"gain": 1 / np.maximum(poisson, np.finfo(np.float32).tiny), "read_noise": np.sqrt(read)}


def _find_in_diagram(stack, auxiliary, user, noise, diagram, told):
    """Masks from the diagram of the exposures as they are."""
    return find_in_diagram(
        stack,
        **noise,
        auxiliary=auxiliary,
        to_be_cleaned=None if user is None else user.to_be_cleaned(stack.shape[1:]),
        flux_factors=told["flux_factors"],
        apply_flux_factor_to=told["apply_flux_factor_to"],
        offsets=told["offsets"],
        options=diagram,
    )


def _join(stack, images, auxiliary, found, threshold, options):
    """
    Join both kinds of masks, and limit those of exposures to the mask of the mean.

    The mean is less noisy than an exposure: what is not seen in it is probably noise.
    """
    no = np.zeros(images.median.shape, dtype=bool)
    by_comparison, by_detector = no, no
    of_mean, exposures = no, np.zeros(stack.shape, dtype=bool)
    if found is not None:
        by_comparison, of_mean, exposures = found.median, found.mean, found.exposures.copy()
    if auxiliary is not None:
        by_detector = _rising(auxiliary.median.mask, images.median, threshold)
        of_mean = of_mean | _rising(auxiliary.mean.mask, images.mean, threshold)
        for mask, detection, exposure in zip(exposures, auxiliary.exposures, stack, strict=True):
            mask |= _rising(detection.mask, exposure, threshold)
    in_median = by_comparison | by_detector
    mediancr = dilate(in_median, options.dilation)
    meancrt = dilate(of_mean, options.dilation) | mediancr
    exposure_masks = np.array([dilate(mask & meancrt, options.dilation) for mask in exposures])
    return {
        "exposure_masks": exposure_masks,
        "suspect_masks": np.zeros_like(exposure_masks),
        "mediancr": mediancr,
        "meancrt": meancrt,
        "meancr": no.copy(),
        "codes": detection_codes(mediancr, in_median, by_comparison, by_detector),
    }


def _rising(mask, image, threshold):
    """Features of a detector's mask that somewhere rise above the threshold; all without one."""
    return mask if threshold is None else rising_features(mask, image, threshold)


def _search_cleaned_mean(reader, stack, result, detectors, options):
    """Add what the detectors find in the mean of the unflagged exposures (MEANCR)."""
    combined = combine(
        reader.exposures,
        result,
        noise=reader.noise,
        missing=reader.missing,
        names=("meancr",),
        replacement="minimum",
    )
    found = detect_in_combination(
        reader,
        combined["meancr"].data,
        methods=detectors["methods"],
        options=detectors["options"],
    )
    meancr = dilate(found.mask, options.dilation)
    # Nothing says which exposure it is in: all that are left are suspect, but for the lowest.
    left = np.where(np.isfinite(stack) & ~result.exposure_masks, stack, np.inf)
    lowest = left.min(axis=0)
    suspects = meancr & np.isfinite(left) & (left > lowest)
    return replace(result, meancr=meancr, suspect_masks=suspects)
