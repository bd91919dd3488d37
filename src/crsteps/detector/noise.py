"""Noise of an exposure as a function of its expected signal, and its distribution."""

from dataclasses import dataclass

import numpy as np

# Numerical Recipes' Chebyshev fit of log(erfc(x) exp(x^2) / t), t = 1/(1 + x/2): fractional error
# of erfc below 1.2e-7 everywhere, and an order of magnitude faster on float32 than a special
# function because it is a polynomial.
_ERFC_COEFFICIENTS = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


@dataclass(frozen=True)
class ExposureNoise:
    """
    Variance of each exposure as a function of the expected signal.

    The variance at expected signal ``mu`` is ``read_variance + poisson_factor * max(mu, 0)``,
    in the units of the data, whatever they are: nothing is converted to electrons.

    Attributes
    ----------
    read_variance : ndarray
        Variance without signal, data units squared: of each exposure (n_exposures,), of each
        pixel (ny, nx) or broadcastable to the stack (n_exposures, ny, nx); kept with three axes.
    poisson_factor : ndarray
        Poisson variance per unit of signal, data units: 1/gain for an image in ADU, 1 for
        electrons; shape as for ``read_variance``.
    """

    read_variance: np.ndarray
    poisson_factor: np.ndarray

    def __post_init__(self):
        for name in ("read_variance", "poisson_factor"):
            object.__setattr__(self, name, _three_axes(np.asarray(getattr(self, name))))

    @classmethod
    def from_gain(cls, gain, read_noise):
        """
        Noise of images in ADU.

        Parameters
        ----------
        gain : float or array-like
            Gain in electrons per ADU; of each exposure or of each pixel if it is an array.
        read_noise : float or array-like
            Read noise in ADU, likewise.

        Returns
        -------
        ExposureNoise
        """
        gain = np.asarray(gain, dtype=np.float32)
        read_noise = np.asarray(read_noise, dtype=np.float32)
        if not (np.all(gain > 0) and np.all(np.isfinite(gain))):
            raise ValueError(f"gain must be positive and finite, got {gain}")
        # Without read noise a pixel without signal would have no noise at all.
        if not (np.all(read_noise > 0) and np.all(np.isfinite(read_noise))):
            raise ValueError(f"read noise must be positive and finite, got {read_noise}")
        return cls(read_noise**2, 1.0 / gain)

    def variance(self, signal):
        """
        Variance at an expected signal.

        Parameters
        ----------
        signal : ndarray
            Expected signal, data units; negative values count as zero.

        Returns
        -------
        ndarray
            Variance, data units squared.
        """
        return self.read_variance + self.poisson_factor * np.maximum(signal, 0)

    def largest_variance(self, signal):
        """
        Variance at an expected signal of the noisiest exposure.

        Parameters
        ----------
        signal : ndarray, shape (ny, nx)
            Expected signal, data units; negative values count as zero.

        Returns
        -------
        ndarray, shape (ny, nx)
            Variance, data units squared; an upper bound where one exposure has the higher read
            noise and another the higher Poisson factor.
        """
        # The factors first: one image of work instead of one for each exposure.
        positive = np.maximum(signal, 0)
        return self.read_variance.max(axis=0) + self.poisson_factor.max(axis=0) * positive

    def rows(self, rows):
        """
        Noise of a block of rows.

        Parameters
        ----------
        rows : slice
            Rows of the block.

        Returns
        -------
        ExposureNoise
        """
        return ExposureNoise(
            _cut_rows(self.read_variance, rows), _cut_rows(self.poisson_factor, rows)
        )


def _three_axes(values):
    """Give a scalar, a vector of exposures or an image the axes of a stack."""
    if values.ndim <= 1:
        return values.reshape(-1, 1, 1)
    return values[None] if values.ndim == 2 else values


def _cut_rows(values, rows):
    return values if values.shape[-2] == 1 else values[..., rows, :]


def log_survival(score):
    """
    Logarithm of the upper tail of the standard normal distribution.

    Parameters
    ----------
    score : ndarray of float32
        Standard normal scores.

    Returns
    -------
    ndarray of float32
        ``log P(Z > score)``, accurate to about 1e-6; finite for finite scores.
    """
    score = np.asarray(score, dtype=np.float32)
    x = np.abs(score)
    x *= np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.5) * x)
    log_tail = np.full_like(t, _ERFC_COEFFICIENTS[-1])
    for coefficient in _ERFC_COEFFICIENTS[-2::-1]:
        log_tail *= t
        log_tail += np.float32(coefficient)
    log_tail -= x * x
    log_tail += np.log(np.float32(0.5) * t)
    # Lower half: 1 - tail, which never reaches zero there.
    return np.where(score >= 0, log_tail, np.log1p(-np.exp(log_tail)))


def score_parameters(variance, third_cumulant):
    """
    Standard deviation and skewness of the noise, as `normal_score` takes them.

    Parameters
    ----------
    variance : ndarray
        Variance at the expected signal, data units squared.
    third_cumulant : ndarray
        Third cumulant at the expected signal: ``poisson_factor**2 * signal``.

    Returns
    -------
    inverse_sigma, skewness : ndarray
        Reciprocal standard deviation and (dimensionless) skewness.
    """
    inverse_sigma = 1 / np.sqrt(variance)
    return inverse_sigma, third_cumulant * inverse_sigma**3


def normal_score(deviation, inverse_sigma, skewness):
    """
    Standard normal score of a deviation under Poisson plus Gaussian noise.

    The skewness of counts multiplies the probability of a five sigma deviation several times
    even at hundreds of electrons. It is taken out by a square-root transform; against the exact
    convolution of Poisson and normal the tail probabilities are right within 20 per cent to five
    sigma for read noise above three electrons and within a factor of two down to one electron.

    Parameters
    ----------
    deviation : ndarray
        Value minus expected signal, data units.
    inverse_sigma, skewness : ndarray
        Output of `score_parameters`.

    Returns
    -------
    score : ndarray
        Standard normal score.
    log_density : ndarray
        Logarithm of the probability density of the deviation, without ``-log(2 pi)/2``.
    """
    standardized = deviation * inverse_sigma
    # (2/3) skewness removes the third moment; the root stays above zero in the far lower tail.
    root = np.sqrt(np.maximum(1 + np.float32(2 / 3) * skewness * standardized, np.float32(1e-4)))
    score = 2 * standardized / (1 + root) + skewness * np.float32(1 / 6)
    return score, np.log(inverse_sigma / root) - np.float32(0.5) * score * score
