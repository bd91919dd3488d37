"""Scenes of the benchmark of persistence, and how well they are corrected."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from slew_dark_cases import METHODS, detect, score, usable_pixels

from crsteps.detector.macc import MaccReadout
from crsteps.detector.nisp import ELECTRONS_PER_ADU
from crsteps.persistence.correction import CorrectionOptions, correct_rates
from crsteps.persistence.decay import PersistenceModel
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import History, stimulus_of
from crsteps.persistence.power_law import Covariance
from crsteps.persistence.stimulus import TableCurve
from crsteps.simulation.persistence_exposures import (
    FULL_WELL,
    LEVELS,
    Afterglow,
    SourceStimulus,
    draw_memory,
    expected_rate,
    simulate_stimulus_fluence,
    slew_dark_with_persistence,
)
from crsteps.simulation.slew_darks import SlewDark, SlewDarkOptions
from crsteps.slew_dark.detection import DetectionOptions, find_cosmic_rays

START = 1e6  # s on the clock of the history: reset of the exposure that is corrected
RELATIVE, SLOPE = 0.2, 0.1  # standard deviations of A and gamma of a reference that is not right
JWST = MaccReadout(10, 1, 0, 10.737)
# Kinds of the exposures before a dark, and seconds from the end of each to its reset.
SCENES = {
    "300 s after an image": (("image", 300.0), ("image", 600.0), ("spectra", 1100.0)),
    "60 s after an image": (("image", 60.0), ("image", 360.0), ("spectra", 860.0)),
}


def readout_times(readout: MaccReadout):
    """Times of a readout as the correction takes them."""
    return GroupTimes.regular(
        readout.n_groups,
        frame_time=readout.frame_time,
        n_frames=readout.n_frames,
        n_drops=readout.n_drops,
    )


def known_model(**parts):
    """Model of persistence that agrees with the simulation but for what is given."""
    fluence, amplitude = np.array(LEVELS).T
    curve = TableCurve(fluence, amplitude, np.ones(fluence.size))
    return PersistenceModel(curve=curve, saturation_level=FULL_WELL, **parts)


@dataclass(frozen=True)
class Reference:
    """
    How much the pixels and the reference file differ.

    Attributes
    ----------
    scatter : bool
        Whether amplitudes and slopes of the pixels scatter.
    scale, offset : float
        Factor of all amplitudes of the reference, and what is added to all of its slopes.
    uncertain : bool
        Whether the reference says that it is uncertain.
    maps : bool
        Whether the amplitude of every third pixel comes from a fit with an error of 150 %.
    """

    scatter: bool = False
    scale: float = 1.0
    offset: float = 0.0
    uncertain: bool = False
    maps: bool = False

    def model(self, shape, seed):
        """Model that the correction is given."""
        covariance = (RELATIVE**2, SLOPE**2) if self.uncertain else (0.0, 0.0)
        scale, variance = self.scale, covariance[0]
        if self.maps:
            rng = np.random.default_rng([seed, 4])
            error = np.where(rng.random(shape) < 1 / 3, 1.5, 0.05)
            scale, variance = rng.normal(1.0, error), error**2
        return known_model(
            amplitude_scale=scale,
            gamma_offset=self.offset,
            # of pixels that scatter by themselves it is known that nothing is correlated
            covariance=Covariance(variance, covariance[1], np.nan if self.common else 0.0),
        )

    @property
    def common(self):
        """Whether amplitudes and slopes of all pixels are wrong together."""
        return self.uncertain and not self.scatter


REFERENCES = {
    "right": Reference(),
    "pixels scatter by 20 % and 0.1": Reference(scatter=True, uncertain=True),
    "all A + 20 %, gamma + 0.1": Reference(scale=1.2, offset=0.1, uncertain=True),
    "all A + 20 %, gamma - 0.1": Reference(scale=1.2, offset=-0.1, uncertain=True),
    "all A - 20 %, gamma + 0.1": Reference(scale=0.8, offset=0.1, uncertain=True),
    "all A - 20 %, gamma - 0.1": Reference(scale=0.8, offset=-0.1, uncertain=True),
    "every third A by 150 %": Reference(maps=True),
}


@dataclass(frozen=True)
class Scene:
    """What lit the pixels before a dark: stimuli as measured, and their true afterglows."""

    stimuli: tuple[SourceStimulus, ...]
    glows: tuple[Afterglow, ...]

    def history(self, model):
        """History as the step would write it."""
        shape = self.glows[0].amplitude.shape
        history = History("DET11", shape)
        for number, (stimulus, glow) in enumerate(zip(self.stimuli, self.glows, strict=True)):
            history = history.add(
                stimulus_of(
                    stimulus.measured,
                    model=model,
                    source=f"exposure {number}",
                    end=START - glow.delay,
                    duration=100.0,
                )
            )
        return history


def make_scene(name, shape, *, seed, scatter=False):
    """Simulate the exposures before a dark."""
    memory = draw_memory(
        shape,
        seed=seed,
        amplitude_scatter=RELATIVE if scatter else 0.0,
        gamma_scatter=SLOPE if scatter else 0.0,
    )
    stimuli = tuple(
        simulate_stimulus_fluence(shape, seed=1000 * seed + number, kind=kind)
        for number, (kind, _) in enumerate(SCENES[name])
    )
    glows = tuple(
        Afterglow(memory.amplitude(stimulus.fluence), memory.gamma, delay)
        for stimulus, (_, delay) in zip(stimuli, SCENES[name], strict=True)
    )
    return Scene(stimuli, glows)


def correct_dark(dark: SlewDark, scene: Scene, model, **options):
    """
    Correct a slew dark; return it with float32 data, and the result of the correction.

    The offset is known, as it is measured before the correction.
    """
    readout, level = dark.options.readout, np.float32(dark.options.offset)
    factor = np.float32(dark.options.gain * readout.integration_time)
    rates = ((dark.data.astype(np.float32) - level) / factor)[np.newaxis]
    result = correct_rates(
        rates,
        decays=scene.history(model).decays(model, START),
        times=readout_times(readout),
        resets=[START],
        usable=usable_pixels(dark),
        options=CorrectionOptions(**options),
    )
    return replace(dark, data=rates[0] * factor + level), result


def compare_correction(name, reference: Reference, *, size, seed, thresholds=(0.1, 0.03, 0.01)):
    """Truth and prediction of one slew dark, in numbers."""
    options = SlewDarkOptions(shape=(size, size), persistence=False)
    scene = make_scene(name, options.shape, seed=seed, scatter=reference.scatter)
    dark = slew_dark_with_persistence(scene.glows, options, seed=seed)
    clean = slew_dark_with_persistence((), options, seed=seed)
    corrected, result = correct_dark(
        dark, scene, reference.model(options.shape, seed), thresholds=thresholds
    )
    usable = usable_pixels(dark)
    truth, error = expected_rate(scene.glows, options.readout), np.sqrt(result.variance)
    left = truth - np.where(result.subtracted, result.rate, 0)
    done = result.subtracted
    unsure = usable & (result.rate > 0) & (result.rate < error)
    lit = usable & (truth > min(thresholds)) & ~dark.truth
    before, after = (image.data[lit] - clean.data[lit].astype(float) for image in (dark, corrected))
    original = dark.data.astype(np.float32)
    return {
        "before": [int(np.count_nonzero(usable & (truth > t))) for t in thresholds],
        "after": [int(np.count_nonzero(usable & (np.abs(left) > t))) for t in thresholds],
        "said before": [f * int(usable.sum()) for f in result.fractions_before],
        "said after": [f * int(usable.sum()) for f in result.fractions_after],
        "pull": float(np.sqrt(np.mean(np.square(left[done] / error[done])))),
        "in the data": float(after.sum() / before.sum()),
        "unsure": int(unsure.sum()),
        "unsure changed": int(np.count_nonzero(np.abs(corrected.data - original)[unsure] > 1e-3)),
        "unsure rms": _rms(truth[unsure]),
        "unsure rms if subtracted": _rms((truth - result.rate)[unsure]),
    }


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def score_detectors(name, methods, *, size, seed):
    """
    Score detectors on a dark without persistence, with it, and corrected.

    Detectors are also told the noise of the persistence that was subtracted: its photon noise and
    the error of the prediction.

    Returns
    -------
    dict
        Counts by method and kind of dark.
    """
    options = SlewDarkOptions(shape=(size, size), persistence=False)
    scene = make_scene(name, options.shape, seed=seed)
    dark = slew_dark_with_persistence(scene.glows, options, seed=seed)
    clean = slew_dark_with_persistence((), options, seed=seed)
    corrected, result = correct_dark(dark, scene, known_model())
    counts = {}
    for method in methods:
        for kind, image in (("free", clean), ("persistent", dark), ("corrected", corrected)):
            found = detect(METHODS[method], image)
            counts[f"{method} | {kind}"] = vars(score(found.mask, image))
        mask = _detect_with_noise(method, corrected, found.noise, result)
        counts[f"{method} | corrected, noise told"] = vars(score(mask, corrected))
    return counts


def _detect_with_noise(method, dark, noise, result):
    """Mask of a detector that knows how noisy the persistence was."""
    options, quality = dark.options, METHODS[method].quality
    seconds = options.readout.integration_time
    variance = seconds * result.rate + seconds**2 * result.variance
    return find_cosmic_rays(
        dark.data,
        usable=usable_pixels(dark),
        quality=None if quality is None else dark.quality,
        quality_kind=quality,
        electrons_per_adu=ELECTRONS_PER_ADU,
        noise=noise,
        added_variance=options.gain**2 * variance,
        offset=METHODS[method].offset,
        options=DetectionOptions(detector=METHODS[method].detector, readout=options.readout),
    ).mask
