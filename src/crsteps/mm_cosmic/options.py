"""Options of the search for cosmic rays in equal exposures."""

from dataclasses import dataclass
from numbers import Integral

from crsteps.mm_cosmic.blocks import BLOCK_BYTES


@dataclass(frozen=True)
class MMCosmicOptions:
    """
    Options of `crsteps.mm_cosmic.masks.find_cosmic_rays`.

    Attributes
    ----------
    cr_coincidences : int
        Exposures that must be hit for a pixel to enter the mask of the median: at least 2 and
        less than the number of exposures.
    false_pixels : float
        Expected number of falsely flagged pixels in each mask of an image.
    grow_probability : float
        Pixels connected with a flagged one are flagged below this probability.
    threshold_rnoise : float
        What a detector of single images flags counts where an exposure lies above the lowest ones
        by this many standard deviations. With a simulated diagram: features it flags count if one
        of their pixels does so by this many times the read noise, as in numina-crmasks.
    mm_dilation : int
        3x3 dilations of each mask after growth.
    dilation : int
        3x3 dilations of the final masks (numina's global dilation).
    equivalence : {"auto", "none"}
        Whether to measure and take out differences between the exposures.
    block_rows : int or None
        Rows worked on at once; None takes all rows, or as many as fit into `block_bytes`.
    block_bytes : int
        Memory for the work on one block.
    """

    cr_coincidences: int = 2
    false_pixels: float = 1.0
    grow_probability: float = 0.01
    threshold_rnoise: float = 3.0
    mm_dilation: int = 0
    dilation: int = 0
    equivalence: str = "auto"
    block_rows: int | None = None
    block_bytes: int = BLOCK_BYTES


def check_options(options, n_exposures):
    """
    Refuse options that have no meaning.

    Parameters
    ----------
    options : MMCosmicOptions
        Options.
    n_exposures : int
        Number of exposures.

    Raises
    ------
    ValueError
        The first that has none.
    """
    whole = {
        "cr_coincidences": (2, n_exposures - 1),
        "mm_dilation": (0, None),
        "dilation": (0, None),
        "block_rows": (1, None),
    }
    for name, (least, most) in whole.items():
        value = getattr(options, name)
        if name == "block_rows" and value is None:
            continue
        if not isinstance(value, Integral) or value < least or (most and value > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise ValueError(f"{name} must be a whole number, {limits}, got {value!r}")
    if not options.false_pixels > 0:
        raise ValueError(f"false_pixels must be positive, got {options.false_pixels}")
    if not 0 < options.grow_probability < 1:
        raise ValueError(
            f"grow_probability must lie between 0 and 1, got {options.grow_probability}"
        )
    if not options.threshold_rnoise >= 0:
        raise ValueError(f"threshold_rnoise must not be negative, got {options.threshold_rnoise}")
    if options.equivalence not in ("auto", "none"):
        raise ValueError(f"equivalence must be 'auto' or 'none', got {options.equivalence!r}")
