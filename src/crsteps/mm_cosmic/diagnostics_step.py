"""Figures of all stages of MMCosmicStep, pages of the features, and tables of their pixels."""

import logging

from crsteps.mm_cosmic.feature_figures import FeaturePage, write_feature_pages, write_pages
from crsteps.mm_cosmic.feature_tables import feature_pixels, problematic_table

log = logging.getLogger(__name__)


def write_diagnostics(writing, figures):
    """
    Write all figures and tables of a result.

    Parameters
    ----------
    writing : callable
        Called with the end of a file's name; gives a context manager for its path.
    figures : crsteps.mm_cosmic.figures_step.Figures
        Figures of the result.
    """
    if figures.result.diagram is not None:
        with writing("diagnostic_histogram2d.png") as path:
            figures.draw_limit(path)
    with writing("diagnostic_mediancr.png") as path:
        figures.draw_diagnostic(path)
    _write_measured(writing, figures.search)
    _write_features(writing, figures)
    _write_problematic(writing, figures)


def _write_measured(writing, search):
    """How flux factors and offsets were measured."""
    from crsteps.mm_cosmic.diagnostic_figures import plot_flux_factors, plot_offsets

    if search.measured_flux is not None:
        for number in range(1, len(search.data) + 1):
            with writing(f"flux_factor_{number}.png") as path:
                plot_flux_factors(path, search.measured_flux, number)
    if search.measured_offsets is not None:
        for number in range(1, len(search.data) + 1):
            with writing(f"xyoffset_crosscorr_{number}.png") as path:
                plot_offsets(path, search.measured_offsets, number)


def _write_features(writing, figures):
    """Tables of all features by category, and pages of as many as are wanted."""
    for category, table in feature_pixels(figures.codes).items():
        if len(table):
            with writing(f"mediancr_{category}.csv") as path:
                table.write(path, format="ascii.csv")
    write_feature_pages(
        lambda category: writing(f"mediancr_{category}.pdf"),
        figures.pages,
        options=figures.page_options,
    )


def _write_problematic(writing, figures):
    """The pixels without a clean exposure, as a table and on pages."""
    result, search = figures.result, figures.search
    table = problematic_table(
        result.exposure_masks,
        search.missing,
        usable=result.equivalence.usable,
        codes=figures.codes,
    )
    if not len(table):
        return
    with writing("problematic_pixels.csv") as path:
        table.write(path, format="ascii.csv")
    shown = table[table["CR_number"] <= figures.page_options.maxplots]
    if len(shown):
        with writing("problematic_pixels.pdf") as path:
            write_pages(
                path,
                FeaturePage(figures.pages, figures.page_options),
                shown,
                n_features=int(max(table["CR_number"])),
                heading="no exposure is clean",
            )
