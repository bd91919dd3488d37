"""Exposures read by blocks of rows, as stacks in which missing pixels are NaN."""

import numpy as np

from crsteps.detector.noise import ExposureNoise

# Memory for the work on one block.
BLOCK_BYTES = 48 * 1024**2
# Planes of temporary float32 images per exposure while a block is worked on (measured).
_PLANES_PER_EXPOSURE = 8
# Values beyond are fill values of pixels without data; their squares leave single precision.
LARGEST_VALUE = 1e15


def block_slices(reader, halo, block_rows=None, block_bytes=BLOCK_BYTES):
    """
    Cut an image into blocks of rows with a halo.

    Parameters
    ----------
    reader : ExposureReader
        Exposures.
    halo : int
        Rows needed above and below a block.
    block_rows : int, optional
        Rows of a block; as many as fit into ``block_bytes`` when not given.
    block_bytes : int, optional
        Memory for the work on a block.

    Yields
    ------
    rows, around, inner : slice
        Rows of the block, rows with the halo, and the former within the latter.
    """
    n_rows, n_columns = reader.shape
    if block_rows is None:
        bytes_per_row = 4 * n_columns * len(reader) * _PLANES_PER_EXPOSURE
        block_rows = max(16, block_bytes // bytes_per_row)
    for first in range(0, n_rows, block_rows):
        last = min(first + block_rows, n_rows)
        start, stop = max(first - halo, 0), min(last + halo, n_rows)
        yield slice(first, last), slice(start, stop), slice(first - start, last - start)


class ScaledExposure:
    """
    An exposure divided by its flux factor, where it is read.

    Parameters
    ----------
    exposure : array-like, shape (ny, nx)
        Exposure, in memory or mapped.
    factor : float
        Flux factor.
    """

    def __init__(self, exposure, factor):
        self.exposure = exposure
        self.factor = np.float32(factor)
        self.shape = np.shape(exposure)

    def __getitem__(self, rows):
        return np.asarray(self.exposure[rows], dtype=np.float32) / self.factor


def divide_by_flux(exposures, noise, factors):
    """
    Bring exposures of different flux to one scale.

    Parameters
    ----------
    exposures : sequence of array-like, shape (ny, nx)
        Exposures.
    noise : crsteps.detector.noise.ExposureNoise
        Their noise.
    factors : array-like, shape (n_exposures,)
        Flux of each exposure relative to the scene.

    Returns
    -------
    exposures : list of ScaledExposure
        Exposures divided by their factors; they are read by blocks as before.
    noise : crsteps.detector.noise.ExposureNoise
        Their noise.

    Raises
    ------
    ValueError
        Not one positive factor for each exposure.
    """
    factors = np.asarray(factors, dtype=np.float32)
    if factors.shape != (len(exposures),) or not np.all((factors > 0) & np.isfinite(factors)):
        raise ValueError(
            f"flux factors must be {len(exposures)} positive numbers, got {factors.tolist()}"
        )
    scale = factors[:, None, None]
    noise = ExposureNoise(noise.read_variance / scale**2, noise.poisson_factor / scale)
    return [ScaledExposure(*pair) for pair in zip(exposures, factors, strict=True)], noise


class ExposureReader:
    """
    Blocks of rows of the exposures as float32 stacks with NaN for missing pixels.

    Parameters
    ----------
    exposures, noise, missing
        As for `crsteps.mm_cosmic.masks.find_cosmic_rays`.
    """

    def __init__(self, exposures, noise, missing):
        self.exposures = exposures
        self.noise = noise
        self.missing = missing
        self.shape = np.shape(exposures[0]) if len(exposures) else ()

    def __len__(self):
        return len(self.exposures)

    def check(self):
        """
        Refuse what is not three or more images of one shape with noise and masks that fit.

        Raises
        ------
        ValueError
            Something does not fit.
        """
        n = len(self)
        if n < 3:
            raise ValueError(f"three or more exposures are needed, got {n}")
        shapes = {np.shape(exposure) for exposure in self.exposures}
        if len(shapes) > 1 or len(self.shape) != 2:
            raise ValueError(f"exposures must be images of one shape, got {sorted(shapes)}")
        if self.missing is not None:
            if len(self.missing) != n:
                raise ValueError(f"missing holds {len(self.missing)} masks for {n} exposures")
            for mask in self.missing:
                if mask is not None and np.shape(mask) != self.shape:
                    raise ValueError(
                        f"a mask of missing pixels of shape {np.shape(mask)} does not fit "
                        f"exposures of {self.shape}"
                    )
        for name in ("read_variance", "poisson_factor"):
            shape = getattr(self.noise, name).shape
            if any(
                size not in (1, full) for size, full in zip(shape, (n, *self.shape), strict=True)
            ):
                raise ValueError(
                    f"{name} of shape {shape} does not fit {n} exposures of {self.shape}"
                )

    def block(self, rows):
        """
        Read a block of rows.

        Parameters
        ----------
        rows : slice
            Rows of the block.

        Returns
        -------
        stack : ndarray of float32, shape (n_exposures, n_rows, nx)
            Exposures; NaN where a pixel is missing or its noise is not known.
        noise : crsteps.detector.noise.ExposureNoise
            Their noise; that of missing pixels is finite too.
        """
        with np.errstate(over="ignore"):  # beyond single precision: infinite, so missing
            stack = np.array(
                [np.asarray(exposure[rows]) for exposure in self.exposures], dtype=np.float32
            )
        stack[~(np.abs(stack) < LARGEST_VALUE)] = np.nan
        if self.missing is not None:
            for plane, missing in zip(stack, self.missing, strict=True):
                if missing is not None:
                    plane[np.asarray(missing[rows], dtype=bool)] = np.nan
        return _without_unknown_noise(stack, self.noise.rows(rows))


def _without_unknown_noise(stack, noise):
    """Pixels without a positive read variance and a Poisson factor are missing."""
    read, poisson = noise.read_variance, noise.poisson_factor
    known_read = np.isfinite(read) & (read > 0)
    known_poisson = np.isfinite(poisson) & (poisson >= 0)
    if known_read.all() and known_poisson.all():
        return stack, noise
    stack[np.broadcast_to(~(known_read & known_poisson), stack.shape)] = np.nan
    # Missing pixels get no weight, but a NaN would spread through sums over a neighbourhood.
    read, poisson = (
        np.where(known, values, np.median(values[known]) if known.any() else 1)
        for values, known in ((read, known_read), (poisson, known_poisson))
    )
    return stack, ExposureNoise(read, poisson)
