"""Persistence taken off ramps and rates in place, with its error, flags and what remains.

Every pixel is visited once. What is known of it, whatever the number of stimuli, integrations and
groups, is worked out in a block that fits into the processor's cache, and subtracted there.

* The *predicted rate* of a pixel is the mean, over the integrations, of the rate that persistence
  adds: the difference of its mean charges in the last and the first group over the integration
  time. An integration of one group is a charge since the reset, so there it is that charge over the
  mean time of the group.
* Its *error* has two parts. Amplitudes and slopes after several stimuli come from the same model of
  the pixel and are wrong together, so the errors that follow from their covariances add linearly.
  So do those of amplitude and slope where nobody knows how they are correlated.
  The systematic part is a fraction of the whole prediction. Both parts add in quadrature.
* Where the predicted rate is below its error, times a factor, nothing is subtracted in any
  integration: a correction that is not known would make the pixel worse.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crsteps.persistence.correction_result import CorrectionOptions, CorrectionResult
from crsteps.persistence.decay import combine_decays
from crsteps.persistence.decay_blocks import walk_blocks
from crsteps.persistence.exposure_charges import DecayCharges, ExposureLayout
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import CLOCK_TOLERANCE, StimulusDecay
from crsteps.persistence.power_law import correction_variance

__all__ = ["CorrectionOptions", "CorrectionResult", "correct_ramp", "correct_rates"]

# Numbers worked on at once, pixels of all stimuli that are held in memory, and limits of the pixels
# of one stimulus worked on at once.
_BLOCK_NUMBERS, _MOST_WAITING = 2**18, 2**20
_FEWEST_PIXELS, _MOST_PIXELS = 256, 2**15


def correct_ramp(ramp, *, decays, times: GroupTimes, resets, usable=None, noise=0.0, options=None):
    """
    Subtract the charge of persistence from the ramps of an exposure, in place.

    Parameters
    ----------
    ramp : ndarray
        Charge in e-, float32 or float64, (n_integrations, n_groups, ny, nx). It is changed; NaN
        stay. Images have to be contiguous.
    decays : iterable of Decay or StimulusDecay
        Persistence after each earlier stimulus, in any order, as `History.decays` gives it. The
        cost is in proportion to their pixels. Pixels in which the amplitude or the slope is not
        finite are left alone.
    times : GroupTimes
        When the frames of an integration are read.
    resets : array_like
        Time of the reset of each integration in s on the clock of the history, increasing,
        (n_integrations,).
    usable : array_like of bool, optional
        Pixels to correct, (ny, nx); all if None. Others are left alone, are not flagged and count
        in no fraction, but their rates are predicted.
    noise : float or array_like
        Standard deviation of the rate of the exposure in e-/s, a number or (ny, nx), for flags by
        significance.
    options : CorrectionOptions, optional
        Options.

    Returns
    -------
    result : CorrectionResult
        What was predicted, and what was done.

    Raises
    ------
    ValueError
        If shapes do not fit, the ramp cannot be changed in place, or a stimulus had not ended when
        the exposure began. Nothing is changed then.
    """
    _require_array(ramp, 4, "ramp")
    if ramp.shape[1] != len(times.frames):
        raise ValueError(
            f"a ramp of shape {ramp.shape} does not have {len(times.frames)} groups in its second "
            "dimension"
        )
    layout = ExposureLayout(times, _checked_resets(resets, len(ramp)), "ramp")
    return _correct(ramp, layout, decays, usable=usable, noise=noise, options=options)


def correct_rates(
    rates,
    *,
    decays,
    times: GroupTimes,
    resets,
    variances=None,
    usable=None,
    noise=0.0,
    options=None,
):
    """
    Subtract persistence from the rates of an exposure, in place.

    Parameters
    ----------
    rates : ndarray
        Rate of each integration in e-/s, float32 or float64, (n_integrations, ny, nx), or one image
        with the mean of all integrations, (1, ny, nx). It is changed; NaN stay.
    decays, times, resets
        As for `correct_ramp`.
    variances : ndarray, optional
        Variance of each rate in (e-/s)**2, of the shape of the rates. It is changed: that of the
        subtracted rate is added.
    usable, noise, options
        As for `correct_ramp`.

    Returns
    -------
    result : CorrectionResult
        What was predicted, and what was done.

    Raises
    ------
    ValueError
        As for `correct_ramp`.
    """
    _require_array(rates, 3, "stack of rates")
    if variances is not None:
        _require_array(variances, 3, "stack of variances")
        if variances.shape != rates.shape:
            raise ValueError(
                f"variances of shape {variances.shape} do not fit rates of shape {rates.shape}"
            )
    n_resets = np.size(resets)
    averaged = len(rates) == 1 and n_resets > 1
    layout = ExposureLayout(
        times,
        _checked_resets(resets, n_resets if averaged else len(rates)),
        "rate" if averaged else "rates",
        each=variances is not None,
    )
    return _correct(
        rates, layout, decays, variances=variances, usable=usable, noise=noise, options=options
    )


def _correct(data, layout, decays, *, usable, noise, options, variances=None):
    """Walk through the pixels that any stimulus reaches, and correct them."""
    shape = data.shape[-2:]
    if usable is not None:
        usable = _image(np.asarray(usable, bool), shape, "mask of usable pixels").reshape(-1)
    noise = np.asarray(noise) if np.ndim(noise) == 0 else _image(noise, shape, "noise").reshape(-1)
    options = CorrectionOptions() if options is None else options
    decays = sorted(decays, key=lambda decay: decay.end)
    _check_decays(decays, layout.resets[0], shape)
    work = _Work(data, layout, options, usable, noise, variances)
    n_numbers = layout.n_changed + 2 * layout.n_rates
    size = min(_BLOCK_NUMBERS // n_numbers, _MOST_WAITING // max(len(decays), 1), _MOST_PIXELS)
    for block in walk_blocks(decays, size=max(size, _FEWEST_PIXELS)):
        work.correct(block)
    return work.result()


class _Work:
    """The arrays of one correction, and what is done to a block of their pixels."""

    def __init__(self, data, layout, options, usable, noise, variances):
        shape = data.shape[-2:]
        self.layout, self.options = layout, options
        self.usable, self.noise = usable, noise
        # views with all pixels in a row, through which the data themselves are changed
        n_pixels = shape[0] * shape[1]
        self.data = data.reshape(layout.n_images, layout.n_changed // layout.n_images, n_pixels)
        self.variances = None if variances is None else variances.reshape(len(data), n_pixels)
        self.rate, self.variance = (np.zeros(shape, np.float32) for _ in range(2))
        self.subtracted, self.persistence, self.bad = (np.zeros(shape, bool) for _ in range(3))
        self.before, self.after = np.zeros((2, len(options.thresholds)), np.int64)
        self.charges = {}

    def correct(self, block):
        """Predict the persistence of some pixels, subtract it and keep account."""
        place, options = block.place, self.options
        changes, rates, errors = self._predict(block)
        rate, error = rates[0], errors[0]
        usable = True if self.usable is None else self.usable[place]
        chosen = usable & (rate > 0) & (rate >= options.minimum_significance * error)
        self._subtract(place, changes, errors, chosen, refused=~chosen & (rate > 0))
        self.rate.reshape(-1)[place] = rate
        self.variance.reshape(-1)[place] = np.square(error)
        self.subtracted.reshape(-1)[place] = chosen
        for flag, lowest, faintest in (
            (self.persistence, options.flag_significance, options.flag_rate),
            (self.bad, options.bad_significance, options.bad_rate),
        ):
            if lowest is not None or faintest is not None:
                above = self._exceeds(place, rate, error, lowest, faintest)
                flag.reshape(-1)[place] = usable & above
        before = rate * usable
        after = np.where(chosen, error, before)
        for i, threshold in enumerate(options.thresholds):
            self.before[i] += np.count_nonzero(before > threshold)
            self.after[i] += np.count_nonzero(after > threshold)

    def _exceeds(self, place, rate, error, significance, faintest):
        """Pixels above a significance or a rate, either of which may be None."""
        above = False if faintest is None else rate > faintest
        if significance is None:
            return above
        noise = self.noise[place] if self.noise.ndim else self.noise
        return above | (rate > significance * np.hypot(error, noise))

    def _predict(self, block):
        """Changes of the data, (n_changed, n), rates and their errors, (n_rates, n)."""
        n_changed, n_rates = self.layout.n_changed, self.layout.n_rates
        total = None
        for index, part in self._strongest(block.parts):
            if index not in self.charges:
                self.charges[index] = DecayCharges(
                    self.layout, end=part.end, reference_time=part.reference_time
                )
            values = self.charges[index](part.amplitude, part.gamma)
            rates, by_gamma = values[n_changed:-n_rates], values[-n_rates:]
            variance = correction_variance(
                rates / np.where(part.amplitude > 0, part.amplitude, 1),
                by_gamma,
                covariance=part.covariance,
                charge=rates,
            )
            np.sqrt(variance, out=by_gamma, casting="same_kind")
            # from here on the last rows are errors, which add like the rest
            everywhere = part.pixels.size == block.pixels.size
            if total is None and everywhere:
                total = values
            elif total is None:
                total = np.zeros((len(values), block.pixels.size), values.dtype)
                total[:, part.pixels] = values
            else:
                total[:, slice(None) if everywhere else part.pixels] += values
        rates, errors = total[n_changed:-n_rates], total[-n_rates:]
        if self.options.systematic:
            errors = np.sqrt(np.square(errors) + np.square(self.options.systematic * rates))
        return total[:n_changed], rates, errors

    def _strongest(self, parts):
        """Parts that count, with pixels in common only if they add."""
        start = self.layout.resets[0]
        decays = [replace(d, end=min(d.end, start - CLOCK_TOLERANCE)) for _, d in parts]
        if len(decays) > 1:
            decays = combine_decays(decays, how=self.options.combine, time=start)
        indices = [index for index, _ in parts]
        return [(i, d) for i, d in zip(indices, decays, strict=True) if d.pixels.size]

    def _subtract(self, place, changes, errors, chosen, refused):
        """Change the data, and their variances, in the pixels that were chosen."""
        if not chosen.any():
            return
        if refused.any():
            changes *= chosen.astype(changes.dtype)
        for image, change in zip(self.data, np.split(changes, len(self.data)), strict=True):
            if isinstance(place, slice):
                np.subtract(image[:, place], change, out=image[:, place], casting="same_kind")
            else:  # half the time of image[:, place] -= change
                for row, values in zip(image, change.astype(image.dtype, copy=False), strict=True):
                    np.subtract.at(row, place, values)
        if self.variances is not None:
            self.variances[:, place] += np.where(chosen, np.square(errors[1:]), 0)

    def result(self):
        every = self.rate.size if self.usable is None else np.count_nonzero(self.usable)
        n_usable = max(every, 1)
        return CorrectionResult(
            rate=self.rate,
            variance=self.variance,
            subtracted=self.subtracted,
            persistence_flag=self.persistence,
            bad_flag=self.bad,
            thresholds=tuple(self.options.thresholds),
            fractions_before=tuple(float(n / n_usable) for n in self.before),
            fractions_after=tuple(float(n / n_usable) for n in self.after),
            n_stimuli=len(self.charges),
        )


def _image(values, shape, name):
    if np.shape(values) != tuple(shape):
        raise ValueError(f"the {name} has shape {np.shape(values)}, the exposure {tuple(shape)}")
    return np.asarray(values)


def _require_array(array, n_dimensions, name):
    """Refuse what cannot be changed in place through a view with all pixels in a row."""
    if not isinstance(array, np.ndarray) or array.ndim != n_dimensions:
        raise ValueError(f"a {name} of shape {np.shape(array)} does not have {n_dimensions} axes")
    floats = array.dtype.kind == "f" and array.dtype.itemsize in (4, 8)
    one_row = array.strides[-2:] == (array.shape[-1] * array.itemsize, array.itemsize)
    if not (floats and array.flags.writeable and (one_row or array.size == 0)):
        raise ValueError(
            f"a {name} is corrected in place: give an array of float32 or float64 that can be "
            "written and whose images are contiguous (numpy.ascontiguousarray makes one)"
        )


def _checked_resets(resets, n_integrations):
    resets = np.atleast_1d(np.asarray(resets, np.float64))
    if resets.shape != (n_integrations,):
        raise ValueError(f"there are {resets.size} resets for {n_integrations} integrations")
    if not (np.all(np.isfinite(resets)) and np.all(np.diff(resets) > 0)):
        raise ValueError("the times of the resets have to be finite and to increase")
    return resets


def _check_decays(decays, start, shape):
    """Refuse stimuli that the exposure cannot show."""
    for decay in decays:
        if not decay.end <= start + CLOCK_TOLERANCE:
            raise ValueError(
                f"a stimulus ended {decay.end - start:g} s after the exposure began; "
                "give only stimuli that ended before"
            )
        if isinstance(decay, StimulusDecay):
            fits = tuple(decay.shape) == tuple(shape)
        else:
            pixels = decay.pixels
            fits = not pixels.size or 0 <= pixels[0] <= pixels[-1] < shape[0] * shape[1]
        if not fits:
            raise ValueError(
                f"a stimulus has pixels of another shape than {tuple(shape)}, that of the "
                "exposure: give the history of the same detector and subarray"
            )
