"""Ways to find cosmic rays in equal exposures: the null model, detectors of single images, both."""

from dataclasses import dataclass
from difflib import get_close_matches

from crsteps.mm_cosmic.masks import find_cosmic_rays

AUXILIARIES = ("lacosmic", "pycosmic", "deepcr", "conn")
MM_ONLY, MM_PREFIX = "mmcosmic", "mm_"
CRMETHODS = (*AUXILIARIES, MM_ONLY, *(MM_PREFIX + name for name in AUXILIARIES))
AUXILIARY_COMBINATIONS = ("or", "odds")


@dataclass(frozen=True)
class CrMethod:
    """
    What finds cosmic rays.

    Attributes
    ----------
    uses_mm : bool
        Whether the exposures are compared with each other (MM.Cosmic).
    auxiliaries : tuple of str
        Detectors of single images, from `AUXILIARIES`; their masks are joined.
    """

    uses_mm: bool
    auxiliaries: tuple[str, ...]

    @property
    def name(self):
        """The name that `parse_crmethod` takes."""
        joined = "+".join(self.auxiliaries)
        if not self.auxiliaries:
            return MM_ONLY
        return MM_PREFIX + joined if self.uses_mm else joined


def parse_crmethod(text):
    """
    Parse the name of a method.

    Parameters
    ----------
    text : str
        ``mmcosmic``; one of `AUXILIARIES` alone, or several joined by ``+``; these with ``mm_``
        before them for both, such as ``mm_lacosmic+pycosmic``.

    Returns
    -------
    CrMethod

    Raises
    ------
    ValueError
        Unknown method, with the nearest name there is, or one detector twice.
    """
    name = text.strip()
    if name == MM_ONLY:
        return CrMethod(uses_mm=True, auxiliaries=())
    uses_mm = name.startswith(MM_PREFIX)
    auxiliaries = tuple(part.strip() for part in name.removeprefix(MM_PREFIX).split("+"))
    for auxiliary in auxiliaries:
        if auxiliary not in AUXILIARIES:
            raise ValueError(f"unknown crmethod {text!r}: {_suggestion(name, auxiliary)}")
    if len(set(auxiliaries)) < len(auxiliaries):
        raise ValueError(f"crmethod {text!r} names one detector twice: name each once")
    return CrMethod(uses_mm, auxiliaries)


def _suggestion(name, auxiliary):
    """Say what was meant, or what there is."""
    alone = "+" not in name
    known, meant = (CRMETHODS, name) if alone else (AUXILIARIES, auxiliary)
    near = get_close_matches(meant.lower(), known, n=1)
    if near:
        return f"is {near[0]!r} meant?" if alone else f"is {near[0]!r} meant by {auxiliary!r}?"
    return f"choose from {', '.join(CRMETHODS)}, or join detectors as in 'mm_lacosmic+pycosmic'"


def find_with_method(
    exposures,
    *,
    noise,
    missing=None,
    method=None,
    options=None,
    auxiliary_options=None,
    auxiliary_combination="or",
    diagram=None,
    flux_factors=None,
    apply_flux_factor_to="simulated",
    offsets=None,
    user=None,
    map_tasks=map,
):
    """
    Find cosmic rays with any method.

    Parameters
    ----------
    exposures, noise, missing, options
        As for `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    method : CrMethod, optional
        See `parse_crmethod`; MM.Cosmic alone when not given.
    auxiliary_options : dict, optional
        Options of each detector of single images by its name.
    auxiliary_combination : {"or", "odds"}, optional
        How their masks join the null model's: flagged by either, or as evidence.
    diagram : crsteps.mm_cosmic.diagram.DiagramOptions, optional
        Search with a boundary in a simulated diagram instead of the null model.
    flux_factors : array-like, shape (n_exposures,), optional
        Flux of each exposure relative to the scene.
    apply_flux_factor_to : {"original", "simulated"}, optional
        Whether exposures are divided by their factor, or their expectation multiplied by it.
    offsets : array-like, shape (n_exposures, 2), optional
        Shifts ``dx, dy`` of each exposure relative to their median, pixels.
    user : crsteps.mm_cosmic.user_pixels.UserPixels, optional
        Pixels the user decides about.
    map_tasks : callable, optional
        Like `map`: what calls the detectors on the images, in processes of their own perhaps.

    Returns
    -------
    crsteps.mm_cosmic.masks.MMCosmicResult

    Raises
    ------
    ValueError
        As `find_cosmic_rays`, or an impossible method.
    """
    method = method or parse_crmethod(MM_ONLY)
    if method.auxiliaries or not method.uses_mm or diagram or user:
        raise NotImplementedError(f"crmethod {method.name} is not there yet")
    return find_cosmic_rays(exposures, noise=noise, missing=missing, options=options)
