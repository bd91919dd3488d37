"""
A large image through a function that takes small ones: overlapping windows without seams.

The image is cut into equal cells. Each is seen with a margin of its neighbours around it, and only
the cell itself is kept of the result: with a margin as wide as the function looks, the result does
not depend on where the cuts are. Beyond its edges the image is mirrored.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tile:
    """
    One cell of an image and the window around it.

    Attributes
    ----------
    cell : tuple of slice
        The cell in the image; cells touch, and together are the image.
    window : tuple of slice
        The cell and its margin, in the padded image; all windows of an image have one shape.
    kept : tuple of slice
        The cell in its window.
    """

    cell: tuple[slice, slice]
    window: tuple[slice, slice]
    kept: tuple[slice, slice]


def plan_tiles(shape, *, size, margin, multiple):
    """
    Cut an image into equal cells with windows around them.

    Parameters
    ----------
    shape : tuple of (int, int)
        Shape of the image.
    size : int
        Largest height and width of a cell; a multiple of `multiple`.
    margin : int
        Width of the margin; a multiple of `multiple`.
    multiple : int
        Height and width of every window are multiples of this, and windows start at multiples of
        it: a network that bins its input bins the same pixels, wherever the cuts are.

    Returns
    -------
    tiles : list of Tile
        Cells row by row.
    padded_shape : tuple of (int, int)
        Shape of the image with the margin, and what is missing to the multiple, around it: it
        begins `margin` pixels before the image in both axes.

    Raises
    ------
    ValueError
        If `size` is not positive, or `size` or `margin` is not a multiple of `multiple`.
    """
    if size < 1 or size % multiple or margin % multiple:
        raise ValueError(
            f"a cell of {size} pixels with a margin of {margin}: both must be multiples of "
            f"{multiple}, and the cell must not be empty"
        )
    steps = [_cell_length(length, size, multiple) for length in shape]
    starts = [range(0, length, step) for length, step in zip(shape, steps, strict=True)]
    tiles = [
        Tile(
            *zip(
                *(
                    _along_axis(start, step, length, margin)
                    for start, step, length in zip(corner, steps, shape, strict=True)
                ),
                strict=True,
            )
        )
        for corner in ((y, x) for y in starts[0] for x in starts[1])
    ]
    padded_shape = tuple(
        len(start) * step + 2 * margin for start, step in zip(starts, steps, strict=True)
    )
    return tiles, padded_shape


def _cell_length(length, size, multiple):
    """Length of the fewest cells that are equal, no longer than `size` and of the multiple."""
    n_cells = -(-length // size)
    return -(-length // (n_cells * multiple)) * multiple


def _along_axis(start, step, length, margin):
    """Cell, window and kept part of the tile that starts at a pixel."""
    stop = min(start + step, length)
    return (
        slice(start, stop),
        slice(start, start + step + 2 * margin),  # the padded image starts a margin earlier
        slice(margin, margin + stop - start),
    )


def map_tiles(image, function, *, size, margin, multiple):
    """
    Apply a function to overlapping windows of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Image, finite everywhere and not empty.
    function : callable
        Takes a contiguous array of float32, returns one of the same shape.
    size, margin, multiple : int
        As for `plan_tiles`.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        What the function made of each pixel.
    """
    tiles, padded_shape = plan_tiles(image.shape, size=size, margin=margin, multiple=multiple)
    behind = [whole - n - margin for whole, n in zip(padded_shape, image.shape, strict=True)]
    padded = np.pad(image, [(margin, n) for n in behind], mode="reflect")
    result = np.empty(image.shape, dtype=np.float32)
    for tile in tiles:
        window = np.ascontiguousarray(padded[tile.window], dtype=np.float32)
        result[tile.cell] = function(window)[tile.kept]
    return result
