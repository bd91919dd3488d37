"""One page per feature: every exposure around it, what was found and made, and its diagram."""

from dataclasses import dataclass

import numpy as np

from crsteps.mm_cosmic.feature_page_figures import FeaturePage
from crsteps.mm_cosmic.feature_tables import feature_pixels

COLOR_SCALES = ("zscale", "minmax")
_HEADINGS = {
    "both": "found by both methods",
    "auxiliary_only": "found by the auxiliary method only",
    "mm_only": "found by M.M.Cosmic only",
    "other": "each method found other pixels of it",
}
_DPI = 100


@dataclass(frozen=True)
class PageImages:
    """
    Images shown on the pages, all of shape (ny, nx), NaN where there are no data.

    Attributes
    ----------
    exposures : sequence of ndarray
        Exposures in data units; they may be memory-mapped, for only what is shown is read.
    exposure_masks : sequence of ndarray of bool
        Pixels flagged in each exposure.
    median : ndarray
        Median of the exposures.
    result : ndarray
        The median with flagged pixels replaced.
    lowest : ndarray
        Minimum signal.
    codes : ndarray of uint8
        Detection codes of the median's mask, see `crsteps.mm_cosmic.feature_tables`.
    """

    exposures: tuple
    exposure_masks: tuple
    median: np.ndarray
    result: np.ndarray
    lowest: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class PageOptions:
    """
    What the pages show.

    Attributes
    ----------
    semiwindow : int
        Stamps show so many pixels on each side of the feature's middle; more where the feature
        is larger.
    color_scale : {"zscale", "minmax"}
        Limits of the grey scale that the exposures, median and result of a page share: by the
        zscale algorithm, or the least and greatest value of the exposures.
    maxplots : int
        Most features that are drawn, the first by number; negative: all.
    unit : str or None
        Unit of the data.
    noise : float or None
        Linear part of the diagram's axes, data units; None: from the data.
    n_exposures, cr_coincidences : int or None
        Exposures that were compared, and that must be hit, for the label of the axis; all
        exposures are compared if the first is not given.
    boundary : tuple of ndarray or None
        Minimum signal and median minus minimum signal along the limit of detection.
    threshold : float or None
        Least median minus minimum signal of a detection.
    """

    semiwindow: int = 15
    color_scale: str = "zscale"
    maxplots: int = -1
    unit: str | None = None
    noise: float | None = None
    n_exposures: int | None = None
    cr_coincidences: int | None = None
    boundary: tuple | None = None
    threshold: float | None = None

    def __post_init__(self):
        if self.color_scale not in COLOR_SCALES:
            raise ValueError(
                f"color_scale must be one of {', '.join(COLOR_SCALES)}, got {self.color_scale!r}"
            )
        if self.semiwindow < 1:
            raise ValueError(f"semiwindow must be 1 or more, got {self.semiwindow}")


def write_feature_pages(path_for, images, *, options=None):
    """
    Draw the features of the median's mask into one PDF file for each category.

    Parameters
    ----------
    path_for : callable
        Called with a category that has features; returns a context manager that gives the path
        of the PDF file to write, and is left when that is complete.
    images : PageImages
        What is shown.
    options : PageOptions, optional
        How it is shown.

    Returns
    -------
    dict of str to int
        Number of pages for each of `crsteps.mm_cosmic.feature_tables.CATEGORIES`.
    """
    options = options or PageOptions()
    tables = feature_pixels(images.codes)
    n_features = max((max(t["CR_number"]) for t in tables.values() if len(t)), default=0)
    page, n_pages = None, dict.fromkeys(tables, 0)
    for category, table in tables.items():
        table = _first_features(table, options.maxplots)
        if len(table):
            page = page or FeaturePage(images, options)
            with path_for(category) as path:
                n_pages[category] = _write(path, page, table, n_features, _HEADINGS[category])
    return n_pages


def write_problematic_pages(path, images, table, *, options=None):
    """
    Draw groups of problematic pixels into a PDF file, one page each.

    Parameters
    ----------
    path : path
        PDF file to write.
    images : PageImages
        What is shown.
    table : astropy.table.Table
        Pixels, see `crsteps.mm_cosmic.feature_tables.problematic_table`; with at least one row.
    options : PageOptions, optional
        How it is shown; at least one page is drawn, whatever ``maxplots``.

    Returns
    -------
    int
        Number of pages.
    """
    options = options or PageOptions()
    chosen = _first_features(table, options.maxplots or 1)
    page, n_groups = FeaturePage(images, options), int(table["CR_number"].max())
    return _write(path, page, chosen, n_groups, "pixels hit in every exposure")


def _first_features(table, maxplots):
    return table if maxplots < 0 else table[table["CR_number"] <= maxplots]


def _write(path, page, table, n_features, heading):
    """Draw the features of a table into a PDF file; give the number of pages."""
    from matplotlib.backends.backend_pdf import PdfPages

    numbers, start = np.unique(np.asarray(table["CR_number"]), return_index=True)
    x, y = np.asarray(table["X_pixel"]) - 1, np.asarray(table["Y_pixel"]) - 1
    # Without a date equal data give equal files.
    with PdfPages(path, metadata={"CreationDate": None}) as pdf:
        for i, number in enumerate(numbers):
            pixels = slice(start[i], start[i + 1] if i + 1 < len(start) else None)
            page.show(x[pixels], y[pixels], f"Feature {number} of {n_features}: {heading}")
            pdf.savefig(page.figure, dpi=_DPI)
    return len(numbers)
