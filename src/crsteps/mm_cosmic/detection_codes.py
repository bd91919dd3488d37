"""What flagged a pixel of the mask of the median, as numbers: those of numina-crmasks."""

import numpy as np

BY_DILATION, BY_MM, BY_AUXILIARY, BY_BOTH = map(np.uint8, (1, 2, 3, 4))


def detection_codes(mediancr, in_median, by_comparison, by_detector=None):
    """
    Tell what flagged each pixel of the mask of the median.

    Parameters
    ----------
    mediancr : ndarray of bool, shape (ny, nx)
        Finished mask.
    in_median : ndarray of bool, shape (ny, nx)
        Mask before it was dilated.
    by_comparison : ndarray of bool, shape (ny, nx)
        Pixels flagged by the comparison of exposures.
    by_detector : ndarray of bool, shape (ny, nx), optional
        Pixels flagged by detectors of single images.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        0 where the mask is not set; `BY_DILATION`, `BY_MM`, `BY_AUXILIARY` or `BY_BOTH` where it
        is. What neither flags before the dilation needs both.
    """
    if by_detector is None:
        by_detector = np.zeros_like(by_comparison)
    codes = np.where(mediancr, BY_DILATION, np.uint8(0))
    codes[in_median] = BY_BOTH
    codes[in_median & by_comparison & ~by_detector] = BY_MM
    codes[in_median & by_detector & ~by_comparison] = BY_AUXILIARY
    return codes
