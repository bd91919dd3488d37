"""The examples of the README, run as they are written on exposures made for them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

pytestmark = pytest.mark.slow

SHAPE = (48, 64)
HIT_TWICE = (20, 30)  # y, x
SKY, CHARGE, READ_NOISE = 50.0, 2000.0, 3.4


def readme_example(checkout, language, word):
    """Return the code block of the README in a language that contains a word."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return block


def exposures():
    """Return three exposures of an empty sky, in electrons, two of them hit in one pixel."""
    random = np.random.default_rng(20260801)
    stack = random.poisson(SKY, (3, *SHAPE)) + random.normal(0, READ_NOISE, (3, *SHAPE))
    stack[:2, *HIT_TWICE] += CHARGE
    return stack.astype(np.float32)


@pytest.fixture
def images(in_tmp_path):
    """Write the exposures as a.fits, b.fits and c.fits."""
    for name, image in zip("abc", exposures(), strict=True):
        fits.writeto(f"{name}.fits", image)
    return in_tmp_path


@pytest.fixture
def association(in_tmp_path):
    """Write the exposures as JWST rate files, and asn.json."""
    from stdatamodels.jwst import datamodels

    members = []
    for number, image in enumerate(exposures(), start=1):
        variance = {
            "var_poisson": np.full(SHAPE, SKY, np.float32),
            "var_rnoise": np.full(SHAPE, READ_NOISE**2, np.float32),
        }
        model = datamodels.ImageModel(data=image, dq=np.zeros(SHAPE, np.uint32), **variance)
        model.err = np.sqrt(model.var_poisson + model.var_rnoise)
        model.save(f"exposure{number}_rate.fits")
        members.append({"expname": f"exposure{number}_rate.fits", "exptype": "science"})
    table = {
        "asn_type": "image2",
        "asn_rule": "none",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "00000",
        "products": [{"name": "field", "members": members}],
    }
    (in_tmp_path / "asn.json").write_text(json.dumps(table), encoding="utf-8")
    return in_tmp_path


def assert_hit_found(folder):
    """Check that the pixel hit in two of three exposures is masked, and right once combined."""
    (masks,) = folder.glob("*_crmasks.fits")
    assert fits.getdata(masks, "MEDIANCR")[HIT_TWICE] == 1
    (plain,) = folder.glob("*_combined_median.fits")
    (cleaned,) = folder.glob("*_combined_meancr.fits")
    assert fits.getdata(plain)[HIT_TWICE] > SKY + CHARGE / 2
    assert abs(fits.getdata(cleaned)[HIT_TWICE] - SKY) < 5 * np.hypot(np.sqrt(SKY), READ_NOISE)
    assert len(list(folder.glob("*_mmcr.fits"))) == 3


def test_strun_example(checkout, association, user_environment):
    command = readme_example(checkout, "sh", "strun mm_cosmic")
    subprocess.run(command, shell=True, check=True, env=user_environment)
    assert_hit_found(association)


def test_crsteps_run_example(checkout, images, user_environment):
    command = readme_example(checkout, "sh", "crsteps run mm_cosmic")
    subprocess.run(command, shell=True, check=True, env=user_environment)
    assert_hit_found(images)


def test_python_example(checkout, images, user_environment):
    code = readme_example(checkout, "python", "MMCosmicStep")
    subprocess.run([sys.executable, "-c", code], check=True, env=user_environment)
    assert_hit_found(images)
