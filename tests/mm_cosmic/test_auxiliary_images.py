"""Which images detectors of single images get, with what noise, and what is kept of it."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays.auxiliary import AuxiliaryDetection
from crsteps.cosmic_rays.lacosmic import LacosmicOptions
from crsteps.detector.noise import ExposureNoise
from crsteps.mm_cosmic import auxiliary_images
from crsteps.mm_cosmic.auxiliary_images import detect_in_combination, find_in_images
from crsteps.mm_cosmic.blocks import ExposureReader

SHAPE = (6, 8)
STACK = np.float32([np.full(SHAPE, value) for value in (1, 2, 3)])
IMAGES = ("cleaned", "significance", "probability")


@dataclass
class Recorder:
    """Stand-in for the detectors: the mask of each is one row, its images are constant."""

    calls: list

    def __call__(self, method, image, *, read_variance, poisson_factor, missing, options):
        self.calls.append((method, image, read_variance, poisson_factor, missing, options))
        mask = np.zeros(image.shape, dtype=bool)
        row = {"lacosmic": 0, "conn": 1, "pycosmic": 2}[method]
        mask[row] = True
        makes = {"lacosmic": "cleaned", "conn": "probability", "pycosmic": "significance"}
        made = {makes[method]: np.full(image.shape, np.float32(row))}
        return AuxiliaryDetection(mask, **made)


@pytest.fixture
def recorder(monkeypatch):
    """Return the record of all calls of detectors."""
    record = Recorder([])
    monkeypatch.setattr(auxiliary_images, "detect_auxiliary", record)
    return record


def reader(noise=None, missing=None, stack=STACK):
    return ExposureReader(stack, noise or ExposureNoise.from_gain(2.0, 3.0), missing)


def test_each_image_is_searched_once(recorder):
    median, mean = np.full(SHAPE, np.float32(2)), np.full(SHAPE, np.float32(2.5))
    found = find_in_images(reader(), median, mean=mean, methods=("conn",))
    assert [call[1][0, 0] for call in recorder.calls] == [2, 2.5, 1, 2, 3]
    assert {call[2:4] for call in recorder.calls} == {(9.0, 0.5)}
    assert found.mean is not None
    assert len(found.exposures) == 3
    assert find_in_images(reader(), median, methods=("conn",)).mean is None
    assert len(recorder.calls) == 9


def test_masks_are_joined_and_the_first_has_the_word(recorder):
    found = find_in_images(reader(), STACK[1], methods=("lacosmic", "conn", "pycosmic"))
    for detection in (found.median, *found.exposures):
        assert_array_equal(detection.mask.all(axis=1), [True] * 3 + [False] * 3)
    assert_array_equal(found.median.cleaned, 0)
    assert_array_equal(found.median.probability, 1)
    assert_array_equal(found.median.significance, 2)
    assert found.methods == ("lacosmic", "conn", "pycosmic")


@pytest.mark.parametrize("keep", [(), ("cleaned",), IMAGES])
def test_what_is_kept_of_exposures(recorder, keep):
    found = find_in_images(reader(), STACK[1], methods=("lacosmic", "conn", "pycosmic"), keep=keep)
    for name in IMAGES:
        assert getattr(found.median, name) is not None
        assert (getattr(found.exposures[0], name) is not None) == (name in keep)


def test_cleaned_images_are_in_the_units_of_the_exposures(recorder):
    given = LacosmicOptions(niter=2)
    assert given.gain_apply
    find_in_images(reader(), STACK[1], methods=("lacosmic",), options={"lacosmic": given})
    find_in_images(reader(), STACK[1], methods=("lacosmic",))
    options = [call[5] for call in recorder.calls]
    assert {option.gain_apply for option in options} == {False}
    assert {option.niter for option in options} == {2, 4}


def test_every_exposure_has_its_own_noise_and_missing_pixels(recorder):
    noise = ExposureNoise(np.float32([1, 4, 9]), np.float32([1, 1, 4]))
    missing = [None, np.zeros(SHAPE, dtype=bool), None]
    missing[1][2, 3] = True
    stack = STACK.copy()
    stack[2, 0, 0] = np.inf
    find_in_images(reader(noise, missing, stack), STACK[1], methods=("conn",))
    median, *exposures = recorder.calls
    assert_allclose(median[2:4], (14 / 3, 2))
    assert [call[2:4] for call in exposures] == [(1, 1), (4, 1), (9, 4)]
    assert_array_equal(
        np.argwhere(np.isnan([call[1] for call in exposures])), [[1, 2, 3], [2, 0, 0]]
    )


def test_noise_that_is_not_known_is_not_used(recorder):
    read = np.full((3, *SHAPE), np.float32(4))
    read[0, 1, 1] = np.nan
    read[:, 2, 2] = [np.nan, 0, -1]
    noise = ExposureNoise(read, np.float32([1]))
    find_in_images(reader(noise), STACK[1], methods=("conn",))
    median, first, *_ = recorder.calls
    assert_array_equal(median[2], np.full(SHAPE, 4))
    assert_array_equal(first[2], np.full(SHAPE, 4))
    assert_array_equal(np.argwhere(np.isnan(first[1])), [[1, 1], [2, 2]])


def test_combination_gives_a_mask_alone(recorder):
    found = detect_in_combination(reader(), STACK[0], methods=("lacosmic", "conn"))
    assert found.mask[:2].all()
    assert all(getattr(found, name) is None for name in IMAGES)


@pytest.mark.parametrize("worth", [5 * 48, 5 * 48 + 1])
def test_tasks_are_named_and_large_ones_given_away(recorder, monkeypatch, worth):
    monkeypatch.setattr(auxiliary_images, "_WORTH_PROCESSES", worth)
    names = []

    def map_tasks(function, tasks):
        names.extend(task.label for task in tasks)
        return map(function, tasks)

    find_in_images(reader(), STACK[1], mean=STACK[1], methods=("conn",), map_tasks=map_tasks)
    expected = ["median", "mean", "exposure 1", "exposure 2", "exposure 3"]
    assert names == (expected if worth == 5 * 48 else [])
    assert len(recorder.calls) == 5
