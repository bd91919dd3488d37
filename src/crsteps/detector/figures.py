"""What figures of several capabilities share."""

_DPI = 150


def open_figure(target, size, *, layout="constrained"):
    """
    Make a figure, unless there is one to draw into.

    Parameters
    ----------
    target : path, file or matplotlib.figure.Figure
        PNG file to write in the end, or figure to draw into.
    size : tuple of float
        Width and height of a figure that is made [inch].
    layout : str or None, optional
        Layout engine of Matplotlib; None where axes are placed one by one.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    save : callable
        To be called in the end: writes the file, if there is one to write.
    """
    from matplotlib.figure import Figure

    if isinstance(target, Figure):
        return target, lambda: None
    figure = Figure(figsize=size, layout=layout)
    # Noise compresses as well at a low level, in less than half the time.
    settings = {"dpi": _DPI, "format": "png", "pil_kwargs": {"compress_level": 3}}
    return figure, lambda: figure.savefig(target, **settings)
