"""From an image to the mask of a network: tiles, threshold, replaced pixels."""

import logging

import numpy as np

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.cosmic_rays.local_median import median_around
from crsteps.cosmic_rays.networks import load_network, processor_threads, window_probability
from crsteps.cosmic_rays.tiles import map_tiles

log = logging.getLogger(__name__)

_REACH = (2, 2)  # half width of the windows for replacements, deepCR's 5x5 pixels


def check_network_options(options, *, model, known):
    """
    Refuse impossible options of a network.

    Parameters
    ----------
    options : DeepcrOptions or ConnOptions
        Options.
    model : str
        Name of the attribute that names the network.
    known : sequence of str
        Networks there are.

    Raises
    ------
    ValueError
        If a value is impossible; the message names it.
    """
    name = getattr(options, model)
    if name not in known:
        raise ValueError(f"{model} is {name!r}; it must be one of {', '.join(known)}")
    if not 0 < options.threshold < 1:
        raise ValueError(
            f"threshold is {options.threshold}; it must be a probability between 0 and 1"
        )
    for name in ("tile_size", "threads"):
        value = getattr(options, name)
        if value is not None and (value != int(value) or value < 1):
            raise ValueError(f"{name} is {value}; it must be a whole number of at least 1")


def detect_with_network(prepared, network_input, *, family, model, options, tile_size):
    """
    Find cosmic rays in one image with a network.

    Parameters
    ----------
    prepared : SingleImage
        The image.
    network_input : ndarray of float32, shape (ny, nx)
        The image as the network was trained to see it.
    family : NetworkFamily
        `DEEPCR` or `CONN`.
    model : str
        Name of the network.
    options : DeepcrOptions or ConnOptions
        Options.
    tile_size : int
        Largest height and width of a tile, rounded up to what the network can bin.

    Returns
    -------
    AuxiliaryDetection
        Mask; cleaned image, with the median of the 5x5 pixels around it that are neither flagged
        nor missing in each flagged or missing pixel; probability, 0 at missing pixels.

    Raises
    ------
    ModuleNotFoundError
        If a package is missing; the message names the extra that installs it.
    """
    network = load_network(family.extra, model)
    size = -(-int(tile_size) // family.multiple) * family.multiple
    with processor_threads(int(options.threads)):
        probability = map_tiles(
            network_input,
            lambda window: window_probability(network, window),
            size=size,
            margin=family.margin,
            multiple=family.multiple,
        )
    probability[prepared.missing] = 0
    mask = probability > options.threshold
    if options.verbose:
        log.info("%s, %s: %d pixels flagged", family.name, model, np.count_nonzero(mask))
    return AuxiliaryDetection(
        mask=mask,
        cleaned=_replaced(prepared.data, mask | prepared.missing),
        probability=probability,
    )


def _replaced(image, bad):
    """Image with the median of the good pixels around each bad one."""
    cleaned = image.copy()
    pixels = np.flatnonzero(bad)
    cleaned.ravel()[pixels] = median_around(image, ~bad, pixels, reach=_REACH)
    return cleaned
