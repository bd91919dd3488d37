"""Figures in windows that stay until a key is pressed or the window is closed."""

import numpy as np


def windows_can_be_shown():
    """
    Tell whether figures can be shown in windows here.

    Returns
    -------
    bool
        False without a display, without a toolkit for windows, or where MPLBACKEND names a
        backend that only writes files.
    """
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.backends import BackendFilter, backend_registry

    backend = matplotlib.get_backend()  # finds one that works, if none was chosen
    windowed = {name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE)}
    if backend.lower() not in windowed:
        return False
    try:
        pyplot.switch_backend(backend)
    except ImportError:  # chosen, and its toolkit or its display is not there
        return False
    return True


def show_until_key(draw, keys, title):
    """
    Show a figure in a window, to zoom and pan, until one of some keys is pressed in it.

    Parameters
    ----------
    draw : callable
        Draws into the `matplotlib.figure.Figure` it is called with.
    keys : str
        Letters that close the window.
    title : str
        Title of the window.

    Returns
    -------
    str or None
        The key; None if the window was closed without one.
    """
    import matplotlib
    from matplotlib import pyplot

    pressed = []
    # No letter that answers may be a shortcut of the window as well.
    shortcuts = {
        name: [key for key in value if key not in keys]
        for name, value in matplotlib.rcParams.items()
        if name.startswith("keymap.")
    }
    with matplotlib.rc_context(shortcuts):
        figure = pyplot.figure(num=title, figsize=(12, 7))

        def on_key(event):
            if event.key and event.key.lower() in keys:
                pressed.append(event.key.lower())
                pyplot.close(figure)

        figure.canvas.mpl_connect("key_press_event", on_key)
        draw(figure)
        pyplot.show(block=True)
        pyplot.close(figure)
    return pressed[0] if pressed else None


def draw_rendered(figure, page):
    """
    Show a finished figure within another one, as an image.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure of a window.
    page : matplotlib.figure.Figure
        Finished figure, which belongs to no window.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(page)
    canvas.draw()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(np.asarray(canvas.buffer_rgba()))
