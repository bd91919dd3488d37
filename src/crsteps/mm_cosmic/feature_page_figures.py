"""A page that shows one feature: stamps of all images around it, its pixels in the diagram."""

import numpy as np

from crsteps.detector.display import mask_outline, zscale_limits
from crsteps.mm_cosmic.diagram_figures import (
    CODE_STYLES,
    axis_labels,
    count_in_diagram,
    diagram_pixels,
    draw_boundary,
    draw_counts,
    draw_symbols,
    far_apart,
    light_grey,
    round_ticks,
)

_OUTLINE = "#D55E00"
_MISSING = "#C6DBEF"
_MOST_NAMED, _NAME_SIZE = 8, (48.0, 11.0)  # coordinates of pixels, written into the diagram


class FeaturePage:
    """
    A page whose artists are made once and filled for each feature.

    Parameters
    ----------
    images : crsteps.mm_cosmic.feature_figures.PageImages
        What is shown.
    options : crsteps.mm_cosmic.feature_figures.PageOptions
        How it is shown.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The page.
    """

    def __init__(self, images, options):
        from matplotlib.figure import Figure

        self.images, self.options = images, options
        self.flagged = images.codes > 0
        n_columns = max(3, int(np.ceil(np.sqrt(len(images.exposures)))))
        n_rows = -(-len(images.exposures) // n_columns) + 1
        width, height = 2.25 * n_columns + 6.5, max(2.25 * n_rows + 1.2, 5.7)
        self.figure = Figure(figsize=(width, height))
        self.title = self.figure.text(0.35 / width, 1 - 0.3 / height, "", fontsize=13)
        self.summary = self.figure.text(0.35 / width, 1 - 0.55 / height, "", fontsize=9)
        left = self.figure.add_gridspec(
            n_rows,
            n_columns,
            left=0.6 / width,
            right=(0.6 + 2.2 * n_columns) / width,
            top=1 - 0.95 / height,
            bottom=0.55 / height,
            wspace=0.06,
            hspace=0.16,
        )
        self.stamps = self._make_stamps(left, n_rows, n_columns)
        self._make_colour_bar((0.7 + 2.2 * n_columns) / width, width, height)
        tall = min(height - 1.85, 4.6)
        frame = (2.2 + 2.2 * n_columns) / width, 1 - (1.25 + tall) / height, 4.1 / width
        frame = self.figure.add_axes((*frame, tall / height))
        self.diagram = _FeatureDiagram(frame, images, options)

    def _make_stamps(self, grid, n_rows, n_columns):
        """Name, axes, image, outlines and what they show, for each stamp."""
        images = self.images
        places = [divmod(i, n_columns) for i in range(len(images.exposures))]
        contents = [
            (f"exposure {i + 1}", image, mask)
            for i, (image, mask) in enumerate(
                zip(images.exposures, images.exposure_masks, strict=True)
            )
        ]
        places += [(n_rows - 1, column) for column in range(3)]
        contents += [
            ("median", images.median, self.flagged),
            ("detection", images.codes, None),
            ("flagged pixels replaced", images.result, None),
        ]
        # All stamps show the same pixels: one of them, at the corner, says which.
        return [
            _Stamp(
                self.figure.add_subplot(grid[place]), *content, has_ticks=place == (n_rows - 1, 0)
            )
            for place, content in zip(places, contents, strict=True)
        ]

    def _make_colour_bar(self, left, width, height):
        axes = self.figure.add_axes((left, 0.55 / height, 0.12 / width, 1 - 1.5 / height))
        bar = self.figure.colorbar(self.stamps[0].image, cax=axes)
        bar.ax.tick_params(labelsize=8)
        if self.options.unit:
            bar.ax.set_title(self.options.unit, fontsize=8, y=1.0, pad=4)

    def show(self, x, y, title):
        """
        Fill the page.

        Parameters
        ----------
        x, y : ndarray of int, shape (n,)
            Pixels of the feature, 0-based.
        title : str
            Title of the page.
        """
        window = _window(x, y, self.options.semiwindow)
        cuts = [_cut(stamp.content, window) for stamp in self.stamps]
        low, high = self._limits(cuts[: len(self.images.exposures)])
        for stamp, cut in zip(self.stamps, cuts, strict=True):
            stamp.show(cut, window, (low, high), (x, y))
        self.diagram.show(x, y)
        self.title.set_text(title)
        self.summary.set_text(_summary(x, y, self.images.codes[y, x]))

    def _limits(self, cuts):
        values = np.concatenate([cut.ravel() for cut in cuts])
        if self.options.color_scale == "zscale":
            return zscale_limits(values)
        finite = values[np.isfinite(values)]
        if not finite.size:
            return -1.0, 1.0
        low, high = float(finite.min()), float(finite.max())
        return (low, high) if high > low else (low - 1, high + 1)


class _Stamp:
    """One stamp: axes, image and outline, made once."""

    def __init__(self, axes, name, content, mask, *, has_ticks):
        from matplotlib import colormaps
        from matplotlib.collections import LineCollection
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Rectangle
        from matplotlib.ticker import MaxNLocator

        self.axes, self.content, self.mask = axes, content, mask
        self.is_code = content.dtype == np.uint8
        if self.is_code:
            colours = ["white", *(CODE_STYLES[code][0] for code in sorted(CODE_STYLES))]
            settings = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": 4.5}
        else:
            settings = {"cmap": colormaps["gray"].with_extremes(bad=_MISSING)}
        self.image = axes.imshow(
            np.zeros((3, 3)), origin="lower", interpolation="nearest", **settings
        )
        colour = "black" if self.is_code else _OUTLINE
        self.outline = LineCollection([], colors=colour, linewidths=0.8)
        axes.add_collection(self.outline, autolim=False)
        # A given height spares the search for a free one on every page.
        axes.set_title(name, fontsize=9, y=1.0, pad=3)
        if not has_ticks:
            # One frame is drawn sooner than two axes and four spines without ticks.
            axes.set_axis_off()
            axes.add_patch(
                Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, clip_on=False)
            )
            return
        axes.tick_params(labelsize=7, length=2, pad=2)
        for axis, text, place in (
            (axes.xaxis, "X [FITS pixel]", (0.5, -0.1)),
            (axes.yaxis, "Y [FITS pixel]", (-0.16, 0.5)),
        ):
            axis.set_major_locator(MaxNLocator(4, integer=True))
            axis.set_label_text(text, fontsize=8)
            axis.set_label_coords(*place)

    def show(self, cut, window, limits, pixels):
        """Show a window, its outline and, for codes, that of the feature alone."""
        rows, columns = window
        extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
        self.image.set_data(cut)
        self.image.set_extent(extent)
        if not self.is_code:
            self.image.set_clim(*limits)
        lines = np.empty((0, 2, 2))
        if self.is_code:
            own = np.zeros(cut.shape, dtype=bool)
            own[pixels[1] - rows.start, pixels[0] - columns.start] = True
            lines = mask_outline(own)
        elif self.mask is not None:
            lines = mask_outline(_cut(self.mask, window))
        # The first pixel of the image is 1 here, as in FITS.
        self.outline.set_segments(lines + np.array([columns.start + 1, rows.start + 1]))


class _FeatureDiagram:
    """The diagram of all pixels, with those of one feature marked."""

    def __init__(self, axes, images, options):
        x, y, _, scale = diagram_pixels(images.lowest, images.median, options.noise)
        self.axes, self.images = axes, images
        if x.size:
            draw_counts(axes, count_in_diagram(x, y, scale), cmap=light_grey(), bar=False)
            draw_boundary(axes, options.boundary, x, label="limit of detection")
            if options.threshold:
                axes.axhline(options.threshold, color="black", linestyle=":", linewidth=1)
            round_ticks(axes, scale)
        self.symbols = draw_symbols(axes, larger=1.0)
        names = axis_labels(
            unit=options.unit,
            n_exposures=options.n_exposures or len(images.exposures),
            cr_coincidences=options.cr_coincidences,
        )
        # Labels at given places spare the search for free ones on every page.
        for axis, name, place in zip(
            (axes.xaxis, axes.yaxis), names, ((0.5, -0.075), (-0.12, 0.5)), strict=True
        ):
            axis.set_label_text(name)
            axis.set_label_coords(*place)
        axes.tick_params(labelsize=9)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1),
            ncols=2,
            fontsize=8.5,
            frameon=False,
            handletextpad=0.4,
            columnspacing=1.2,
            title="grey: all pixels; symbols: this feature",
            title_fontsize=8.5,
            alignment="left",
        )
        self.names = [
            axes.annotate("", (0, 0), (4, 4), textcoords="offset points", fontsize=7)
            for _ in range(_MOST_NAMED)
        ]

    def show(self, x, y):
        """Mark the pixels of a feature and name the foremost."""
        signal = self.images.lowest[y, x]
        difference = self.images.median[y, x] - signal
        code = self.images.codes[y, x]
        for value, symbol in self.symbols.items():
            symbol.set_data(signal[code == value], difference[code == value])
        placed = self.axes.transData.transform(np.column_stack([signal, difference]))
        named = far_apart(placed, difference, _NAME_SIZE, _MOST_NAMED)
        for name, i in zip(self.names, [*named, *[None] * _MOST_NAMED], strict=False):
            name.set_visible(i is not None)
            if i is not None:
                name.set_text(f"({x[i] + 1}, {y[i] + 1})")
                name.xy = signal[i], difference[i]


def _window(x, y, semiwindow):
    """Rows and columns of a square window around pixels, 0-based; it may exceed the image."""
    middle_x, middle_y = (x.min() + x.max()) // 2, (y.min() + y.max()) // 2
    half = max(semiwindow, np.ptp(x) // 2 + 3, np.ptp(y) // 2 + 3)
    return slice(middle_y - half, middle_y + half + 1), slice(middle_x - half, middle_x + half + 1)


def _cut(image, window):
    """Cut a window out; what lies beyond the image is NaN, or nothing flagged."""
    size = tuple(part.stop - part.start for part in window)
    kept = tuple(slice(max(p.start, 0), p.stop) for p in window)
    inside = np.asarray(image[kept])
    fill = 0 if inside.dtype.kind in "bu" else np.nan
    cut = np.full(size, fill, dtype=inside.dtype)
    first = [k.start - p.start for k, p in zip(kept, window, strict=True)]
    cut[first[0] : first[0] + inside.shape[0], first[1] : first[1] + inside.shape[1]] = inside
    return cut


def _summary(x, y, codes):
    """Say where the feature is and what found its pixels."""
    spans = [
        f"{name} {v.min() + 1}" + (f"–{v.max() + 1}" if v.max() > v.min() else "")
        for name, v in (("X", x), ("Y", y))
    ]
    parts = [
        f"{words} {np.count_nonzero(codes == code)}"
        for code, (*_, words) in sorted(CODE_STYLES.items(), reverse=True)
        if np.any(codes == code)
    ]
    pixels = f"{x.size} pixel{'s' if x.size > 1 else ''}"
    return f"{', '.join(spans)} (first pixel of the image: 1); {pixels}: {', '.join(parts)}"
