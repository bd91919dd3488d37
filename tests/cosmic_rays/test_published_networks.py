"""The networks that deepCR and Cosmic-CoNN publish: the same answers as from their own code."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crsteps.cosmic_rays.auxiliary import detect_auxiliary
from crsteps.cosmic_rays.conn import ConnOptions, detect_conn
from crsteps.cosmic_rays.deepcr import DeepcrOptions, detect_deepcr
from crsteps.cosmic_rays.networks import CONN, DEEPCR, load_network, window_probability
from crsteps.simulation.fibre_spectrograph import equal_options, simulate_fibre_exposures

pytestmark = [
    pytest.mark.extras,
    # deepCR's own code builds its networks with it; crsteps does not.
    pytest.mark.filterwarnings(
        r"ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning:torch.nn.utils"
    ),
]
torch = pytest.importorskip("torch", reason="the extras deepcr and conn are not installed")

NOISE = {"read_variance": 3.4**2, "poisson_factor": 1.0}
EVERY_NETWORK = [(DEEPCR, name) for name in DEEPCR.files] + [(CONN, name) for name in CONN.files]
# Their normalisation is that of the training: a pixel does not see those far away.
LOCAL_NETWORKS = [
    ("deepcr", DeepcrOptions, {"mask": "ACS-WFC"}),
    ("deepcr", DeepcrOptions, {"mask": "WFC3-UVIS"}),
    ("conn", ConnOptions, {"model": "HST_ACS_WFC"}),
]


@pytest.fixture(scope="module")
def exposures():
    return simulate_fibre_exposures(equal_options(shape=(192, 224)), seed=3)


@pytest.fixture(scope="module")
def image(exposures):
    return exposures.data[0]


def own_probability(family, model, image):
    """Return what the package's own code says; the image is one tile for it."""
    if family is DEEPCR:
        from deepCR import deepCR

        return deepCR(mask=model).clean(image, binary=False)
    from cosmic_conn import init_model

    return init_model(model).detect_cr(image)


def shown(family, model, image):
    """Return the image as a network sees it."""
    if family is CONN:
        return image - np.median(image)
    return (image - image.mean()) / image.std() if model == "WFC3-UVIS" else image


@pytest.mark.parametrize(("family", "model"), EVERY_NETWORK)
def test_one_window_is_what_the_package_computes(image, family, model):
    expected = own_probability(family, model, image)
    found = window_probability(load_network(family.extra, model), shown(family, model, image))
    assert found.dtype == np.float32
    assert expected.max() > 0.9
    assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - expected).mean() < 1e-6


@pytest.mark.parametrize(("method", "options", "model"), LOCAL_NETWORKS)
def test_far_from_the_edges_the_detector_gives_what_the_package_computes(
    image, method, options, model
):
    family = {"deepcr": DEEPCR, "conn": CONN}[method]
    found = detect_auxiliary(method, image, **NOISE, options=options(**model))
    expected = own_probability(family, *model.values(), image)
    inner = np.s_[family.margin : -family.margin, family.margin : -family.margin]
    assert_allclose(found.probability[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize(("method", "options", "model"), LOCAL_NETWORKS)
def test_tiles_leave_no_trace(image, method, options, model):
    whole, cut = (
        detect_auxiliary(method, image, **NOISE, options=options(tile_size=size, **model))
        for size in (256, 48)
    )
    assert_allclose(cut.probability, whole.probability, atol=1e-5)
    assert whole.mask.any()


@pytest.mark.parametrize("model", ["ground_imaging", "NRES"])
def test_networks_with_statistics_of_what_they_see_are_shown_whole_images(image, model):
    """With the default size of tiles, a small image is not cut; with others, masks differ."""
    found, whole, cut = (
        detect_conn(image[:96, :112], **NOISE, options=options)
        for options in (
            ConnOptions(model=model),
            ConnOptions(model=model, tile_size=112),
            ConnOptions(model=model, tile_size=48),
        )
    )
    assert_array_equal(found.probability, whole.probability)
    assert np.abs(cut.probability - whole.probability).max() > 0.01


@pytest.mark.parametrize("method", ["deepcr", "conn"])
@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (1, 90), (101, 67)])
def test_images_of_any_shape(method, shape):
    image = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
    found = detect_auxiliary(method, image, **NOISE)
    assert found.probability.shape == shape
    assert (found.probability > 0).all()  # nothing is left out
    assert not found.mask.any()
    assert_array_equal(found.cleaned, image)


@pytest.mark.parametrize("method", ["deepcr", "conn"])
def test_cosmic_rays_at_the_edges_are_found(exposures, method):
    """Neither side is a multiple of what the networks need; charge above thirty deviations."""
    part = np.s_[1:188, 1:222]
    hit = (exposures.charge[1] > 30 * exposures.noise[1])[part]
    hit[10:-10, 10:-10] = False
    found = detect_auxiliary(method, exposures.data[1][part], **NOISE)
    assert np.count_nonzero(hit) > 30
    assert np.count_nonzero(found.mask & hit) > 0.85 * np.count_nonzero(hit)


@pytest.mark.parametrize("detect", [detect_deepcr, detect_conn])
def test_most_cosmic_rays_are_found(exposures, detect):
    """Charge above thirty standard deviations, which nothing but a cosmic ray has here."""
    hit = exposures.charge[0] > 30 * exposures.noise[0]
    found = detect(exposures.data[0], **NOISE)
    assert np.count_nonzero(found.mask & hit) > 0.85 * np.count_nonzero(hit)
    assert np.abs(found.cleaned - exposures.scene[0])[hit & found.mask].mean() < 60


def test_deepcr_flags_hardly_anything_else(exposures):
    found = detect_deepcr(exposures.data[0], **NOISE)
    wrong = found.mask & (exposures.charge[0] < 0.3 * exposures.noise[0])
    assert np.count_nonzero(wrong) < 0.03 * np.count_nonzero(found.mask)


def test_adu_and_electrons_are_the_same_image(image):
    electrons = detect_deepcr(image, **NOISE)
    adu = detect_deepcr(image / 4, read_variance=(3.4 / 4) ** 2, poisson_factor=0.25)
    assert_allclose(adu.probability, electrons.probability, atol=1e-4)
    assert_allclose(adu.cleaned, electrons.cleaned / 4, rtol=1e-5)


@pytest.mark.parametrize("method", ["deepcr", "conn"])
def test_missing_pixels(image, method):
    image = image.copy()
    image[60:70, 80:120] = np.nan
    image[100, 100] = 1e7
    missing = np.zeros(image.shape, bool)
    missing[100, 100] = True
    found = detect_auxiliary(method, image, **NOISE, missing=missing)
    gone = missing | np.isnan(image)
    assert not found.mask[gone].any()
    assert np.isfinite(found.cleaned).all()
    assert found.cleaned[100, 100] < 1000
    assert np.isfinite(found.probability).all()


@pytest.mark.parametrize("method", ["deepcr", "conn"])
def test_saturated_pixels(image, method):
    image = image.copy()
    image[90:110, 40:60] = 65535
    found = detect_auxiliary(method, image, **NOISE)
    assert (found.probability >= 0).all()
    assert (found.probability <= 1).all()
    assert np.isfinite(found.cleaned).all()


def test_weights_are_read_once_and_as_weights_only(image, monkeypatch):
    calls = []
    load = torch.load

    def counting_load(path, **options):
        calls.append(options)
        return load(path, **options)

    monkeypatch.setattr(torch, "load", counting_load)
    load_network.cache_clear()
    for _ in range(2):
        detect_deepcr(image[:40, :40], **NOISE)
        detect_conn(image[:40, :40], **NOISE)
    assert len(calls) == 2
    assert all(options["weights_only"] is True for options in calls)


def test_settings_of_pytorch_stay_as_they_were(image):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        detect_deepcr(image[:40, :40], **NOISE, options=DeepcrOptions(threads=1))
        assert torch.get_num_threads() == 2
        detect_deepcr(image[:40, :40], **NOISE, options=DeepcrOptions(threads=1))
        with pytest.raises(ValueError, match="shape"):
            detect_deepcr(image[0], **NOISE)
        assert torch.get_num_threads() == 2
        assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(before)


def test_number_of_threads_does_not_matter(image):
    one, two = (
        detect_deepcr(image, **NOISE, options=DeepcrOptions(threads=n)).probability for n in (1, 2)
    )
    assert_allclose(one, two, atol=1e-5)


def test_file_of_another_layout(monkeypatch, tmp_path):
    package = tmp_path / "learned_models"
    (package / "mask").mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save({"module.first.weight": torch.zeros(3)}, package / "mask" / "ACS-WFC.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "learned_models", raising=False)
    load_network.cache_clear()
    with pytest.raises(ValueError, match=r"deepCR has no .* in ACS-WFC.pth: .*crsteps\[deepcr"):
        load_network("deepcr", "ACS-WFC")
    load_network.cache_clear()
