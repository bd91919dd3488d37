"""Figures of slew darks for the documentation, of simulated ones.

python tests/benchmarks/slew_dark_figures.py docs/images
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crsteps.detector.nisp import DETECTORS, ELECTRONS_PER_ADU, reference_border
from crsteps.simulation.slew_darks import SlewDarkOptions, simulate_slew_dark
from crsteps.slew_dark.analysis import JUMP_DET, AnalysisOptions, DetectorFrame, analyse_detector
from crsteps.slew_dark.detection import DetectionOptions
from crsteps.slew_dark.figures import plot_detector, plot_focal_plane
from crsteps.slew_dark.statistics import StatisticsOptions
from crsteps.slew_dark.thumbnails import sketch_detector

SEED = 20260804
SMALL = (512, 512)
DPI = 80


def analysed(detector, *, shape, seed):
    """
    Simulate and search a detector.

    Parameters
    ----------
    detector : str
        Name of the detector.
    shape : tuple of int
        Shape ``(ny, nx)``.
    seed : int
        Seed of the simulation.

    Returns
    -------
    frame : DetectorFrame
        The detector.
    analysis : DetectorAnalysis
        What was found.
    """
    dark = simulate_slew_dark(SlewDarkOptions(shape=shape), seed=seed, detector=detector)
    nothing = np.zeros(shape, bool)
    frame = DetectorFrame(
        detector,
        dark.data.astype(np.float32),
        missing=nothing,
        reference=reference_border(shape),
        saturated=nothing,
        bad=dark.bad,
        quality=dark.quality,
        quality_kind="chi2",
    )
    options = AnalysisOptions(
        detection=DetectionOptions(n_outputs=dark.options.n_outputs),
        statistics=StatisticsOptions(electrons_per_adu=ELECTRONS_PER_ADU),
    )
    return frame, analyse_detector(frame, options=options)


def main():
    """Draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    frame, analysis = analysed("DET11", shape=(2048, 2048), seed=SEED)
    figure = Figure(figsize=(13.5, 11.7))
    plot_detector(
        figure,
        original=frame.data,
        cleaned=analysis.cleaned,
        hits=(analysis.dq & JUMP_DET) != 0,
        usable=frame.usable,
        reference=frame.reference,
        level=analysis.offset,
        title="Simulated slew dark, DET11",
    )
    figure.savefig(folder / "slew_dark_detector.png", dpi=DPI)
    sketches = [
        sketch_detector(*analysed(name, shape=SMALL, seed=SEED + i))
        for i, name in enumerate(DETECTORS, start=1)
        if name != "DET42"
    ]
    figure = Figure(figsize=(16.7, 7.4))
    plot_focal_plane(
        figure, [sketch.thumbnail for sketch in sketches], title="Simulated slew dark without DET42"
    )
    figure.savefig(folder / "slew_dark_focal_plane.png", dpi=DPI)


if __name__ == "__main__":
    main()
