"""The one call for all detectors of single images."""

import subprocess
import sys
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crsteps.cosmic_rays.auxiliary import detect_auxiliary, options_class
from crsteps.cosmic_rays.lacosmic import LacosmicOptions, detect_lacosmic
from crsteps.cosmic_rays.pycosmic import PycosmicOptions, detect_pycosmic

NOISE = {"read_variance": 9.0, "poisson_factor": 1.0}
DETECTORS = {"lacosmic": detect_lacosmic, "pycosmic": detect_pycosmic}


@pytest.fixture(scope="module")
def image():
    image = np.random.default_rng(6).normal(50, 7, (60, 50)).astype(np.float32)
    image[20, 10] += 900
    image[45, 40] += 900
    return image


@pytest.mark.parametrize("method", DETECTORS)
def test_call_is_that_of_the_method(image, method):
    missing = np.zeros(image.shape, dtype=bool)
    missing[40:43, 30] = True
    options = options_class(method)(verbose=True)
    found = detect_auxiliary(method, image, **NOISE, missing=missing, options=options)
    expected = DETECTORS[method](image, **NOISE, missing=missing)
    assert found.mask[[20, 45], [10, 40]].all()
    assert_array_equal(found.mask, expected.mask)
    assert_array_equal(found.cleaned, expected.cleaned)
    assert not found.mask[missing].any()
    assert np.isfinite(found.cleaned).all()
    assert found.mask.dtype == bool
    assert found.cleaned.dtype == np.float32
    assert (found.significance is not None) == (method == "pycosmic")
    assert found.probability is None


@pytest.mark.parametrize("method", DETECTORS)
def test_options_have_defaults_that_cannot_be_changed(method):
    options = options_class(method)()
    assert is_dataclass(options)
    with pytest.raises(AttributeError):
        options.verbose = True
    assert "verbose" in {field.name for field in fields(options)}


def test_unknown_method_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"'lacosmics'.*mean 'lacosmic'"):
        detect_auxiliary("lacosmics", np.zeros((9, 9)), **NOISE)


def test_options_of_another_method_are_refused(image):
    with pytest.raises(ValueError, match="LacosmicOptions, not of PycosmicOptions"):
        detect_auxiliary("lacosmic", image, **NOISE, options=PycosmicOptions())
    with pytest.raises(ValueError, match="PycosmicOptions, not of LacosmicOptions"):
        detect_auxiliary("pycosmic", image, **NOISE, options=LacosmicOptions())


def test_a_detector_is_imported_when_it_is_asked_for():
    program = (
        "import sys, crsteps.cosmic_rays.auxiliary\n"
        "modules = {'lacosmic', 'pycosmic', 'deepcr', 'conn'}\n"
        "assert not {f'crsteps.cosmic_rays.{name}' for name in modules} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
