"""Cases of the flicker benchmark: simulated ramps, and the files that every step is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from crsteps.simulation import flicker_ramps
from crsteps.simulation.flicker_streams import PUBLISHED_MIXTURE, with_mixture

# Instrument, detector, exposure type, subarray and readout pattern.
HEADERS = {
    "nircam_full": ("NIRCAM", "NRCALONG", "NRC_IMAGE", "FULL", "RAPID"),
    "nirspec_mos": ("NIRSPEC", "NRS1", "NRS_MSASPEC", "FULL", "NRSRAPID"),
    "nirspec_ifu": ("NIRSPEC", "NRS1", "NRS_IFU", "FULL", "NRSRAPID"),
    "nircam_stripe": ("NIRCAM", "NRCALONG", "NRC_TSGRISM", "SUBGRISM256", "RAPID"),
    "niriss_soss": ("NIRISS", "NIS", "NIS_SOSS", "SUBSTRIP256", "NISRAPID"),
    "nirspec_sub2048": ("NIRSPEC", "NRS1", "NRS_BRIGHTOBJ", "SUB2048", "NRSRAPID"),
    "nirspec_sub512": ("NIRSPEC", "NRS1", "NRS_BRIGHTOBJ", "SUB512", "NRSRAPID"),
}
FULL = ("nircam_full", "nirspec_mos", "nirspec_ifu")
SUBARRAYS = ("nirspec_sub2048", "nirspec_sub512")
TIME_SERIES = ("nircam_stripe", "niriss_soss", *SUBARRAYS)

EQUAL, PUBLISHED = "equal", "published"
MIXTURES = {EQUAL: 1.0, PUBLISHED: PUBLISHED_MIXTURE}

# Standard deviation in pixels of the filter that makes blobs, by the length of the shorter side.
BLOB_SIZE = 20.0
SILENT = dict.fromkeys(("common_rms", "independent_rms", "alternating_rms"), 0.0)


@dataclass(frozen=True)
class Case:
    """
    An exposure, but for the seed.

    Attributes
    ----------
    name : str
        What the tables call it.
    preset : str
        Key of `HEADERS` and function of `crsteps.simulation.flicker_ramps`.
    changes : dict
        Attributes of the options of the simulation that differ from the preset.
    readout : dict
        Attributes of the simulated readout that differ from what the header says.
    masked : float
        Part of the pixels that the user's mask takes away with blobs and sources; 0 for no mask.
    mixture : str
        Key of `MIXTURES`.
    """

    name: str
    preset: str
    changes: dict = field(default_factory=dict)
    readout: dict = field(default_factory=dict)
    masked: float = 0.0
    mixture: str = EQUAL

    def options(self):
        """Options of the simulation."""
        options = getattr(flicker_ramps, self.preset)(**self.changes)
        if options.readout.n_outputs > 1:
            options = with_mixture(options, MIXTURES[self.mixture])
        return replace(options, readout=replace(options.readout, **self.readout))


def main_cases(presets, mixture):
    """Every preset as it is; what has one output has one mixture."""
    return [
        Case(preset, preset, mixture=mixture)
        for preset in presets
        if mixture == EQUAL or preset not in (*SUBARRAYS, "niriss_soss")
    ]


def white_cases(presets):
    """Every preset without flicker noise."""
    return [Case(f"{preset}, white noise only", preset, SILENT) for preset in presets]


def variant_cases(presets, mixture):
    """One thing different at a time: exponent, gains, direction, mask; shorter exposures."""
    cases = []
    if "nircam_full" in presets:
        short = {"n_groups": 3}
        four = [
            ("as the preset", {}, {}, 0.0),
            ("alpha 0.8", {"alpha": 0.8}, {}, 0.0),
            ("alpha 1.2", {"alpha": 1.2}, {}, 0.0),
            ("gains 0.6, 0.9, 1.1, 1.28", {"common_gain": (0.6, 0.9, 1.1, 1.28)}, {}, 0.0),
            # With four outputs a FASTAXIS of the other sign is the same clock: all must turn.
            ("outputs read against the header", {}, {"mirrored": (True, False, True, False)}, 0.0),
            ("no output mirrored", {}, {"mirrored": (False,) * 4}, 0.0),
            ("rows read against the header", {}, {"slow_axis": -2}, 0.0),
            ("20 % masked", {}, {}, 0.2),
            ("60 % masked", {}, {}, 0.6),
            ("90 % masked", {}, {}, 0.9),
        ]
        cases += [
            Case(f"nircam_full, 3 groups, {name}", "nircam_full", short | changes, *rest, mixture)
            for name, changes, *rest in four
        ]
    if "nirspec_sub2048" in presets and mixture == EQUAL:
        short = {"n_integrations": 10}
        one = [
            ("as the preset", {}, {}, 0.0),
            ("alpha 0.8", {"alpha": 0.8}, {}, 0.0),
            ("alpha 1.2", {"alpha": 1.2}, {}, 0.0),
            ("columns read against the header", {}, {"fast_axis": -2}, 0.0),
            ("rows read against the header", {}, {"slow_axis": -1}, 0.0),
            ("60 % masked", {}, {}, 0.6),
            ("90 % masked", {}, {}, 0.9),
        ]
        cases += [
            Case(f"nirspec_sub2048, 10 integrations, {name}", "nirspec_sub2048", short | c, *rest)
            for name, c, *rest in one
        ]
    return cases


def growth_cases(sizes=(512, 1024, 2048), groups=(5, 10, 20)):
    """NIRCam exposures of several sizes with 5 groups, and of 1024 x 1024 pixels with more."""
    shapes = [(n, 5) for n in sizes] + [(1024, n) for n in groups if n != 5]
    cases = []
    for n, n_groups in shapes:
        options = flicker_ramps.nircam_full()
        changes = {
            "readout": replace(options.readout, shape=(n, n), mirrored=()),
            "n_groups": n_groups,
            # As many sources on a pixel.
            "scene": replace(options.scene, n_sources=options.scene.n_sources * n**2 // 2048**2),
        }
        cases.append(Case(f"{n} x {n} pixels, {n_groups} groups", "nircam_full", changes))
    return cases


def hidden_background(ramps, fraction, seed):
    """Background pixels that blobs hide, so that with the sources a fraction is masked."""
    taken = ramps.scene_mask | ramps.bad_pixels
    if fraction == 0:
        return np.zeros_like(taken)
    noise = np.random.default_rng([seed, 7]).standard_normal(taken.shape)
    field_ = gaussian_filter(noise, min(BLOB_SIZE, min(taken.shape) / 8))
    field_[taken] = np.inf
    return (field_ >= np.quantile(field_, 1 - fraction)) & ~taken


def write_files(case, ramps, folder, hidden):
    """Write the ramp, the mask of a user and the references; return settings of the runner."""
    from stdatamodels.jwst import datamodels

    paths = {name: str(folder / f"{name}.fits") for name in ("x_jump", "mask", "gain", "readnoise")}
    options = ramps.options
    pixeldq = np.where(ramps.bad_pixels, flicker_ramps.DO_NOT_USE, 0).astype(np.uint32)
    ramp = datamodels.RampModel(data=ramps.data, groupdq=ramps.groupdq, pixeldq=pixeldq)
    _describe(ramp, case)
    _describe_exposure(ramp, case, options)
    ramp.save(paths["x_jump"])
    background = ~ramps.scene_mask & ~ramps.bad_pixels & ~hidden
    datamodels.ImageModel(data=background.astype(np.float32)).save(paths["mask"])
    gain = np.full(options.readout.shape, options.gain, np.float32)
    _describe(datamodels.GainModel(data=gain), case).save(paths["gain"])
    # The reference file holds the noise of a difference of two reads.
    noise = np.full(options.readout.shape, options.read_noise * np.sqrt(2), np.float32)
    _describe(datamodels.ReadnoiseModel(data=noise), case).save(paths["readnoise"])
    settings = {
        "input": paths["x_jump"],
        "mask": paths["mask"],
        "references": {kind: paths[kind] for kind in ("gain", "readnoise")},
    }
    if case.preset in TIME_SERIES:
        lights = (ramps.scene.rate(i) - ramps.scene.diffuse for i in range(len(ramps.data)))
        sky = float(np.mean(ramps.scene.diffuse)) / options.group_time
        settings["truth"] = {"white_light": [float(light.sum()) for light in lights], "sky": sky}
        # It must exist, but nothing in it is needed without science regions.
        settings["references"]["pastasoss"] = paths["gain"]
    return settings


def _describe(model, case):
    """Write what references and exposures share: detector and window, as the preset says."""
    instrument, detector, _, subarray, _ = HEADERS[case.preset]
    model.meta.instrument.name = instrument
    model.meta.instrument.detector = detector
    window = model.meta.subarray
    window.name = subarray
    window.ysize, window.xsize = model.data.shape[-2:]
    window.xstart = window.ystart = 1
    readout = getattr(flicker_ramps, case.preset)().readout
    window.fastaxis, window.slowaxis = readout.fast_axis, readout.slow_axis
    return model


def _describe_exposure(ramp, case, options):
    """Write what only an exposure has."""
    exposure = ramp.meta.exposure
    exposure.type, exposure.readpatt = HEADERS[case.preset][2], HEADERS[case.preset][4]
    exposure.ngroups, exposure.nints = options.n_groups, options.n_integrations
    exposure.nframes, exposure.groupgap = 1, 0
    exposure.noutputs = options.readout.n_outputs
    exposure.frame_time = exposure.group_time = options.group_time
    ramp.meta.visit.tsovisit = case.preset in TIME_SERIES
    ramp.meta.observation.date = "2026-01-01"
    ramp.meta.observation.time = "00:00:00"
