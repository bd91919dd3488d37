"""Ramps with flicker (1/f) noise in the order of reading, and the truth they were made from.

How the noise is made is told in `crsteps.simulation.flicker_streams`, what is seen in
`crsteps.simulation.flicker_scenes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.detector.readout import PIXEL_TIME, Readout
from crsteps.simulation.flicker_charge import JUMP_DET, SATURATED, collect_charge
from crsteps.simulation.flicker_scenes import FlickerScene, SceneOptions, make_scene
from crsteps.simulation.flicker_streams import flicker_frames

__all__ = [
    "DO_NOT_USE",
    "JUMP_DET",
    "SATURATED",
    "FlickerRampOptions",
    "FlickerRamps",
    "nircam_full",
    "nircam_stripe",
    "niriss_soss",
    "nirspec_ifu",
    "nirspec_mos",
    "nirspec_sub512",
    "nirspec_sub2048",
    "simulate_flicker_ramps",
]

# Group flag of JWST; those of charge are in `flicker_charge`.
DO_NOT_USE = 1


@dataclass(frozen=True)
class FlickerRampOptions:
    """
    What is simulated.

    Attributes
    ----------
    readout : Readout
        Shape of the image, outputs and clock.
    scene : SceneOptions
        What is seen.
    n_integrations, n_groups : int
        Size of the exposure; a group is one frame.
    group_ticks : int or None
        Ticks from the start of one group to the start of the next; None if frames follow each
        other at once.
    alpha : float
        Exponent of the flicker noise: its power falls as frequency to the power of -alpha.
    common_rms, independent_rms : float
        Standard deviation in DN of the change of the flicker noise of a pixel from one group to
        the next: of the stream common to all outputs and of each output's own stream.
    common_gain : tuple of float
        Factor of the common stream in each output; empty for 1.
    alternating_rms : float
        The same standard deviation for the noise of alternating columns, which is independent
        from output to output.
    read_noise : float
        Standard deviation of the white noise of one group in DN.
    gain : float
        e- per DN.
    bias : float
        Signal at the start of a ramp in DN.
    hit_fraction : float
        Cosmic rays per pixel and group.
    flagged_hit : float
        Charge of cosmic rays in one pixel and group, in units of the standard deviation of the
        white noise of a group difference, above which it is flagged as a jump.
    bad_fraction : float
        Fraction of the pixels that are hot and flagged DO_NOT_USE in all groups.
    saturation : float
        Signal in DN at which a pixel saturates; infinity for never.
    mask_level : float
        Light of sources, in units of the standard deviation of the white noise of a group
        difference, above which a pixel belongs to the true scene mask.
    """

    readout: Readout
    scene: SceneOptions = field(default_factory=SceneOptions)
    n_integrations: int = 1
    n_groups: int = 5
    group_ticks: int | None = None
    alpha: float = 1.0
    common_rms: float = 2.5
    independent_rms: float = 2.5
    common_gain: tuple[float, ...] = ()
    alternating_rms: float = 0.5
    read_noise: float = 3.8
    gain: float = 1.8
    bias: float = 10000.0
    hit_fraction: float = 1e-4
    flagged_hit: float = 4.0
    bad_fraction: float = 2e-3
    saturation: float = 60000.0
    mask_level: float = 0.1

    def __post_init__(self):
        n_outputs = self.readout.n_outputs
        if not self.common_gain:
            object.__setattr__(self, "common_gain", (1.0,) * n_outputs)
        if len(self.common_gain) != n_outputs:
            raise ValueError(
                f"common_gain has {len(self.common_gain)} entries for {n_outputs} outputs; "
                "give one for each output"
            )
        if self.group_ticks is not None and self.group_ticks < self.readout.n_ticks:
            raise ValueError(
                f"group_ticks={self.group_ticks} is shorter than a frame of "
                f"{self.readout.n_ticks} ticks"
            )

    @property
    def ticks_between_groups(self) -> int:
        """Ticks from the start of one group to the start of the next."""
        return self.readout.n_ticks if self.group_ticks is None else self.group_ticks

    @property
    def group_time(self) -> float:
        """Seconds from one group to the next."""
        return self.ticks_between_groups * PIXEL_TIME


@dataclass(frozen=True)
class FlickerRamps:
    """
    Simulated ramps and their truth.

    Attributes
    ----------
    data : ndarray
        Ramps in DN, float32, (n_integrations, n_groups, ny, nx).
    groupdq : ndarray
        Flags DO_NOT_USE, SATURATED and JUMP_DET, uint8, the shape of ``data``.
    flicker : ndarray
        Flicker noise of every group in DN, with that of alternating columns, float32, the shape
        of ``data``.
    scene : FlickerScene
        Light in DN per group.
    white_sigma : ndarray
        Standard deviation in DN of a difference of two groups without flicker noise and outside
        a transit: twice the variance of the read noise and the variance of the light collected
        in a group, float32, (ny, nx).
    scene_mask : ndarray
        True where there is light of sources, bool, (ny, nx).
    bad_pixels : ndarray
        True for hot pixels, bool, (ny, nx).
    options : FlickerRampOptions
        What was simulated.
    """

    data: np.ndarray
    groupdq: np.ndarray
    flicker: np.ndarray
    scene: FlickerScene
    white_sigma: np.ndarray
    scene_mask: np.ndarray
    bad_pixels: np.ndarray
    options: FlickerRampOptions

    @property
    def scene_rate(self) -> np.ndarray:
        """Light in DN per group out of transit, without hot pixels, float32, (ny, nx)."""
        return self.scene.diffuse + self.scene.sources


def simulate_flicker_ramps(options: FlickerRampOptions, *, seed: int) -> FlickerRamps:
    """
    Simulate the ramps of one exposure.

    Light collects from group to group with Poisson noise, cosmic rays add charge between two
    groups, saturation clips the sum, and flicker and white noise are added to each read. The parts
    use independent random numbers: one can be changed without changing the others.

    Parameters
    ----------
    options : FlickerRampOptions
        What is simulated.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ramps : FlickerRamps
        Ramps and truth. The same options and seed give the same arrays.
    """
    of_scene, of_flicker, of_light, of_hits, of_reads = np.random.default_rng(seed).spawn(5)
    readout, n_integrations = options.readout, options.n_integrations
    scene = make_scene(readout.shape, options.scene, of_scene, n_integrations=n_integrations)
    bad = of_scene.random(readout.shape) < options.bad_fraction
    hot = np.where(bad, of_scene.exponential(200.0, readout.shape), 0).astype(np.float32)
    light = np.abs(scene.sources) + scene.diffuse
    white_sigma = np.sqrt(2 * options.read_noise**2 + light / options.gain, dtype=np.float32)

    shape = (n_integrations, options.n_groups, *readout.shape)
    data = np.empty(shape, np.float32)
    groupdq = np.zeros(shape, np.uint8)
    flicker = np.empty(shape, np.float32)
    for i, frames in enumerate(flicker_frames(options, of_flicker)):
        flicker[i] = readout.to_image(frames)
        jumps = white_sigma * options.flagged_hit
        collect_charge(data[i], groupdq[i], scene.rate(i) + hot, jumps, options, of_light, of_hits)
        for group, noise in zip(data[i], flicker[i], strict=True):
            group += noise
            group += options.read_noise * of_reads.standard_normal(readout.shape, np.float32)
    groupdq[..., bad] |= DO_NOT_USE
    return FlickerRamps(
        data=data,
        groupdq=groupdq,
        flicker=flicker,
        scene=scene,
        white_sigma=white_sigma,
        scene_mask=np.abs(scene.sources) > options.mask_level * white_sigma,
        bad_pixels=bad,
        options=options,
    )


def nircam_full(**changes) -> FlickerRampOptions:
    """
    NIRCam full frame: stars, galaxies and a nebula, four outputs along x.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        One integration of five groups.
    """
    readout = Readout(shape=(2048, 2048), fast_axis=-1, slow_axis=2)
    scene = SceneOptions(kind="image", nebula=20.0, n_sources=3000, brightness=(50.0, 3e5))
    return replace(FlickerRampOptions(readout=readout, scene=scene), **changes)


def nircam_stripe(**changes) -> FlickerRampOptions:
    """
    NIRCam grism time series in a stripe read through four outputs.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        Ten integrations of five groups of 256 x 2048 pixels with a chromatic transit.
    """
    return replace(
        FlickerRampOptions(
            readout=Readout(shape=(256, 2048), fast_axis=-1, slow_axis=2),
            scene=_transit(kind="time_series", brightness=(20.0, 800.0)),
            n_integrations=10,
        ),
        **changes,
    )


def niriss_soss(**changes) -> FlickerRampOptions:
    """
    NIRISS SOSS in SUBSTRIP256: two wide orders, one output along y.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        Ten integrations of four groups with a chromatic transit.
    """
    return replace(
        FlickerRampOptions(
            readout=Readout(shape=(256, 2048), n_outputs=1, fast_axis=-2, slow_axis=-1),
            scene=_transit(kind="soss", sky=8.0, brightness=(200.0, 1500.0)),
            n_integrations=10,
            n_groups=4,
            common_rms=0.0,
            independent_rms=7.5,
            read_noise=5.0,
            gain=1.6,
        ),
        **changes,
    )


def nirspec_mos(**changes) -> FlickerRampOptions:
    """
    NIRSpec full frame in traditional readout: traces of many slitlets, four outputs along y.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        One integration of five groups.
    """
    scene = SceneOptions(kind="spectra", sky=0.5, n_sources=100, brightness=(2.0, 200.0))
    return replace(_nirspec((2048, 2048), 4, scene), **changes)


def nirspec_ifu(**changes) -> FlickerRampOptions:
    """
    NIRSpec full frame in traditional readout: the 30 slices of the integral-field unit.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        One integration of five groups.
    """
    scene = SceneOptions(kind="ifu", sky=0.5, n_sources=30, brightness=(1.5, 100.0))
    return replace(_nirspec((2048, 2048), 4, scene), **changes)


def nirspec_sub2048(**changes) -> FlickerRampOptions:
    """
    NIRSpec bright-object time series in SUB2048: one trace, one output along y.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        Twenty integrations of five groups with a chromatic transit.
    """
    return replace(_bright_object((32, 2048)), **changes)


def nirspec_sub512(**changes) -> FlickerRampOptions:
    """
    NIRSpec bright-object time series in SUB512, as for the prism.

    Parameters
    ----------
    **changes
        Attributes of `FlickerRampOptions` that differ from the preset.

    Returns
    -------
    options : FlickerRampOptions
        Twenty integrations of five groups with a chromatic transit.
    """
    return replace(_bright_object((32, 512)), **changes)


def _bright_object(shape):
    scene = _transit(kind="time_series", sky=0.5, brightness=(20.0, 1000.0))
    options = replace(_nirspec(shape, 1, scene), n_integrations=20)
    return replace(options, common_rms=0.0, independent_rms=7.9)


def _nirspec(shape, n_outputs, scene):
    return FlickerRampOptions(
        readout=Readout(shape=shape, n_outputs=n_outputs, fast_axis=2, slow_axis=1),
        scene=scene,
        common_rms=3.9,
        independent_rms=3.9,
        alternating_rms=0.8,
        read_noise=6.2,
        gain=1.4,
    )


def _transit(**changes):
    return SceneOptions(transit_depth=0.02, transit_slope=0.5, **changes)
