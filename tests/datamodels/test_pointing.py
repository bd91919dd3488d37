"""Differences of pointing against a flat sky."""

import numpy as np
import pytest
from astropy.io import fits

from crsteps.datamodels.exposures import Exposure
from crsteps.datamodels.pointing import pointing_difference

SCALE = 0.1 / 3600  # degrees per pixel


def exposure(ra, dec, roll, *, kind="jwst", model=None):
    """Return an exposure of 30 x 40 pixels that points somewhere."""
    header = fits.Header({"RA_REF": ra, "DEC_REF": dec, "ROLL_REF": roll, "CDELT2": SCALE})
    data = np.zeros((30, 40), np.float32)
    return Exposure(data, data > 1, 1.0, 1.0, 0.0, header, "x.fits", kind, model=model)


def test_shift_in_declination_and_right_ascension():
    first = exposure(10, 60, 0)
    north, east = exposure(10, 60 + 3 * SCALE, 0), exposure(10 + 4 * SCALE, 60, 0)
    assert pointing_difference([first, north]) == pytest.approx(3)
    assert pointing_difference([first, east]) == pytest.approx(2)  # cos 60 degrees
    assert pointing_difference([first, north, east]) == pytest.approx(3)


def test_right_ascension_and_roll_go_around():
    first, second = exposure(360 - SCALE, 0, 359.999999), exposure(SCALE, 0, 0)
    assert pointing_difference([first, second]) == pytest.approx(2)


def test_rotation_moves_the_corners():
    turned = exposure(10, 60, np.degrees(0.1))
    assert pointing_difference([exposure(10, 60, 0), turned]) == pytest.approx(2.5)


def test_pixel_area_comes_before_the_step_of_the_spectrum():
    exposures = [exposure(10, 60, 0), exposure(10, 60 + SCALE, 0)]
    for item in exposures:
        item.header["PIXAR_A2"] = 0.05**2
    assert pointing_difference(exposures) == pytest.approx(2)


def test_exposures_that_do_not_tell_are_left_out():
    silent, plain = exposure(10, 60, 0), exposure(10, 61, 0, kind="fits")
    del silent.header["ROLL_REF"]
    assert pointing_difference([exposure(10, 60, 0), silent, plain]) == 0
