"""Joint fit of the flicker noise and the brightness of one integration of a time series."""

import numpy as np
from scipy.ndimage import uniform_filter, uniform_filter1d

from crsteps.flicker_noise.process import FlickerProcess
from crsteps.flicker_noise.spectrum import measure_spectrum
from crsteps.flicker_noise.streams import bin_ratio, from_streams, row_bins, to_streams

# Standard deviation of the departure of a scale from that of all the light which is expected
# beforehand. It only keeps cells without light from having a scale: the mean of thousands of
# departures is expected to be this much smaller by their root.
_SCALE_PRIOR = 3.0
# Scales and noise are told from each other to this accuracy, in at most so many steps, from
# estimates of the noise that need not be better than that. With ten times less accuracy the depth
# of a transit was a quarter too small where stripes lie along the dispersion.
_SCALE_ACCURACY, _MOST_STEPS, _LOOSE = 0.002, 40, 2e-3
# Groups whose light carries as much information as that share the response of the noise to it.
_SHARED = 0.95
# Ticks in a bin of the alternating column noise: beside the white noise, only the slow part of it
# can be seen.
ALTERNATING_TICKS = 16
# Alternating column noise is so small beside the noise that less accuracy does.
_LOOSE_ALTERNATING = 1e-2
# Draws of the error, and the side in pixels of the area over which its variance is averaged: it is
# then good to a few per cent.
_DRAWS, _ERROR_AREA = 3, 65


class JointFit:
    """
    Estimator of noise and scales from the residuals of an integration.

    The residuals are ``noise + scale(wavelength, cell) * light + white noise``: a Gaussian process
    and free amplitudes of known images. With A the estimator of the noise alone and W the weights
    of the pixels, the amplitudes x of the images L follow from

        (L^T W L - L^T W A L) x = L^T W (residual - A residual),

    by conjugate gradients, since L is almost orthogonal to the noise; the noise is
    ``A (residual - L x)``.

    Parameters
    ----------
    light : ndarray of float32, shape (ny, nx)
        Light that varies.
    variance : ndarray of float32, shape (ny, nx)
        White-noise variance of a pixel.
    spectrum, alternating_spectrum : FlickerSpectrum or None
        Spectrum of the noise, and of the alternating column noise, in ticks; without one, or
        without power, there is no such noise.
    readout : crsteps.detector.readout.Readout
        Clocking.
    options : crsteps.flicker_noise.time_series.TimeSeriesOptions
        Options.

    Attributes
    ----------
    weight : ndarray of float32, shape (ny, nx)
        Reciprocal white-noise variance of a pixel.
    noise_variance : float
        Variance of the noise of a difference.
    """

    def __init__(self, light, variance, spectrum, alternating_spectrum, readout, options):
        self.light, self.weight = light, (1 / variance).astype(np.float32)
        self.readout, self.options = readout, options
        self._noise = _process(spectrum, readout, options.bin_ticks)
        self._alternating = _process(alternating_spectrum, readout, ALTERNATING_TICKS)
        self.noise_variance = 0.0 if self._noise is None else float(np.mean(spectrum.variance))
        # Axis of the image across the dispersion, and where its cells begin.
        self._across = 0 if options.dispersion_axis == 1 else 1
        size = light.shape[self._across]
        self._starts = np.arange(0, size, options.cell)
        self._lengths = np.diff(self._starts, append=size)

    def fit(self, residual, used):
        """
        Estimate noise and scales of an integration.

        Parameters
        ----------
        residual : ndarray of float32, shape (n_groups, ny, nx)
            Differences of groups without the template; finite where used.
        used : ndarray of bool, shape (n_groups, ny, nx)
            Pixels to be used.

        Returns
        -------
        noise : ndarray of float32, shape (n_groups, ny, nx)
            Noise of every pixel, used or not.
        departure : ndarray or float
            Scale of the light in every cell, (n_cells, nx) or (ny, n_cells); a number if the light
            is achromatic.
        """
        weights = np.where(used, self.weight, 0)
        weighted_light = weights * self.light
        noise = self.estimate(residual, weights)
        left = self._gather((weighted_light * (residual - noise)).sum(axis=0))
        whole = self._gather((weighted_light * self.light).sum(axis=0)) + _SCALE_PRIOR**-2
        departure = np.zeros_like(left)
        search = conditioned = left / whole
        product = target = np.sum(left * conditioned)
        weights = self._of_groups(weights)
        for _ in range(_MOST_STEPS):
            if product <= _SCALE_ACCURACY**2 * target:
                break
            step = np.broadcast_to(self._spread(search), weights.shape)
            taken = self.estimate(step, weights, tolerance=_LOOSE)
            image = whole * search - self._gather((weighted_light * taken).sum(axis=0))
            length = product / np.sum(search * image)
            departure = departure + length * search
            noise -= np.float32(length) * taken
            left = left - length * image
            conditioned = left / whole
            previous, product = product, np.sum(left * conditioned)
            search = conditioned + product / previous * search
        if self._alternating is not None:
            rest = residual - noise - self._spread(departure)
            weights = np.where(used, self.weight, 0)
            noise += self.estimate(rest, weights, alternating=True, tolerance=_LOOSE_ALTERNATING)
        return noise, departure

    def estimate(self, images, weights, *, alternating=False, tolerance=None):
        """
        Estimate the noise of images that show nothing else.

        Parameters
        ----------
        images, weights : ndarray of float32, shape (n, ny, nx)
            Images, and reciprocal white-noise variances of their pixels; 0 is masked.
        alternating : bool, optional
            Estimate the alternating column noise instead.
        tolerance : float, optional
            Residual at which the iteration ends; by default that of the options.

        Returns
        -------
        ndarray of float32, shape (n, ny, nx)
        """
        process = self._alternating if alternating else self._noise
        if process is None:
            return np.zeros(images.shape, np.float32)
        ticks = ALTERNATING_TICKS if alternating else self.options.bin_ticks
        binning = {"alternating": alternating, "bin_ticks": ticks}
        streams = to_streams(images, weights, self.readout, **binning)
        tolerance = tolerance or self.options.tolerance
        noise = process.estimate(streams.values, streams.weights, tolerance=tolerance)
        return from_streams(noise, self.readout, **binning)

    def without_light(self, residual, used):
        """
        Residuals without noise and light: white and alternating column noise.

        Parameters
        ----------
        residual, used : ndarray
            As for `fit`.

        Returns
        -------
        ndarray of float32, shape (n_groups, ny, nx)
        """
        noise, departure = self.fit(residual, used)
        return residual - noise - self._spread(departure)

    def per_wavelength(self, departure):
        """
        Scales of the wavelengths: means of their cells, weighted with their information.

        Parameters
        ----------
        departure : ndarray or float
            What `fit` returns.

        Returns
        -------
        ndarray, shape (n_wavelengths,) or (1,)
        """
        if not self.options.chromatic:
            return np.atleast_1d(departure)
        information = self._information()
        total = information.sum(axis=self._across)
        return (departure * information).sum(axis=self._across) / np.maximum(total, 1e-30)

    def errors(self, usable):
        """
        Errors of the estimates of an integration, by drawing noise and fitting it.

        The draws have a fixed seed: the same data give the same errors.

        Parameters
        ----------
        usable : ndarray of bool, shape (n_groups, ny, nx)
            Pixels to be used.

        Returns
        -------
        variance : ndarray of float32, shape (ny, nx)
            Variance of the error of the noise of a difference.
        scale_errors : ndarray, shape (n_wavelengths,)
            Standard error of the scales; one for achromatic light.
        """
        rng = np.random.default_rng(20260101)
        variances, squares = [], []
        for _ in range(_DRAWS):
            noise, data = self._draw(rng, usable.shape)
            estimate, departure = self.fit(data, usable)
            variances.append(np.mean((estimate - noise) ** 2, axis=0))
            squares.append(self.per_wavelength(departure) ** 2)
        variance = _local_mean(variances)
        information = usable.shape[0] * np.atleast_1d(self._information()) + _SCALE_PRIOR**-2
        if self.options.chromatic:
            information = information.sum(axis=self._across)
            # Relative to what white noise alone would give, the error is much the same nearby.
            ratio = np.mean(squares, axis=0) * information
            return variance, np.sqrt(uniform_filter1d(ratio, _ERROR_AREA) / information)
        taken = self.estimate(self.light[None], np.where(usable[:1], self.weight, 0))[0]
        absorbed = usable.shape[0] * np.sum(self.weight * self.light * taken, dtype=np.float64)
        return variance, 1 / np.sqrt(np.maximum(information - absorbed, 1e-30))

    def error_of_noise(self, used):
        """
        Variance of the error of `estimate`, by drawing noise.

        Parameters
        ----------
        used : ndarray of bool, shape (n_groups, ny, nx)
            Pixels to be used.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        noise, data = self._draw(np.random.default_rng(20260102), used.shape)
        error = self.estimate(data, np.where(used, self.weight, 0)) - noise
        return _local_mean(error**2)

    def _of_groups(self, weights):
        """Weights for the response to the light: their mean where the groups are alike."""
        information = np.sum(weights * self.light**2, axis=(1, 2), dtype=np.float64)
        if information.min() > _SHARED * information.max():
            return weights.mean(axis=0, keepdims=True)
        return weights

    def _draw(self, rng, shape):
        """Draw the noise of the differences of an integration, and the same with white noise."""
        noise = np.zeros(shape, np.float32)
        if self._noise is not None:
            streams = np.array([self._noise.sample(rng) for _ in range(shape[0])])
            noise = from_streams(streams, self.readout, bin_ticks=self.options.bin_ticks)
        return noise, noise + rng.standard_normal(shape, np.float32) / np.sqrt(self.weight)

    def _information(self):
        return self._gather(self.weight * self.light**2)

    def _gather(self, image):
        """Sums of an image over cells, or over everything."""
        if self.options.chromatic:
            return np.add.reduceat(image, self._starts, axis=self._across, dtype=np.float64)
        return np.sum(image, dtype=np.float64)

    def _spread(self, scales):
        """Light times the scales of the cells, or times one scale."""
        scales = np.asarray(scales, np.float32)
        if self.options.chromatic:
            scales = np.repeat(scales, self._lengths, axis=self._across)
        return scales * self.light


def _process(spectrum, readout, bin_ticks):
    """Process with a spectrum; None without power."""
    if spectrum is None or not np.any(spectrum.variance > 0):
        return None
    n_bins = row_bins(readout, bin_ticks)[1] * readout.n_rows
    return FlickerProcess.from_spectrum(spectrum.in_bins(bin_ratio(readout, bin_ticks)), n_bins)


def _local_mean(squares):
    """Mean of images of squared errors, over an area around each pixel too."""
    mean = np.mean(squares, axis=0)
    return uniform_filter(mean, _ERROR_AREA, mode="nearest").astype(np.float32)


def measured_spectrum(sample, readout, bin_ticks, *, alternating=False, factor=1.0):
    """
    Spectrum of the noise of residuals.

    Parameters
    ----------
    sample : sequence of (ndarray of float32, ndarray of bool), shapes (ny, nx)
        Residuals, and their pixels to be used.
    readout : crsteps.detector.readout.Readout
        Clocking.
    bin_ticks : int
        Ticks in a bin of the measurement.
    alternating : bool, optional
        Spectrum of alternating column noise, which outputs do not share.
    factor : float, optional
        Variance of the noise of a difference, over that of the residuals.

    Returns
    -------
    FlickerSpectrum
        In ticks.
    """
    streams = [
        to_streams(residual, used, readout, alternating=alternating, bin_ticks=bin_ticks)
        for residual, used in sample
    ]
    spectrum = measure_spectrum(streams, common=not alternating).scaled(factor)
    return spectrum.in_bins(bin_ratio(readout, 1, old=bin_ticks))
