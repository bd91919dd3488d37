"""Networks without PyTorch: what is refused, what they are shown, what is made of their answer."""

import logging
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays import network_detection
from crsteps.cosmic_rays.auxiliary import detect_auxiliary, options_class
from crsteps.cosmic_rays.conn import ConnOptions, detect_conn
from crsteps.cosmic_rays.deepcr import DeepcrOptions, detect_deepcr
from crsteps.cosmic_rays.networks import CONN, DEEPCR, load_network, require_packages

DETECTORS = {"deepcr": detect_deepcr, "conn": detect_conn}
NOISE = {"read_variance": 9.0, "poisson_factor": 1.0}


@pytest.fixture
def image():
    image = np.random.default_rng(6).normal(50, 7, (45, 70)).astype(np.float32)
    image[[0, 20, 21, 44], [69, 10, 11, 3]] += 900
    return image


@pytest.fixture
def seen(monkeypatch):
    """
    Put a network of one line in the place of the real ones and return the windows it is shown.

    Its probability is the logistic function of what is above 300.
    """
    windows = []

    def window_probability(network, window):
        windows.append(window.copy())
        return 1 / (1 + np.exp((300 - window) / 20))

    monkeypatch.setattr(network_detection, "load_network", lambda extra, model: (extra, model))
    monkeypatch.setattr(network_detection, "processor_threads", lambda n: nullcontext())
    monkeypatch.setattr(network_detection, "window_probability", window_probability)
    return windows


# --- packages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "package", "known_as"),
    [
        (DEEPCR, "torch", "PyTorch"),
        (DEEPCR, "learned_models", "deepCR"),
        (CONN, "torch", "PyTorch"),
        (CONN, "cosmic_conn", "Cosmic-CoNN"),
    ],
)
def test_missing_package_is_named_with_its_extra(monkeypatch, family, package, known_as):
    for other in ("torch", family.package):
        monkeypatch.setitem(sys.modules, other, _module_with_spec(other))
    require_packages(family)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as error:
        require_packages(family)
    message = str(error.value)
    assert message.startswith(known_as)
    assert message.endswith(f'pip install "crsteps[{family.extra}]"')
    assert "\n" not in message
    assert error.value.name == package


def _module_with_spec(name):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)
    return module


@pytest.mark.parametrize("method", DETECTORS)
def test_detector_without_its_packages(monkeypatch, image, method):
    monkeypatch.setitem(sys.modules, "torch", None)
    load_network.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=rf'pip install "crsteps\[{method}\]"'):
        detect_auxiliary(method, image, **NOISE)


def test_version_without_the_file(monkeypatch, tmp_path):
    (tmp_path / "learned_models").mkdir()
    (tmp_path / "learned_models" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "learned_models", raising=False)
    monkeypatch.setitem(sys.modules, "torch", _module_with_spec("torch"))
    load_network.cache_clear()
    with pytest.raises(ValueError, match=r"deepCR has no file mask/ACS-WFC.pth: .*crsteps\[deep"):
        load_network("deepcr", "ACS-WFC")


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", DETECTORS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0; it must be a probability between 0 and 1"),
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"tile_size": 0}, "tile_size is 0; it must be a whole number of at least 1"),
        ({"tile_size": 2.5}, "tile_size is 2.5"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_impossible_options(method, changes, message):
    with pytest.raises(ValueError, match=message):
        options_class(method)(**changes)


def test_unknown_networks():
    with pytest.raises(ValueError, match="mask is 'ACS'; it must be one of ACS-WFC, WFC3-UVIS"):
        DeepcrOptions(mask="ACS")
    with pytest.raises(ValueError, match="one of ground_imaging, NRES, HST_ACS_WFC"):
        ConnOptions(model="LCO")


# --- what the network is shown ----------------------------------------------------------------


def test_deepcr_sees_electrons(image, seen):
    detect_deepcr(image / 2, read_variance=2.0, poisson_factor=0.5)
    (window,) = seen
    assert_allclose(window[8 : 8 + 45, 8 : 8 + 70], image, rtol=1e-6)


def test_gain_may_differ_between_pixels(image, seen):
    factor = np.full(image.shape, 0.5, np.float32)
    factor[:, 35:] = 0.25
    detect_deepcr(image * factor, read_variance=2.0, poisson_factor=factor)
    assert_allclose(seen[0][8 : 8 + 45, 8 : 8 + 70], image, rtol=1e-6)


def test_wfc3_network_sees_a_standardised_image(image, seen):
    detect_deepcr(image * 3, **NOISE, options=DeepcrOptions(mask="WFC3-UVIS"))
    inner = seen[0][8 : 8 + 45, 8 : 8 + 70]
    assert_allclose(inner, (image - image.mean()) / image.std(), atol=1e-4)


def test_conn_sees_electrons_above_the_median(image, seen):
    detect_conn(image / 2, read_variance=2.0, poisson_factor=0.5)
    assert_allclose(seen[0][24 : 24 + 45, 24 : 24 + 70], image - np.median(image), atol=1e-4)


def test_missing_pixels_are_shown_as_their_neighbours(image, seen):
    image[10, 20] = np.nan
    image[10, 40] = 1e6
    missing = np.zeros(image.shape, bool)
    missing[10, 40] = True
    found = detect_deepcr(image, **NOISE, missing=missing)
    for x in (20, 40):
        around = image[8:13, x - 2 : x + 3].ravel()
        expected = np.median(np.delete(around, 12))
        assert seen[0][8 + 10, 8 + x] == pytest.approx(expected)
        assert found.cleaned[10, x] == pytest.approx(expected)
        assert not found.mask[10, x]
        assert found.probability[10, x] == 0


@pytest.mark.parametrize("mask", ["ACS-WFC", "WFC3-UVIS"])
def test_constant_image(seen, mask):
    found = detect_deepcr(np.full((20, 30), 7.0), **NOISE, options=DeepcrOptions(mask=mask))
    assert np.isfinite(seen[0]).all()
    assert not found.mask.any()
    assert_array_equal(found.cleaned, np.full((20, 30), 7, np.float32))


@pytest.mark.parametrize("method", DETECTORS)
def test_tile_size_is_rounded_up_to_the_bins_of_the_network(seen, method):
    options = options_class(method)(tile_size=10)
    detect_auxiliary(method, np.zeros((64, 10)), **NOISE, options=options)
    family = {"deepcr": DEEPCR, "conn": CONN}[method]
    assert len(seen) == 6  # cells of 12 rows
    for window in seen:
        assert all(n % family.multiple == 0 for n in window.shape)


# --- what is made of its answer ---------------------------------------------------------------


@pytest.mark.parametrize("method", DETECTORS)
def test_mask_and_cleaned_image(image, seen, method):
    before = image.copy()
    found = detect_auxiliary(method, image, **NOISE)
    assert_array_equal(image, before)
    expected = np.zeros(image.shape, bool)
    expected[[0, 20, 21, 44], [69, 10, 11, 3]] = True
    assert_array_equal(found.mask, expected)
    assert found.mask.dtype == bool
    assert found.cleaned.dtype == found.probability.dtype == np.float32
    assert found.significance is None
    assert (found.probability > 0.99)[expected].all()

    assert_array_equal(found.cleaned[~expected], image[~expected])
    for y, x in zip(*np.nonzero(expected), strict=True):
        part = np.s_[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        assert found.cleaned[y, x] == pytest.approx(np.median(image[part][~expected[part]]))


def test_threshold(image, seen):
    image[30, 30] = 290  # probability 0.38
    assert not detect_deepcr(image, **NOISE).mask[30, 30]
    found = detect_deepcr(image, **NOISE, options=DeepcrOptions(threshold=0.3))
    assert found.probability[30, 30] == pytest.approx(0.3775, abs=1e-3)
    assert found.mask[30, 30]


@pytest.mark.parametrize("method", DETECTORS)
def test_nothing_but_missing_pixels(seen, method):
    found = detect_auxiliary(method, np.full((5, 6), np.nan), **NOISE)
    assert not found.mask.any()
    assert_array_equal(found.cleaned, np.zeros((5, 6)))
    assert_array_equal(found.probability, np.zeros((5, 6)))


@pytest.mark.parametrize("method", DETECTORS)
def test_more_is_flagged_than_is_left(seen, method):
    """Every pixel of a window is flagged: its replacement is the nearest that is not."""
    image = np.full((30, 30), 1000.0)
    image[:16] = 20.0
    found = detect_auxiliary(method, image, **NOISE)
    assert_array_equal(found.mask, image > 500)
    assert_array_equal(found.cleaned, np.full((30, 30), 20, np.float32))


@pytest.mark.parametrize("method", DETECTORS)
@pytest.mark.parametrize("image", [np.zeros((0, 4)), np.zeros(4), np.zeros((2, 3, 4))])
def test_wrong_shapes(method, image):
    with pytest.raises(ValueError, match="shape"):
        detect_auxiliary(method, image, **NOISE)


@pytest.mark.parametrize(("method", "named"), [("deepcr", "deepCR, ACS-WFC"), ("conn", "NRES")])
def test_number_of_pixels_is_logged_on_request(image, seen, caplog, method, named):
    caplog.set_level(logging.INFO)
    detect_auxiliary(method, image, **NOISE)
    assert not caplog.messages
    options = {"deepcr": DeepcrOptions, "conn": lambda **x: ConnOptions(model="NRES", **x)}
    detect_auxiliary(method, image, **NOISE, options=options[method](verbose=True))
    (message,) = caplog.messages
    assert named in message
    assert "4 pixels flagged" in message
