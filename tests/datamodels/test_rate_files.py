"""Simulated JWST rate files: stock tools open them, and our reader finds the noise law."""

import json

import numpy as np
import pytest

from crsteps.datamodels.exposures import open_exposures
from crsteps.datamodels.rate_files import rate_model, write_rate_files

GAIN, READ_NOISE, TIME = 2.0, 5.0, 500.0


@pytest.fixture(scope="module")
def counts():
    """Three noisy exposures of a gradient, in DN."""
    rng = np.random.default_rng(1)
    scene = np.linspace(0, 400, 64 * 80).reshape(64, 80)
    electrons = rng.poisson(scene, (3, *scene.shape)) + rng.normal(0, READ_NOISE, (3, *scene.shape))
    return electrons / GAIN


@pytest.fixture(scope="module")
def written(counts, tmp_path_factory):
    """Paths of the rate files and of the association."""
    missing = np.zeros(counts.shape, bool)
    missing[1, 3, 4] = True
    folder = tmp_path_factory.mktemp("rate")
    return write_rate_files(
        folder, counts, gain=GAIN, read_noise=READ_NOISE, exposure_time=TIME, missing=missing
    )


def test_stock_datamodels_open_them(written, counts):
    from stdatamodels.jwst import datamodels

    paths, _ = written
    with datamodels.open(paths[1]) as model:
        assert type(model) is datamodels.ImageModel
        model.validate()
        assert model.meta.filename == paths[1].name == "jw99999001001_02101_00002_nrs1_rate.fits"
        assert model.meta.instrument.name == "NIRSPEC"
        assert model.meta.exposure.exposure_time == TIME
        assert np.isnan(model.data[3, 4])
        assert model.dq[3, 4] == 1
        assert np.count_nonzero(model.dq) == 1
        np.testing.assert_allclose(model.data[0], counts[1][0] / TIME, rtol=1e-6)
        np.testing.assert_allclose(model.var_rnoise, (READ_NOISE / GAIN / TIME) ** 2, rtol=1e-6)


def test_our_reader_finds_the_noise(written):
    _, association = written
    exposures = open_exposures(association)
    assert [exposure.kind for exposure in exposures] == ["jwst"] * 3
    assert exposures[1].missing.sum() == 1
    for exposure in exposures:
        assert np.median(exposure.poisson_factor) == pytest.approx(1 / (GAIN * TIME), rel=0.05)
        # what is left of the Poisson variance at zero signal is small
        read = np.median(exposure.read_variance)
        assert read == pytest.approx((READ_NOISE / GAIN / TIME) ** 2, rel=0.15)


def test_association_is_one_of_jwst(written):
    from jwst.datamodels import ModelLibrary

    paths, association = written
    library = ModelLibrary(association)
    assert len(library) == 3
    assert library.asn["products"][0]["name"] == "simulated"
    members = json.loads(association.read_text())["products"][0]["members"]
    assert [member["expname"] for member in members] == [path.name for path in paths]


def test_scatter_agrees_with_err(counts):
    model = rate_model(counts[0], gain=GAIN, read_noise=READ_NOISE, exposure_time=TIME)
    scene = np.linspace(0, 400, 64 * 80).reshape(64, 80) / GAIN / TIME
    # the bright half: there the variance of the measured signal is nearly that of the expected
    bright = slice(32, None)
    pull = ((model.data - scene) / model.err)[bright]
    assert pull.std() == pytest.approx(1, abs=0.05)
