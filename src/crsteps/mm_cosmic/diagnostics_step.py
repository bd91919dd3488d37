"""Figures of all stages of MMCosmicStep, pages of the features, and tables of their pixels."""

from crsteps.mm_cosmic.feature_figures import write_feature_pages, write_problematic_pages
from crsteps.mm_cosmic.feature_tables import feature_pixels, problematic_table


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
    search = figures.search
    drawings = {
        "diagnostic_histogram2d.png": (figures.draw_limit, figures.boundary),
        "diagnostic_mediancr.png": (figures.draw_diagnostic, figures.result),
        "flux_factors.png": (figures.draw_flux_factors, search.measured_flux),
        "xyoffsets.png": (figures.draw_offsets, search.measured_offsets),
    }
    for name, (draw, subject) in drawings.items():
        if subject is not None:
            with writing(name) as path:
                draw(path)
    _write_features(writing, figures)
    _write_problematic(writing, figures)


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
    if figures.page_options.maxplots:
        with writing("problematic_pixels.pdf") as path:
            write_problematic_pages(path, figures.pages, table, options=figures.page_options)
