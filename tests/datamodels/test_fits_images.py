"""Stored numbers become physical values as the standard and Astropy say, however they are read."""

import gzip
import io
import pickle

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crsteps.datamodels.fits_files import open_fits
from crsteps.datamodels.fits_images import find_stored, flag_image, scaled_image
from crsteps.errors import CrstepsInputError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
INTEGERS = st.sampled_from(["u1", "i2", "i4"]).flatmap(lambda t: hnp.arrays(t, SHAPES))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the path of a file that is written again and again."""
    return tmp_path_factory.mktemp("images") / "image.fits"


def write(path, stored, cards, packed=False):
    """Write an image in the second extension, its stored numbers and scaling as given."""
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(3)), fits.ImageHDU(stored)])
    hdus[2].header.update(cards)
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    content = buffer.getvalue()
    path.write_bytes(gzip.compress(content) if packed else content)


@settings(max_examples=40, deadline=None)
@given(
    INTEGERS,
    st.sampled_from([0, 1, 32768, -7, 0.5, 1e5, 2**31]),
    st.sampled_from([1, 2, 0.25]),
    st.booleans(),
)
def test_values_are_those_of_astropy(path, stored, zero, scale, packed):
    write(path, stored, {"BZERO": zero, "BSCALE": scale}, packed)
    expected = (stored.astype(float) * scale + zero).astype(np.float32)
    with open_fits(path) as hdus:
        data, blank = scaled_image(path, hdus[2])
        found = pickle.loads(pickle.dumps(find_stored(path, hdus, 2)))
    with found.open() as stream:
        again = found.values(stream)
    for values in (data, again):
        assert values.dtype == np.float32
        assert values.dtype.isnative
        np.testing.assert_array_equal(values, expected)
    assert not blank.any()
    with fits.open(path) as hdus:
        np.testing.assert_allclose(data, hdus[2].data, rtol=3e-7, atol=1e-2)


@settings(max_examples=40, deadline=None)
@given(INTEGERS, st.booleans())
def test_blank_pixels(path, stored, offset):
    write(path, stored, {"BLANK": int(stored.flat[0]), "BZERO": 32768 * offset})
    with open_fits(path) as hdus:
        data, blank = scaled_image(path, hdus[2])
        found = find_stored(path, hdus, 2)
    np.testing.assert_array_equal(blank, stored == stored.flat[0])
    np.testing.assert_array_equal(np.isnan(data), blank)
    with found.open() as stream:
        np.testing.assert_array_equal(found.values(stream), data)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["u1", "i2", "u2", "i4", "u4"]).flatmap(lambda t: hnp.arrays(t, SHAPES)))
def test_flags_keep_their_bits(path, flags):
    write(path, flags, {})
    with open_fits(path) as hdus:
        read = flag_image(path, hdus[2])
        found = find_stored(path, hdus, 2)
    assert found.is_integer
    with found.open() as stream:
        again = found.flags(stream)
    for values in (read, again):
        assert values.dtype == np.uint32
        np.testing.assert_array_equal(values, flags.astype(np.int64).astype(np.uint32))


def test_highest_value_of_16_bits(path):
    for dtype, highest in (("u2", 65535), ("i2", 32767), ("i4", None), ("f4", None), ("u1", None)):
        write(path, np.zeros((2, 3), dtype), {})
        with open_fits(path) as hdus:
            assert find_stored(path, hdus, 2).highest == highest


def test_a_scale_that_is_no_number(path):
    write(path, np.zeros((2, 3), np.int16), {"BSCALE": "two"})
    with open_fits(path) as hdus, pytest.raises(CrstepsInputError, match="BSCALE = 'two'"):
        find_stored(path, hdus, 2)
