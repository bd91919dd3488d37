"""The part of the demonstration in which flicker noise is removed from a simulated ramp."""

from dataclasses import replace

import numpy as np
from astropy.table import Table

from crsteps.detector.readout import Readout
from crsteps.simulation.flicker_ramps import nircam_full, simulate_flicker_ramps

SEED = 20260802


def run_flicker_demo(folder, *, shape=(512, 512)):
    """
    Simulate a ramp with flicker noise, clean it through stpipe, and compare with the truth.

    Parameters
    ----------
    folder : Path
        Folder of input, product and figure; made if absent.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the detector, which has four outputs.

    Returns
    -------
    astropy.table.Table
        Rms of the flicker noise in the differences of groups, before and after, on background
        and sources.
    """
    from crsteps.flicker_noise.figures import plot_cleaning
    from crsteps.flicker_noise.step import SceneFlickerNoiseStep

    preset = nircam_full()
    scene = replace(preset.scene, n_sources=int(3000 * shape[0] * shape[1] / 2048**2))
    truth = simulate_flicker_ramps(
        replace(preset, readout=Readout(shape=shape, fast_axis=-1, slow_axis=2), scene=scene),
        seed=SEED,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ramp_jump.fits"
    _ramp_model(truth).save(path)
    cleaned = SceneFlickerNoiseStep.call(
        str(path), save_results=True, output_dir=str(folder), configure_log=False
    )
    noise = [_noise_left(truth, data) for data in (truth.data, cleaned.data)]
    before, after = (np.diff(data[0], axis=0)[1] for data in (truth.data, cleaned.data))
    plot_cleaning(folder / "flicker_noise.png", before=before, after=after)
    return Table(
        rows=[
            {"pixels": name, "before [DN]": before, "after [DN]": after}
            for name, before, after in zip(("background", "sources"), *noise, strict=True)
        ]
    )


def _ramp_model(truth):
    """Ramp as it is after jump detection."""
    from stdatamodels.jwst.datamodels import RampModel

    model = RampModel(data=truth.data, groupdq=truth.groupdq)
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRCAM"
    model.meta.exposure.type = "NRC_IMAGE"
    model.meta.exposure.noutputs = truth.options.readout.n_outputs
    model.meta.subarray.fastaxis = truth.options.readout.fast_axis
    model.meta.subarray.slowaxis = truth.options.readout.slow_axis
    return model


def _noise_left(truth, data):
    """Rms of the flicker noise left in differences of groups: on background, on sources."""
    removed = np.diff(truth.data - data, axis=1)
    left = np.diff(truth.flicker, axis=1) - removed
    return left[..., ~truth.scene_mask].std(), left[..., truth.scene_mask].std()
