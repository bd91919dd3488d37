"""How many false pixels MM.Cosmic flags for the number asked for.

Counts flagged pixels at least five pixels from the charge of any cosmic ray, in masks of simulated
scenes of a fibre-fed spectrograph whose cosmic rays are known, at 1, 10 and 100 false pixels asked
for per mask. The number is compared with the one asked for in the whole image, and in the part of
the image that is that far from cosmic rays.

    python tests/benchmarks/benchmark_false_pixels.py --seeds 20
"""

import argparse

import numpy as np
from scipy import ndimage

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays
from crsteps.simulation.fibre_spectrograph import (
    equal_options,
    simulate_fibre_exposures,
    unequal_options,
)

FAR = 5  # pixels from any charge above 0.3 standard deviations
ASKED = (1, 10, 100)


def far_false_pixels(exposures, asked):
    """Count false pixels far from cosmic rays: MEDIANCR, mean of CRMASKi, and the far fraction."""
    options = exposures.options
    noise = ExposureNoise.from_gain(options.gain, options.read_noise / options.gain)
    result = find_cosmic_rays(
        exposures.data - np.float32(options.bias),
        noise=noise,
        options=MMCosmicOptions(false_pixels=asked),
    )
    hit = (exposures.charge > 0.3 * exposures.noise).any(axis=0)
    far = ndimage.distance_transform_edt(~hit) >= FAR
    per_exposure = (result.exposure_masks & far).sum(axis=(1, 2))
    return np.sum(result.mediancr & far), per_exposure.mean(), far.mean()


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="scenes of each kind")
    parser.add_argument("--size", type=int, default=512, help="side of the images in pixels")
    arguments = parser.parse_args()
    shape = (arguments.size, arguments.size)
    print("| scene | asked | MEDIANCR far | CRMASKi far | MEDIANCR / asked in the far part |")
    print("| --- | --- | --- | --- | --- |")
    for name, make in (("equal", equal_options), ("unequal", unequal_options)):
        scenes = [
            simulate_fibre_exposures(make(shape=shape), seed=1000 + i)
            for i in range(arguments.seeds)
        ]
        for asked in ASKED:
            counts = np.array([far_false_pixels(scene, asked) for scene in scenes])
            median, single, fraction = counts.mean(axis=0)
            error = np.sqrt(counts[:, 0].sum()) / len(scenes)
            print(
                f"| {name} {shape[0]}x{shape[1]} | {asked} | {median:.2f} ± {error:.2f} "
                f"| {single:.2f} | {median / (asked * fraction):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
