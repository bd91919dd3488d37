"""Clean one time series with `clean_time_series`: a process whose cost can be measured.

    python run_time_series.py SETTINGS

SETTINGS is a JSON file with ``input`` and ``output``, two FITS files with ramps, and
``parameters``, those of `TimeSeriesOptions`. The scene mask is our own.
"""

import json
import sys

import numpy as np
from astropy.io import fits

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.scene_mask import SceneMaskOptions, find_scene_mask
from crsteps.flicker_noise.slope import flagged_reads, mean_difference
from crsteps.flicker_noise.time_series import TimeSeriesOptions, clean_time_series


def main(settings):
    """Read, clean in place and write."""
    with open(settings, encoding="utf-8") as stream:
        settings = json.load(stream)
    with fits.open(settings["input"], memmap=False) as hdus:
        header = hdus[0].header
        ramps = hdus["SCI"].data.astype(np.float32)
        pixeldq, groupdq = hdus["PIXELDQ"].data.astype(np.uint32), hdus["GROUPDQ"].data
    readout = Readout.from_header(
        instrument=header["INSTRUME"],
        fast_axis=header["FASTAXIS"],
        slow_axis=header["SLOWAXIS"],
        shape=ramps.shape[2:],
        n_outputs=header["NOUTPUTS"],
    )
    flagged = np.array([flagged_reads(flags, pixeldq) for flags in groupdq])
    options = SceneMaskOptions(
        stripe_axis=1 if abs(readout.fast_axis) == 1 else 0, n_outputs=readout.n_outputs
    )
    scene = find_scene_mask(mean_difference(ramps, flagged), options=options)
    result = clean_time_series(
        ramps,
        flagged=flagged,
        background_mask=~scene.mask,
        readout=readout,
        options=TimeSeriesOptions(**settings["parameters"]),
        ramps=True,
    )
    for ramp, noise in zip(ramps, result.noise, strict=True):
        ramp[1:] -= np.cumsum(noise, axis=0)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(ramps, name="SCI")]
    hdus += [fits.ImageHDU(groupdq, name="GROUPDQ"), fits.ImageHDU(pixeldq, name="PIXELDQ")]
    fits.HDUList(hdus).writeto(settings["output"], overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1])
