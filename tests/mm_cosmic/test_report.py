"""What is told about a result, in the log and in headers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic.masks import find_cosmic_rays
from crsteps.mm_cosmic.report import header_cards, summary

NAMES = ("a.fits", "b.fits", "c.fits")


@pytest.fixture(scope="module")
def result():
    """Return the masks of three exposures, two of them hit in one pixel."""
    random = np.random.default_rng(2)
    stack = random.normal(100, 5, (3, 40, 50)).astype(np.float32)
    stack[:2, 20, 30] += 500
    return find_cosmic_rays(stack, noise=ExposureNoise.from_gain(1e6, 5.0))


def test_null_model_tells_the_false_pixels(result):
    first, *others = summary(result, NAMES)
    assert first == (
        "3 exposures of 50 x 40 pixels; mmcosmic: 1 false pixels expected in each mask"
    )
    assert "MEDIANCR 1 pixels (0.050 %)" in others
    assert header_cards(result)["MMNFALSE"][0] == 1
    assert header_cards(result)["CRMETHOD"][0] == "mmcosmic"


def test_detectors_are_told_with_what_they_add(result):
    codes = np.zeros(result.mediancr.shape, np.uint8)
    codes[0, :10] = [1, 2, 2, 3, 3, 3, 4, 4, 4, 4]
    auxiliary = SimpleNamespace(methods=("lacosmic", "pycosmic"))
    both = replace(result, codes=codes, auxiliary=auxiliary, crmethod="mm_lacosmic+pycosmic")
    assert summary(both, NAMES)[-1] == (
        "of MEDIANCR, 2 pixels by comparison alone, 3 by lacosmic and pycosmic alone, 4 by both, "
        "1 added by dilation or the user"
    )
    alone = replace(both, crmethod="lacosmic+pycosmic")
    assert summary(alone, NAMES)[0].endswith("limits of the detectors of single images")
    assert "MMNFALSE" not in header_cards(alone)
    assert summary(replace(result, crmethod="crmasks"), NAMES)[0].endswith("masks of a file")


def test_simulated_diagram_tells_the_simulations(result):
    diagram = SimpleNamespace(
        boundary=SimpleNamespace(kind="spline"),
        simulated=SimpleNamespace(n_simulations=10, n_pixels=1990),
    )
    first = summary(replace(result, diagram=diagram), NAMES)[0]
    assert first.endswith("spline boundary in a diagram of 10 simulations of 1990 pixels")
    assert "MMNFALSE" not in header_cards(replace(result, diagram=diagram))


def test_flux_factors_and_offsets_are_told(result):
    told = replace(
        result,
        flux_factors=np.array([1.0, 0.94, 1.05]),
        apply_flux_factor_to="original",
        offsets=np.array([[0, 0], [0.5, -0.25], [0, 1]]),
    )
    lines = summary(told, NAMES)
    assert (
        "flux factors of the exposures 1.0000, 0.9400, 1.0500, for the original exposures" in lines
    )
    assert any("(0.500, -0.250)" in line for line in lines)
