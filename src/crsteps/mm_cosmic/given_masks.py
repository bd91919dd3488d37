"""Masks that were made before, as a result to combine the exposures with."""

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.mm_cosmic.auxiliary_images import AuxiliaryImages
from crsteps.mm_cosmic.examination import examine
from crsteps.mm_cosmic.masks import MMCosmicOptions, checked_reader, make_result


def result_from_masks(
    exposures,
    *,
    noise,
    missing=None,
    options=None,
    exposure_masks,
    mediancr,
    meancrt,
    meancr,
    suspect_masks=None,
    cleaned_median=None,
):
    """
    Give the result that a search with these masks would have had.

    Differences between the exposures are measured; nothing is searched.

    Parameters
    ----------
    exposures, noise, missing, options
        As for `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    exposure_masks : ndarray of bool, shape (n_exposures, ny, nx)
        Pixels hit in each exposure.
    mediancr, meancrt, meancr : ndarray of bool, shape (ny, nx)
        Masks of the combinations.
    suspect_masks : ndarray of bool, shape (n_exposures, ny, nx), optional
        Pixels that are suspect in each exposure; without them, the unflagged exposures are in the
        pixels of ``meancr``.
    cleaned_median : ndarray of float32, shape (ny, nx), optional
        Cleaned median, data units.

    Returns
    -------
    crsteps.mm_cosmic.masks.MMCosmicResult
        Its probabilities are 0, for nothing was tested.

    Raises
    ------
    ValueError
        As `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    """
    options = options or MMCosmicOptions()
    examination = examine(checked_reader(exposures, noise, missing, options), options)
    if suspect_masks is None:
        suspect_masks = meancr & ~exposure_masks
    masks = {
        "exposure_masks": exposure_masks,
        "suspect_masks": suspect_masks,
        "mediancr": mediancr,
        "meancrt": meancrt,
        "meancr": meancr,
    }
    untested = np.zeros(mediancr.shape, dtype=np.float32)
    auxiliary = None
    if cleaned_median is not None:
        cleaned = AuxiliaryDetection(mask=mediancr, cleaned=cleaned_median)
        auxiliary = AuxiliaryImages((), cleaned, None, ())
    return make_result(
        examination, masks, untested, options, auxiliary=auxiliary, crmethod="crmasks"
    )
