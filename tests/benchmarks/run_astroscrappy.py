"""Run astroscrappy alone on all images of a raw file, with the parameters of the NISP team.

The bad pixels are replaced and the offset is removed, as the team's pipeline does; nothing is
written but the CPU seconds of the calls and the number of flagged pixels, on the last line.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from astropy.io import fits
from slew_dark_cases import call_astroscrappy

BORDER = 4


def main(path, bad_pixels):
    """Find cosmic rays in every image."""
    call_astroscrappy(np.zeros((9, 9), np.float32), np.ones((9, 9), bool))  # imports it
    seconds, flagged = 0.0, 0
    with fits.open(path) as images, fits.open(bad_pixels) as bad:
        for hdu in images:
            if not hdu.name.endswith(".SCI"):
                continue
            image = np.asarray(hdu.data, np.float32)
            usable = np.zeros(image.shape, bool)
            usable[BORDER:-BORDER, BORDER:-BORDER] = True
            usable &= bad[hdu.name.split(".")[0]].data == 0
            start = time.process_time()
            flagged += int(np.count_nonzero(call_astroscrappy(image, usable)))
            seconds += time.process_time() - start
    print(json.dumps({"cpu_seconds": seconds, "flagged": flagged}))


if __name__ == "__main__":
    main(*sys.argv[1:])
