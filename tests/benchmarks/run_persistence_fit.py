"""Fit a series of darks in a process of its own, whose memory can be measured.

    python run_persistence_fit.py DARKS SAMPLE

DARKS is a file of `numpy.save` with the darks, which is mapped into memory; DARKS.delays.npy has
their times. The report is JSON, on the last line.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from persistence_fits import compare_with_curve_fit


def main(path, sample):
    """Fit the darks and compare with curve_fit."""
    darks = np.load(path, mmap_mode="r")
    delays = np.load(f"{path}.delays.npy")
    print(json.dumps(compare_with_curve_fit(darks, delays, int(sample))))


if __name__ == "__main__":
    main(*sys.argv[1:])
