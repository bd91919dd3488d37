"""Sets of exposures that can be compared, from what they say about themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdatamodels.jwst import datamodels

from crsteps.datamodels.equal_sets import Setting, find_equal_sets, setting_of

SCALE = 0.1 / 3600  # degrees per pixel


def setting(pixels_north, *, detector="A", roll=0.0, shape=(30, 40)):
    """Return an exposure that points some pixels north of a place; None for nowhere."""
    pointing = None if pixels_north is None else (10.0, 60 + pixels_north * SCALE, roll, SCALE)
    return Setting("x.fits", (detector, shape), pointing)


def sets_of(settings, fewest=3, largest_distance=0.3):
    return find_equal_sets(settings, fewest=fewest, largest_distance=largest_distance)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 2)), max_size=20))
def test_every_exposure_is_in_one_set_of_its_own_kind_or_left(kinds):
    settings = [
        setting(5 * place + 0.1 * (n % 2), detector=a) for n, (a, place) in enumerate(kinds)
    ]
    found = sets_of(settings)
    together = sorted(number for members in (*found.sets, found.left) for number in members)
    assert together == list(range(len(kinds)))
    for members in found.sets:
        (kind,) = {kinds[number] for number in members}
        assert len(members) == kinds.count(kind) >= 3
    assert all(kinds.count(kinds[number]) < 3 for number in found.left)


def test_dither_is_what_keeps_exposures_from_being_a_set():
    dithered = [setting(0), setting(4), setting(-7)]
    assert sets_of(dithered).dithered == pytest.approx(7)
    assert sets_of(dithered, largest_distance=float("inf")).sets == ((0, 1, 2),)
    assert sets_of([setting(0), setting(4)]).dithered == 0  # two are none in any case
    other_detector = [setting(0), setting(4), setting(0, detector="B")]
    assert sets_of(other_detector).dithered == 0


def test_a_few_dithered_ones_beside_a_set_are_left():
    found = sets_of([setting(0), setting(4), setting(0.2), setting(-0.2)])
    assert found.sets == ((0, 2, 3),)
    assert found.left == (1,)
    assert found.dithered == 0


def test_rotation_is_a_dither():
    assert sets_of([setting(0), setting(0), setting(0, roll=1.0)]).left == (0, 1, 2)
    slits = [setting(0, shape=None), setting(0, shape=None), setting(0, shape=None, roll=0.1)]
    assert sets_of(slits).dithered == pytest.approx(1448 * 0.1 / 57.3, rel=0.01)


def test_shapes_are_not_mixed():
    assert sets_of([setting(0), setting(0), setting(0, shape=(30, 41))]).sets == ()


def test_exposures_that_do_not_tell_are_taken_to_point_alike():
    assert sets_of([setting(None)] * 3).sets == ((0, 1, 2),)
    assert sets_of([setting(0), setting(None), setting(0)]).sets == ((0, 1, 2),)


def test_as_many_exposures_as_are_needed():
    assert sets_of([setting(0)] * 3, fewest=4).left == (0, 1, 2)
    assert sets_of([setting(0)] * 4, fewest=4).sets == ((0, 1, 2, 3),)


def test_what_a_model_says():
    model = datamodels.SlitModel((3, 4))
    model.meta.filename, model.meta.instrument.detector = "a.fits", "NRS1"
    model.name, model.ystart = "S200A1", 7
    first = setting_of(model)
    assert (first.name, first.detector, first.shape) == ("a.fits", "NRS1", (3, 4))
    assert first.pointing is None
    model.meta.wcsinfo.ra_ref, model.meta.wcsinfo.dec_ref = 1.0, 2.0
    model.meta.wcsinfo.roll_ref, model.meta.wcsinfo.cdelt2 = 3.0, SCALE
    pointing = (1.0, 2.0, 3.0, SCALE)
    assert setting_of(model) == Setting("a.fits", first.key, pointing)
    for attribute, value in (("name", "S200A2"), ("ystart", 8), ("source_id", 3)):
        other = model.copy()
        setattr(other, attribute, value)
        assert setting_of(other).key != first.key
    several = datamodels.MultiSlitModel()
    assert setting_of(several).pointing is None  # an exposure without slits
    several.slits.append(model)
    assert setting_of(several).pointing == pointing
    assert setting_of(several).shape is None
