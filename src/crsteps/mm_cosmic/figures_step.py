"""What MMCosmicStep shows: images and lines of a result, handed to the functions that draw."""

from functools import cached_property

import numpy as np

from crsteps.detector.regions import parse_regions
from crsteps.mm_cosmic.boundary import detection_boundary
from crsteps.mm_cosmic.combination import combine
from crsteps.mm_cosmic.detection_codes import BY_MM
from crsteps.mm_cosmic.diagnostic_figures import (
    plot_diagnostic,
    plot_expected_and_real,
    plot_simulated_and_real,
)
from crsteps.mm_cosmic.exposure_figures import plot_flux_factors, plot_offsets
from crsteps.mm_cosmic.feature_figures import PageImages, PageOptions
from crsteps.mm_cosmic.feature_page_figures import FeaturePage
from crsteps.mm_cosmic.figures import plot_mm_diagram
from crsteps.mm_cosmic.window_figures import draw_rendered

MOST_PAGES = 1000


class Figures:
    """
    Figures of one result.

    Parameters
    ----------
    step : MMCosmicStep
        Parameters.
    search : crsteps.mm_cosmic.search_step.Search
        How it was found.
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Result.
    unit : str or None
        Unit of the data.
    title : str
        Title of the diagram.
    """

    def __init__(self, step, search, result, *, unit=None, title=None):
        self.step, self.search, self.result = step, search, result
        self.unit, self.title = unit, title
        self.n_exposures = int(result.equivalence.usable.sum())

    @cached_property
    def boundary(self):
        """Minimum signal and difference along the limit of detection; None without one."""
        if self.result.diagram is not None:
            fitted = self.result.diagram.boundary
            return fitted.curve_x, fitted.evaluate(fitted.curve_x)
        if not self.has_null_model:
            return None
        return detection_boundary(
            self.result,
            n_exposures=self.n_exposures,
            cr_coincidences=self.search.options.cr_coincidences,
            false_pixels=self.search.options.false_pixels,
            n_pixels=int(np.count_nonzero(self.result.n_usable >= 2)),
        )

    @cached_property
    def codes(self):
        """What flagged the pixels of MEDIANCR; masks that were given do not tell."""
        if self.result.codes is not None:
            return self.result.codes
        return np.where(self.result.mediancr, BY_MM, np.uint8(0))

    @cached_property
    def combined(self):
        """Mean, and median with flagged pixels replaced."""
        found = combine_as_told(self.step, self.search, self.result, ["mean", "mediancr"])
        return {name: image.data for name, image in found.items()}

    @property
    def labels(self):
        """What is written on all diagrams."""
        return {
            "noise": self.result.read_variance**0.5,
            "unit": self.unit,
            "title": self.title,
            "n_exposures": self.n_exposures,
            "cr_coincidences": self.search.options.cr_coincidences,
        }

    @property
    def threshold(self):
        """Least median minus minimum signal of a detection; None where there is no such limit."""
        if self.result.diagram is None:
            return None
        return self.search.diagram.threshold_rnoise * self.result.read_variance**0.5 or None

    def draw_diagram(self, target):
        """
        Draw the median-minimum diagram.

        Parameters
        ----------
        target : path or matplotlib.figure.Figure
            PNG file to write, or figure to draw into.
        """
        plot_mm_diagram(
            target,
            lowest=self.result.lowest,
            median=self.result.median,
            mediancr=self.result.mediancr,
            boundary=self.boundary,
            **self.labels,
        )

    @property
    def has_null_model(self):
        """Whether the null model set the limit of detection."""
        result = self.result
        compared = self.search.method.uses_mm and self.search.given is None
        return result.diagram is None and result.prior is not None and compared

    def draw_limit(self, target):
        """
        Draw what is expected without cosmic rays, the limit of detection, and the real pixels.

        Parameters
        ----------
        target : path or matplotlib.figure.Figure
            PNG file to write, or figure to draw into.
        """
        result = self.result
        common = {"lowest": result.lowest, "median": result.median, "boundary": self.boundary}
        if self.has_null_model:
            relative_variance = result.equivalence.relative_variance
            plot_expected_and_real(
                target,
                prior=result.prior,
                relative_variance=relative_variance,
                **common,
                **self.labels,
            )
        elif result.diagram is None:
            self.draw_diagram(target)
        else:
            plot_simulated_and_real(
                target,
                simulated=result.diagram.simulated,
                fit=result.diagram.boundary,
                threshold=self.threshold,
                **common,
                **self.labels,
            )

    def draw_diagnostic(self, target):
        """
        Draw what was flagged in the diagram and in the image.

        Parameters
        ----------
        target : path or matplotlib.figure.Figure
            PNG file to write, or figure to draw into.
        """
        plot_diagnostic(
            target,
            lowest=self.result.lowest,
            median=self.result.median,
            mean=self.combined["mean"],
            codes=self.codes,
            boundary=self.boundary,
            threshold=self.threshold,
            **self.labels,
        )

    def draw_flux_factors(self, target):
        """
        Draw how flux factors were measured.

        Parameters
        ----------
        target : path or matplotlib.figure.Figure
            PNG file to write, or figure to draw into.
        """
        plot_flux_factors(target, self.search.measured_flux, unit=self.unit, title=self.title)

    def draw_offsets(self, target):
        """
        Draw how offsets were measured.

        Parameters
        ----------
        target : path or matplotlib.figure.Figure
            PNG file to write, or figure to draw into.
        """
        (region,) = parse_regions(self.step.mm_crosscorr_region)
        plot_offsets(
            target,
            self.search.measured_offsets,
            origin=(region.x_min, region.y_min),
            unit=self.unit,
            title=self.title,
        )

    @cached_property
    def pages(self):
        """Images on the pages of features."""
        return PageImages(
            exposures=tuple(self.search.data),
            exposure_masks=tuple(self.result.exposure_masks),
            median=self.result.median,
            result=self.combined["mediancr"],
            lowest=self.result.lowest,
            codes=self.codes,
        )

    @property
    def page_options(self):
        """How the pages look."""
        step = self.step
        return PageOptions(
            semiwindow=step.semiwindow,
            color_scale=step.color_scale,
            maxplots=MOST_PAGES if step.maxplots < 0 else min(step.maxplots, MOST_PAGES),
            unit=self.unit,
            noise=self.result.read_variance**0.5,
            n_exposures=self.n_exposures,
            cr_coincidences=self.search.options.cr_coincidences,
            boundary=self.boundary,
            threshold=self.threshold,
        )

    @cached_property
    def _page(self):
        return FeaturePage(self.pages, self.page_options)

    def draw_feature(self, figure, x, y, title):
        """
        Draw the page of one feature into the figure of a window.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Figure of the window.
        x, y : ndarray of int
            Pixels of the feature, from 0.
        title : str
            Title of the page.
        """
        self._page.show(x, y, title)
        draw_rendered(figure, self._page.figure)


def combine_as_told(step, search, result, names, **options):
    """
    Combine exposures as the parameters say.

    Parameters
    ----------
    step : MMCosmicStep
        Parameters.
    search : crsteps.mm_cosmic.search_step.Search
        Exposures.
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Masks.
    names : sequence of str
        Combined images to make.
    **options
        Other arguments of `crsteps.mm_cosmic.combination.combine`.

    Returns
    -------
    dict
        By their names.
    """
    return combine(
        search.data,
        result,
        noise=search.noise,
        missing=search.missing,
        names=names,
        use_auxmedian=step.use_auxmedian,
        replacement=step.mm_replacement,
        user=search.user,
        **options,
    )
