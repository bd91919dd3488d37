"""
Questions at the terminal while MMCosmicStep runs: about the limit of detection, about features.

Nothing is asked, and the step goes on as if not interactive, where there is no terminal or no
display to show the figures on.
"""

import logging
import sys
from dataclasses import replace

import numpy as np
from scipy import ndimage

from crsteps.cosmic_rays.hysteresis import EIGHT_CONNECTED
from crsteps.errors import CrstepsInputError
from crsteps.mm_cosmic.masks import without_pixels
from crsteps.mm_cosmic.number_lists import parse_rows
from crsteps.mm_cosmic.options import check_options
from crsteps.mm_cosmic.window_figures import show_until_key, windows_can_be_shown

log = logging.getLogger(__name__)

# What can be changed: attribute of the options, words of the question.
_FIT = {
    "hist2d_min_neighbors": "least number of neighbours of a bin (0 to 8)",
    "boundary_fit": "kind of boundary (spline or piecewise)",
    "knots_splfit": "number of knots",
    "niter_boundary_extension": "iterations that extend the boundary",
    "weight_boundary_extension": "factor of weights from one iteration to the next",
    "fixed_points": "fixed points, such as [0, 20], [500, 60, 1000]; - for none",
}
_SIMULATION = {
    "photon_distribution": "distribution of photons (poisson or nbinom)",
    "nbinom_shape": "shape of the negative binomial distribution",
    "ydiag_max": "upper end of the diagram (0: derived)",
    "nsimulations": "number of simulations",
}
_NULL_MODEL = {
    "false_pixels": "expected number of false pixels in each mask",
    "grow_probability": "probability below which neighbours of hits are flagged",
}
_MENU = {
    "f": "fit the boundary again",
    "r": "run the simulations again",
    "c": "continue",
    "x": "exit",
}


def open_session(step):
    """
    Begin to ask, if that is wanted and possible.

    Parameters
    ----------
    step : MMCosmicStep
        Step with its parameters.

    Returns
    -------
    Session or None
        None where nothing is asked; the log says why if it should be.
    """
    if not step.interactive:
        return None
    if sys.stdin is None or not sys.stdin.isatty():
        log.info("interactive: there is no terminal to ask at: going on without questions")
        return None
    if not windows_can_be_shown():
        log.info("interactive: there is no display for windows: going on without questions")
        return None
    return Session()


class Session:
    """
    Questions, and figures to answer them by.

    Parameters
    ----------
    ask : callable, optional
        Like `input`.
    show : callable, optional
        Like `crsteps.mm_cosmic.window_figures.show_until_key`.
    """

    def __init__(self, ask=input, show=show_until_key):
        self._ask, self._show = ask, show

    def revise(self, search, draw):
        """
        Show the diagram and ask how to go on.

        Parameters
        ----------
        search : crsteps.mm_cosmic.search_step.Search
            The search that was done.
        draw : callable
            Draws the diagram of its result into a figure.

        Returns
        -------
        Search or None
            A changed search that is to be done, or None to go on with the result.

        Raises
        ------
        CrstepsInputError
            The user ends the run.
        """
        menu = {key: words for key, words in _MENU.items() if search.diagram or key != "r"}
        if search.diagram is None:
            menu["f"] = "change the limit of detection"
        answer = self._choose(draw, menu, default="c", title="median-minimum diagram")
        if answer == "x":
            raise CrstepsInputError("mm_cosmic was ended at its prompt: nothing was written.")
        if answer == "c":
            return None
        n_exposures = len(search.data)
        if search.diagram is None:
            options = self._changed(
                search.options, _NULL_MODEL, lambda options: check_options(options, n_exposures)
            )
            return search.changed(options=options)
        fields = _FIT if answer == "f" else _SIMULATION
        diagram = self._changed(search.diagram, fields, lambda options: options.check(n_exposures))
        return search.changed(diagram=diagram)

    def verify(self, result, draw_feature):
        """
        Ask for each feature of MEDIANCR whether cosmic rays made it.

        Parameters
        ----------
        result : crsteps.mm_cosmic.masks.MMCosmicResult
            Result; not modified.
        draw_feature : callable
            Called with a figure, the x and y of the feature's pixels, and a title.

        Returns
        -------
        MMCosmicResult
            Without the pixels of the features that were refused.
        """
        labels, n_features = ndimage.label(result.mediancr, EIGHT_CONNECTED)
        refused = np.zeros(n_features + 1, dtype=bool)
        menu = {
            "y": "a cosmic ray",
            "n": "none",
            "a": "yes to this and all that follow",
            "s": "no to this and all that follow",
        }
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            y, x = np.nonzero(labels[place] == number)
            y, x = y + place[0].start, x + place[1].start
            title = f"feature {number} of {n_features}"
            answer = self._choose(
                lambda figure, x=x, y=y, title=title: draw_feature(figure, x, y, title),
                menu,
                default="y",
                title=title,
            )
            if answer == "a":
                break
            if answer == "s":
                refused[number:] = True
                break
            refused[number] = answer == "n"
        log.info("verify_cr: %d of %d features are taken out", refused.sum(), n_features)
        return without_pixels(result, refused[labels])

    def _choose(self, draw, menu, *, default, title):
        """Key that was pressed in the window, else the answer at the prompt."""
        words = ", ".join(f"{key}: {text}" for key, text in menu.items())
        answer = self._show(draw, "".join(menu), f"{title} ({words})")
        while answer not in menu:
            answer = self._answer(f"{title}: {words} [{default}] ").lower() or default
        return answer

    def _changed(self, options, questions, check):
        """Options with the answers put in, asked again until they are possible."""
        while True:
            changes = {
                name: self._value(text, getattr(options, name)) for name, text in questions.items()
            }
            try:
                changed = replace(options, **changes)
                check(changed)
            except (TypeError, ValueError) as error:
                print(f"{error}: once more")
            else:
                return changed

    def _value(self, question, present):
        """Value of the kind of the present one; an empty answer keeps it."""
        while True:
            answer = self._answer(f"{question} [{_shown(present)}] ")
            if not answer:
                return present
            try:
                if isinstance(present, tuple):
                    rows = [] if answer == "-" else parse_rows(answer, widths=(2, 3), form="points")
                    return tuple(map(tuple, rows))
                return type(present)(answer)
            except ValueError:
                print(f"{answer!r} is not understood: once more")

    def _answer(self, prompt):
        """What was typed; nothing when the terminal is closed."""
        try:
            return self._ask(prompt).strip()
        except EOFError:
            return ""


def _shown(value):
    """Present value as it could be typed."""
    if isinstance(value, tuple):
        return ", ".join(str(list(row)) for row in value) or "none"
    return value
