"""
Smooth sky behind flicker noise: both fitted together, in the bins of streams.

The sky is linear between the centres of boxes. With B its values in the bins, W the weights of the
bins and A the estimator of the noise alone, the values m at the centres follow from generalised
least squares,

    (B^T W (1 - A) B + p D^T D) m = B^T W (1 - A) y,

by conjugate gradients. Noise in the sky is the least that is possible then, and no light of it is
lost: unlike in turns of smoothing and estimating, where the noise takes what the smoothing leaves.
A weak penalty on second differences D only decides where boxes are masked.
"""

import numpy as np

from crsteps.flicker_noise.background import BoxAxis, smoothed_means
from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.streams import bin_ratio, one_row, to_streams

# Ticks in a bin: short beside a box, of which the bins along its edges belong to both sides.
TICKS = 16
# Penalty in units of the pixels of a box, and residual at which the fit and its estimates of the
# noise end.
_PENALTY, _ACCURACY, _TOLERANCE = 2e-3, 1e-2, 3e-3


class SkyFit:
    """
    Fit of a smooth sky to an image with flicker noise.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Image; finite where used.
    used : ndarray of bool, shape (ny, nx)
        Pixels that show background; at least one.
    readout : crsteps.detector.readout.Readout
        Clocking.
    box : int
        Side of a box in pixels.
    """

    def __init__(self, image, used, readout, *, box):
        self._readout = readout
        self._axes = tuple(BoxAxis(size, box) for size in image.shape)
        self._rows_first = abs(readout.fast_axis) == 1
        slow, fast = self._axes if self._rows_first else self._axes[::-1]
        # Rows in the order of time, and bins of a row, by box.
        in_time = np.s_[:: np.sign(readout.slow_axis)]
        self._rows, self._row_members = slow.interpolation[in_time], slow.members[:, in_time]
        self._bins, self._bin_members = (
            self._in_bins(values) for values in (fast.interpolation.T, fast.members)
        )
        streams = to_streams(image, used, readout, bin_ticks=TICKS)
        self._weights = streams.weights
        self._level = np.float32(np.average(streams.values, weights=streams.weights))
        self._values = streams.values - self._level
        self._n_pixels = self._sums(np.ones_like(self._values))

    def start(self):
        """
        Sky that does not know of the noise: smoothed means of the boxes.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        return self._image(self._smoothed())

    def behind(self, spectrum, white, *, steps):
        """
        Sky behind the noise.

        Parameters
        ----------
        spectrum : crsteps.flicker_noise.spectrum.FlickerSpectrum
            Spectrum of the noise of the image.
        white : float
            Variance of the white noise of a pixel.
        steps : int
            Most steps of the fit.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        spectrum = spectrum.in_bins(bin_ratio(self._readout, TICKS))
        process = FlickerProcess.from_spectrum(spectrum, self._values.shape[-1])
        weights = self._weights / np.float32(white)
        penalty = _PENALTY * np.median(self._n_pixels)

        def unexplained(values):
            noise = process.estimate(values, weights, tolerance=_TOLERANCE)
            return self._gathered(values - noise)

        sky = self._smoothed()
        left = unexplained(self._values - self._at_bins(sky)) - penalty * _roughness(sky)
        # The noise explains about half of what is in a box.
        scale = 0.5 * self._n_pixels + 20 * penalty + 1e-9 * self._n_pixels.max()
        search = left / scale
        product = target = np.sum(left * search)
        for _ in range(steps):
            if product <= _ACCURACY**2 * target:
                break
            image = unexplained(self._at_bins(search)) + penalty * _roughness(search)
            length = product / np.sum(search * image)
            sky = sky + length * search
            left = left - length * image
            previous, product = product, np.sum(left * left / scale)
            search = left / scale + product / previous * search
        return self._image(sky)

    def _in_bins(self, profiles):
        """Means of profiles along a row in its bins, (n_boxes, n_outputs * n_bins)."""
        row = one_row(self._readout)
        profiles = np.ascontiguousarray(profiles).reshape(-1, *row.shape)
        streams = to_streams(profiles, np.ones(row.shape, bool), row, bin_ticks=TICKS)
        return streams.values.reshape(len(profiles), -1)

    def _smoothed(self):
        """Smoothed means of the boxes, as of `background.smooth_sky`."""
        sky = smoothed_means(self._sums(self._values), self._n_pixels)
        rest = self._values - self._at_bins(sky)
        return sky + smoothed_means(self._sums(rest), self._n_pixels)

    def _at_bins(self, sky):
        """Sky in the bins of all rows, (n_outputs, n_rows * n_bins)."""
        rows = self._rows @ sky.astype(np.float32) @ self._bins
        outputs = rows.reshape(len(rows), self._readout.n_outputs, -1).swapaxes(0, 1)
        return np.ascontiguousarray(outputs).reshape(self._readout.n_outputs, -1)

    def _sums(self, values):
        """Sums of values over the pixels of the boxes."""
        return self._by_box(values, self._row_members, self._bin_members)

    def _gathered(self, values):
        """Sums of values times the response to each centre, the transpose of `_at_bins`."""
        return self._by_box(values, self._rows.T, self._bins)

    def _by_box(self, values, of_rows, of_bins):
        weighted = (values * self._weights).reshape(self._readout.n_outputs, of_rows.shape[1], -1)
        rows = np.ascontiguousarray(weighted.swapaxes(0, 1)).reshape(of_rows.shape[1], -1)
        return (of_rows @ rows @ of_bins.T).astype(np.float64)

    def _image(self, sky):
        sky = (sky if self._rows_first else sky.T).astype(np.float32)
        y_axis, x_axis = self._axes
        return self._level + y_axis.interpolation @ sky @ x_axis.interpolation.T


def _roughness(sky):
    """Second differences along both axes, applied twice."""
    rough = np.zeros_like(sky)
    for values, result in ((sky, rough), (sky.T, rough.T)):
        second = values[2:] - 2 * values[1:-1] + values[:-2]
        result[2:] += second
        result[1:-1] -= 2 * second
        result[:-2] += second
    return rough
