"""
Exact medians of small windows by sorting networks on whole arrays.

A network of comparisons orders the pixels of a window without a branch, so that one call of
`numpy.minimum` or `numpy.maximum` does one step for thousands of windows. The columns of
neighbouring windows are shared: they are sorted once. Comparisons that cannot change the median
are left out. The result is that of `scipy.ndimage.median_filter`, seven times as fast for 5x5.
"""

from functools import lru_cache

import numpy as np

_LARGEST = 81  # pixels of a window above which a network has too many comparisons
_AT_ONCE = 2**15  # pixels worked on at a time: what stays in the cache of a processor


def sliding_median(image, *, reach):
    """
    Median in a window around every pixel whose window lies inside the image.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without NaN.
    reach : tuple of (int, int)
        Half width of the window in y and in x: it is 2 reach + 1 pixels wide.

    Returns
    -------
    ndarray, shape (ny - 2 reach_y, nx - 2 reach_x)
        Medians; of the type of the image.
    """
    height, width = 2 * reach[0] + 1, 2 * reach[1] + 1
    ny, nx = image.shape[0] - height + 1, image.shape[1] - width + 1
    medians = np.empty((ny, nx), dtype=image.dtype)
    n_rows = max(1, _AT_ONCE // max(1, nx))
    for y in range(0, ny, n_rows):
        n = min(n_rows, ny - y)
        rows = [image[y + i : y + i + n] for i in range(height)]
        if height * width > _LARGEST:
            windows = np.stack([row[:, j : j + nx] for row in rows for j in range(width)])
            medians[y : y + n] = _middle_of_sorted(windows)
            continue
        ranks = _run(_sorting(height), rows)
        lanes = [rank[:, j : j + nx] for rank in ranks for j in range(width)]
        medians[y : y + n] = _middle(lanes, height, width)
    return medians


def separable_median(image, size):
    """
    Median along the rows, then along the columns, of every pixel with room for it.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Image without NaN.
    size : int
        Odd number of pixels.

    Returns
    -------
    ndarray, shape (ny - size + 1, nx - size + 1)
        Medians of medians; of the type of the image.
    """
    reach = size // 2
    return sliding_median(sliding_median(image, reach=(0, reach)), reach=(reach, 0))


def median_of_windows(windows, *, shape):
    """
    Median of each of some windows.

    Parameters
    ----------
    windows : sequence of ndarray, each of shape (n,)
        The pixels of the windows, without NaN: the first of every window, the second of every
        window, and so on, row by row. The arrays themselves are not modified.
    shape : tuple of (int, int)
        Odd height and width of the windows.

    Returns
    -------
    ndarray, shape (n,)
        Medians.
    """
    height, width = shape
    if height * width > _LARGEST:
        return _middle_of_sorted(np.stack(windows))
    columns = [_run(_sorting(height), windows[j::width]) for j in range(width)]
    return _middle([column[i] for i in range(height) for column in columns], height, width)


def _middle_of_sorted(windows):
    """Median along the first axis, of odd length."""
    middle = len(windows) // 2
    windows.partition(middle, axis=0)
    return windows[middle]


def _middle(lanes, height, width):
    """Median of windows whose columns are sorted, row by row."""
    operations, lane = _median_network(height, width)
    return _run(operations, lanes)[lane]


def _run(operations, lanes):
    """Run a network; the arrays in `lanes` are not modified."""
    lanes = list(lanes)
    for i, j, smaller, larger in operations:
        first, second = lanes[i], lanes[j]
        if smaller:
            lanes[i] = np.minimum(first, second)
        if larger:
            lanes[j] = np.maximum(first, second)
    return lanes


@lru_cache
def _sorting(n):
    """Network that sorts n lanes."""
    return _needed(_merge_sort(n), range(n))


@lru_cache
def _median_network(height, width):
    """
    Network for the median of windows with sorted columns, and the lane where it comes out.

    Once the rows are sorted too, the pixel of rank i in its column and j in its row is not smaller
    than (i + 1) (j + 1) pixels, itself included, and not larger than (height - i) (width - j):
    only where neither number exceeds that of the pixels up to the median can it be the median.
    """
    network = [
        (row * width + i, row * width + j) for row in range(height) for i, j in _merge_sort(width)
    ]
    up_to_median = (height * width + 1) // 2
    candidates, n_smaller = [], 0
    for i in range(height):
        for j in range(width):
            if (height - i) * (width - j) > up_to_median:
                n_smaller += 1
            elif (i + 1) * (j + 1) <= up_to_median:
                candidates.append(i * width + j)
    network += [(candidates[i], candidates[j]) for i, j in _merge_sort(len(candidates))]
    lane = candidates[up_to_median - 1 - n_smaller]
    return _needed(network, [lane]), lane


def _needed(network, wanted):
    """Keep the comparisons that the wanted lanes depend on: (i, j, smaller?, larger?)."""
    wanted, operations = set(wanted), []
    for i, j in reversed(network):
        if i in wanted or j in wanted:
            operations.append((i, j, i in wanted, j in wanted))
            wanted |= {i, j}
    return operations[::-1]


def _merge_sort(n):
    """Comparisons of Batcher's odd-even merge sort of n lanes; Knuth, TAOCP 5.2.2, algorithm M."""
    network = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            network += [
                (i + j, i + j + k)
                for j in range(k % p, n - k, 2 * k)
                for i in range(min(k, n - j - k))
                if (i + j) // (2 * p) == (i + j + k) // (2 * p)
            ]
            k //= 2
        p *= 2
    return network
