"""
The quantities that PyCosmic compares with its thresholds, on whole images and at single pixels.

L.A.Cosmic and PyCosmic divide every pixel into four, take the Laplacian of that image, cut off what
is negative and add up the four again. A quarter of a pixel has two neighbours in its own pixel and
two in adjacent ones, one along each axis: its Laplacian is the mean of two differences between the
pixel and its neighbours, and the images of twice the size are not needed.

Images are continued at their edges by their own reflection, the edge pixel repeated.
"""

import numpy as np

from crsteps.cosmic_rays.median_filters import median_of_windows, sliding_median

_AT_ONCE = 2**14  # pixels whose neighbours are gathered at a time
_ROWS = 64  # rows of the image worked on at a time
FINE = 2  # half width of the median that tells structure of the scene from single pixels
_LARGEST_RATIO = 1e6


class Mirrored:
    """
    Image with a border that holds its reflection.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Image.
    reach : int
        Width of the border.

    Attributes
    ----------
    padded : ndarray, shape (ny + 2 reach, nx + 2 reach)
        Image with its border.
    """

    def __init__(self, image, reach):
        self.padded = np.pad(image, reach, mode="symmetric")
        self._reach = reach
        self._rows, self._columns = (
            np.pad(np.arange(n) + reach, reach, mode="symmetric") for n in image.shape
        )

    @property
    def inside(self):
        """The image without its border, a view."""
        ny, nx = self.padded.shape
        return self.padded[self._reach : ny - self._reach, self._reach : nx - self._reach]

    def renew_border(self):
        """Reflect the image again, after it was changed."""
        reach = self._reach
        for border in (slice(None, reach), slice(self.padded.shape[0] - reach, None)):
            self.padded[border] = self.padded[self._rows[border]]
        for border in (slice(None, reach), slice(self.padded.shape[1] - reach, None)):
            self.padded[:, border] = self.padded[:, self._columns[border]]

    def at(self, places, dy=0, dx=0):
        """
        Values at some places or beside them.

        Parameters
        ----------
        places : ndarray of int
            Flat indices into `padded`.
        dy, dx : int
            How far beside them.

        Returns
        -------
        ndarray
        """
        return self.padded.ravel().take(places + (dy * self.padded.shape[1] + dx))

    def places(self, pixels):
        """
        Where pixels of the image are in `padded`.

        Parameters
        ----------
        pixels : ndarray of int, shape (n,)
            Flat (row-major) indices into the image.

        Returns
        -------
        ndarray of int, shape (n,)
            Flat indices into `padded`.
        """
        nx = self.padded.shape[1]
        y, x = np.divmod(pixels, nx - 2 * self._reach)
        return (y + self._reach) * nx + (x + self._reach)


class EdgeMeasure:
    """
    Measures how far pixels stand out of their neighbours.

    Parameters
    ----------
    read_variance, poisson_factor : ndarray of float32, shape (1, 1) or (ny, nx)
        Noise, as in `crsteps.cosmic_rays.single_image.SingleImage`.
    noise_reach : tuple of (int, int)
        Half width in y and x of the median that stands for the signal in the noise.
    kernel : ndarray of float32, shape (2 m + 1, 2 n + 1)
        Smoothing kernel, normalised.

    Attributes
    ----------
    reach : int
        Border that the images must have: as far away a change of the image or of the good pixels
        has an effect.
    edge_reach : int
        As far away a change of the image has an effect on the edges.
    """

    def __init__(self, *, read_variance, poisson_factor, noise_reach, kernel):
        self._noise_reach, self._kernel = noise_reach, kernel
        self.edge_reach = max(1, *noise_reach)
        self.reach = max(FINE + self.edge_reach, max(kernel.shape) // 2 + 1)
        self._noise = [
            values if values.size == 1 else Mirrored(values, self.reach)
            for values in (read_variance, poisson_factor)
        ]

    def scan(self, work, good, *, edges):
        """
        Measure the whole image, some rows at a time.

        Parameters
        ----------
        work : Mirrored
            Image.
        good : Mirrored
            Pixels that the smoothed image is made of.
        edges : Mirrored
            Receives the Laplacian in units of twice the noise.

        Yields
        ------
        tuple of (slice, ndarray, ndarray)
            Rows, and their significance and contrast (`significance_at`, `contrast_at`).
        """
        ny = work.inside.shape[0]
        all_good = bool(good.padded.all())
        for first in range(0, ny, _ROWS):
            rows = slice(first, min(first + _ROWS, ny))
            laplacian = self._edges_of_rows(work, rows)
            edges.inside[rows] = laplacian[FINE:-FINE, FINE:-FINE]
            significance = edges.inside[rows] - sliding_median(laplacian, reach=(FINE, FINE))
            yield rows, significance, self._contrast_of_rows(work, good, rows, all_good)
        edges.renew_border()

    def edges_at(self, work, places):
        """
        Laplacian in units of twice the noise.

        Parameters
        ----------
        work : Mirrored
            Image.
        places : ndarray of int, shape (n,)
            Flat indices into its padded array.

        Returns
        -------
        ndarray of float32, shape (n,)
        """
        laplacian = clipped_laplacian(
            work.at(places), *(work.at(places, *step) for step in _NEIGHBOURS)
        )
        noise = self._noise_of(_median_at(work, places, self._noise_reach), places)
        return laplacian / (2 * noise)

    def significance_at(self, edges, places):
        """
        Laplacian in units of twice the noise, less its median in a window of 5x5.

        Parameters
        ----------
        edges : Mirrored
            Laplacian in units of twice the noise.
        places : ndarray of int, shape (n,)
            Flat indices into its padded array.

        Returns
        -------
        ndarray of float32, shape (n,)
        """
        return edges.at(places) - _median_at(edges, places, (FINE, FINE))

    def contrast_at(self, work, good, places):
        """
        Laplacian of the ratio of the image to the smoothed image.

        Parameters
        ----------
        work : Mirrored
            Image.
        good : Mirrored
            Pixels that the smoothed image is made of.
        places : ndarray of int, shape (n,)
            Flat indices into its padded array.

        Returns
        -------
        ndarray of float32, shape (n,)
        """
        contrast = np.empty(places.size, dtype=np.float32)
        for part in _parts(places.size):
            centre = self._ratio_at(work, good, places[part])
            around = [
                self._ratio_at(work, good, places[part] + dy * work.padded.shape[1] + dx)
                for dy, dx in _NEIGHBOURS
            ]
            contrast[part] = _laplacian(centre, *around)
        return contrast

    def _edges_of_rows(self, work, rows):
        """Laplacian in units of twice the noise of some rows and `FINE` pixels around them."""
        block = self._block(work, rows, FINE + 1, FINE + 1)
        laplacian = clipped_laplacian(*_shifted(block))
        reach_y, reach_x = self._noise_reach
        signal = sliding_median(
            self._block(work, rows, FINE + reach_y, FINE + reach_x), reach=self._noise_reach
        )
        read_variance, poisson_factor = (
            self._block(values, rows, FINE, FINE) if isinstance(values, Mirrored) else values
            for values in self._noise
        )
        laplacian /= 2 * _standard_deviation(signal, read_variance, poisson_factor)
        return laplacian

    def _contrast_of_rows(self, work, good, rows, all_good):
        """Laplacian of the ratio of the image to the smoothed image, of some rows."""
        reach = [n // 2 + 1 for n in self._kernel.shape]
        values = self._block(work, rows, *reach)
        centre = values[tuple(slice(n - 1, 1 - n) for n in reach)]
        if all_good:
            smooth = _convolve(values, self._kernel)
        else:
            usable = self._block(good, rows, *reach)
            smooth = _normalised(
                _convolve(np.where(usable, values, 0), self._kernel),
                _convolve(usable.astype(np.float32), self._kernel),
            )
        return _laplacian(*_shifted(_ratio(centre, smooth)))

    def _block(self, image, rows, reach_y, reach_x):
        """Rows of an image, with some pixels around them."""
        y = slice(rows.start + self.reach - reach_y, rows.stop + self.reach + reach_y)
        margin = self.reach - reach_x
        return image.padded[y, margin : image.padded.shape[1] - margin]

    def _noise_of(self, signal, places):
        read_variance, poisson_factor = (
            values.at(places) if isinstance(values, Mirrored) else values[0]
            for values in self._noise
        )
        return _standard_deviation(signal, read_variance, poisson_factor)

    def _ratio_at(self, work, good, places):
        """Ratio of the image to the image smoothed without what is not good."""
        total = np.zeros(places.size, dtype=np.float32)
        weight = np.zeros(places.size, dtype=np.float32)
        centre_y, centre_x = (n // 2 for n in self._kernel.shape)
        for (y, x), factor in np.ndenumerate(self._kernel):
            offset = (y - centre_y, x - centre_x)
            usable = good.at(places, *offset) * factor
            weight += usable
            total += usable * work.at(places, *offset)
        return _ratio(work.at(places), _normalised(total, weight))


_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def gaussian_kernel(sigma_y, sigma_x):
    """
    Gaussian kernel that reaches to four standard deviations.

    Parameters
    ----------
    sigma_y, sigma_x : float
        Standard deviations in pixels.

    Returns
    -------
    ndarray of float32, shape (2 m + 1, 2 n + 1)
        Product of two kernels, each sampled at the centres of the pixels; its sum is 1.
    """
    along = []
    for sigma in (sigma_y, sigma_x):
        reach = int(4 * sigma + 0.5)
        along.append(np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2))
        along[-1] /= along[-1].sum()
    return np.outer(*along).astype(np.float32)


def clipped_laplacian(centre, up, down, left, right):
    """
    Sum of the positive Laplacians of the four quarters of pixels.

    Parameters
    ----------
    centre, up, down, left, right : ndarray
        Pixels and their neighbours, of the same shape.

    Returns
    -------
    ndarray
    """
    up, down, left, right = (centre - neighbour for neighbour in (up, down, left, right))
    total = np.maximum(up + left, 0)
    for first, second in ((up, right), (down, left), (down, right)):
        total += np.maximum(first + second, 0)
    total /= 4
    return total


def _laplacian(centre, up, down, left, right):
    """Sum of the Laplacians of the four quarters of pixels."""
    return 2 * centre - (up + down + left + right) / 2


def _shifted(block):
    """Pixels of a block that have four neighbours, and these: up, down, left and right."""
    return (
        block[1:-1, 1:-1],
        block[:-2, 1:-1],
        block[2:, 1:-1],
        block[1:-1, :-2],
        block[1:-1, 2:],
    )


def _standard_deviation(signal, read_variance, poisson_factor):
    return np.sqrt(read_variance + poisson_factor * np.maximum(signal, 0))


def _normalised(total, weight):
    """Weighted mean; 0 without weight."""
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)


def _ratio(values, smooth):
    """
    Ratio of pixels to the smoothed image, not negative.

    It is 0 where the smoothed image is not positive, or so small that the ratio would have no
    meaning: light that is lost among negative values has no contrast to be measured.
    """
    meaningful = smooth * _LARGEST_RATIO > np.abs(values)
    ratio = np.divide(values, smooth, out=np.zeros_like(smooth), where=meaningful)
    return np.maximum(ratio, 0, out=ratio)


def _convolve(block, kernel):
    """Convolution with a separable symmetric kernel, where it lies inside the block."""
    rows, columns = kernel.sum(axis=1), kernel.sum(axis=0)
    ny, nx = block.shape[0] - rows.size + 1, block.shape[1] - columns.size + 1
    total = np.zeros((ny, block.shape[1]), dtype=np.float32)
    for i, factor in enumerate(rows):
        total += factor * block[i : i + ny]
    result = np.zeros((ny, nx), dtype=np.float32)
    for j, factor in enumerate(columns):
        result += factor * total[:, j : j + nx]
    return result


def _median_at(image, places, reach):
    """Median in a window around places."""
    medians = np.empty(places.size, dtype=np.float32)
    steps = [
        (dy, dx) for dy in range(-reach[0], reach[0] + 1) for dx in range(-reach[1], reach[1] + 1)
    ]
    shape = (2 * reach[0] + 1, 2 * reach[1] + 1)
    for part in _parts(places.size):
        windows = [image.at(places[part], *step) for step in steps]
        medians[part] = median_of_windows(windows, shape=shape)
    return medians


def _parts(size):
    return [slice(start, start + _AT_ONCE) for start in range(0, size, _AT_ONCE)]
