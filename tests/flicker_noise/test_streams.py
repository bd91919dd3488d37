"""Images as streams in the order of time, and back."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.streams import (
    BIN_TICKS,
    bin_time,
    coarser,
    column_signs,
    from_streams,
    row_bins,
    to_streams,
)

READOUTS = [
    Readout(shape=(12, 128), n_outputs=4, fast_axis=-1, slow_axis=2),
    Readout(shape=(12, 128), n_outputs=4, fast_axis=1, slow_axis=-2),
    Readout(shape=(128, 12), n_outputs=4, fast_axis=2, slow_axis=1),
    Readout(shape=(30, 44), n_outputs=1, fast_axis=-2, slow_axis=-1),
]

IRS2 = Readout(shape=(5, 4 * 512), n_outputs=4, fast_axis=-1, slow_axis=-2, overhead=8, irs2=True)
# What the bins of 8 ticks do not fit into.
ODD = {
    "odd width": Readout(shape=(86, 9), n_outputs=2, fast_axis=-2, slow_axis=-1),
    "less than a bin": Readout(shape=(5, 30), n_outputs=1, fast_axis=2, slow_axis=1),
    "one pixel wide": Readout(shape=(4, 4), n_outputs=4, overhead=0),
    "32-pixel rows": Readout(shape=(32, 70), n_outputs=1, fast_axis=2, slow_axis=-1),
    "wide, one output": Readout(shape=(3, 300), n_outputs=1, fast_axis=-1, slow_axis=2),
    "stripe": Readout(shape=(16, 2048), n_outputs=4, fast_axis=-1, slow_axis=2),
    "32 outputs": Readout(shape=(6, 32 * 128), n_outputs=32, fast_axis=1, slow_axis=-2),
    "IRS2": IRS2,
    "IRS2 of NRS1": Readout(
        shape=(2048, 3), n_outputs=4, fast_axis=2, slow_axis=1, overhead=8, irs2=True
    ),
}


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("alternating", [False, True])
def test_what_is_linear_in_time_comes_back(readout, alternating):
    """Bins are means and pixels are interpolated between them: exact for a ramp in time."""
    tick = readout.ticks() % readout.row_ticks
    image = (tick * 0.5 + 3).astype(np.float32)
    parity = readout.to_image(
        np.broadcast_to(
            np.where(np.arange(readout.output_width) % 2, -1, 1),
            (readout.n_outputs, readout.n_rows, readout.output_width),
        )
    )
    if alternating:
        image = image * parity
    streams = to_streams(image, np.ones(readout.shape), readout, alternating=alternating)
    back = from_streams(streams.values, readout, alternating=alternating)
    # At the ends of a row there is nothing to interpolate from.
    inner = (tick >= BIN_TICKS / 2) & (tick < readout.output_width // BIN_TICKS * BIN_TICKS - 4)
    np.testing.assert_allclose(back[inner], image[inner], rtol=1e-5)


def test_bins_are_weighted_means_in_the_order_of_time():
    readout = Readout(shape=(6, 64), n_outputs=2, fast_axis=1, slow_axis=2)
    random = np.random.default_rng(1)
    image, weights = random.normal(size=(2, 6, 64))
    weights = np.abs(weights)
    weights[2, 10:20] = 0
    image[2, 10:20] = np.nan
    streams = to_streams(image, weights, readout)
    _, n_bins = row_bins(readout)
    # Second output: read backwards, so its second bin of row 4 are these columns.
    part = np.s_[4, 64 - 2 * BIN_TICKS : 64 - BIN_TICKS]
    assert streams.values[1, 4 * n_bins + 1] == pytest.approx(
        np.average(image[part], weights=weights[part]), rel=1e-5
    )
    assert streams.weights[1, 4 * n_bins + 1] == pytest.approx(weights[part].sum(), rel=1e-5)
    assert np.isfinite(streams.values).all()


def test_overhead_and_masked_bins_have_no_weight():
    readout = Readout(shape=(6, 64), n_outputs=2, fast_axis=1, slow_axis=2)
    weights = np.ones(readout.shape)
    weights[0, :BIN_TICKS] = 0
    streams = to_streams(np.full(readout.shape, 7.0), weights, readout)
    n_pixel_bins, n_bins = row_bins(readout)
    assert (n_pixel_bins, n_bins) == (32 // BIN_TICKS, 44 // BIN_TICKS)
    rows = streams.weights.reshape(2, 6, n_bins)
    assert not rows[..., n_pixel_bins:].any()
    assert rows[0, 0, 0] == 0
    assert (streams.values == np.where(streams.weights > 0, 7, 0)).all()


def test_alternating_columns_change_into_a_constant():
    readout = Readout(shape=(6, 64), n_outputs=2, fast_axis=1, slow_axis=2)
    sign = np.where(np.arange(32) % 2, -1.0, 1.0)
    image = readout.to_image(np.broadcast_to(sign, (2, 6, 32)))
    plain = to_streams(image, np.ones(readout.shape), readout)
    demodulated = to_streams(image, np.ones(readout.shape), readout, alternating=True)
    assert not plain.values.any()
    assert (demodulated.values[demodulated.weights > 0] == 1).all()


def columns_in_time(readout):
    """Row, tick in the row and sign of every pixel, in the order of time."""
    ticks = readout.pixel_ticks
    rows = np.arange(readout.n_rows)[:, None] + np.zeros_like(ticks)
    return rows, np.broadcast_to(ticks, rows.shape), np.where(np.arange(ticks.size) % 2, -1, 1)


@pytest.mark.parametrize("readout", ODD.values(), ids=ODD)
@pytest.mark.parametrize("bin_ticks", [1, 4, 8])
@pytest.mark.parametrize("alternating", [False, True])
def test_bins_hold_the_pixels_read_in_them(readout, bin_ticks, alternating):
    """Pixel by pixel, whatever is read when; NaN under the mask."""
    random = np.random.default_rng(2)
    image = random.normal(size=readout.shape).astype(np.float32)
    weights = random.uniform(size=readout.shape) * (random.uniform(size=readout.shape) > 0.4)
    image[weights == 0] = np.nan
    streams = to_streams(image, weights, readout, alternating=alternating, bin_ticks=bin_ticks)
    _, n_bins = row_bins(readout, bin_ticks)
    assert streams.values.shape == (readout.n_outputs, readout.n_rows * n_bins)
    row, tick, sign = columns_in_time(readout)
    place = (row * n_bins + tick // bin_ticks).ravel()
    outputs = readout.to_outputs(np.nan_to_num(image) * weights), readout.to_outputs(weights)
    for i, (product, weight) in enumerate(zip(*outputs, strict=True)):
        product = product * sign if alternating else product
        length = readout.n_rows * n_bins
        total, weight = (np.bincount(place, x.ravel(), length) for x in (product, weight))
        mean = np.divide(total, weight, out=np.zeros(length), where=weight > 0)
        np.testing.assert_allclose(streams.weights[i], weight, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(streams.values[i], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("readout", ODD.values(), ids=ODD)
@pytest.mark.parametrize("bin_ticks", [1, 4, 8])
@pytest.mark.parametrize("alternating", [False, True])
def test_pixels_are_interpolated_in_their_row(readout, bin_ticks, alternating):
    _, n_bins = row_bins(readout, bin_ticks)
    values = np.random.default_rng(3).normal(size=(readout.n_outputs, readout.n_rows * n_bins))
    image = from_streams(values, readout, alternating=alternating, bin_ticks=bin_ticks)
    assert image.dtype == np.float32
    _, tick, sign = columns_in_time(readout)
    middles = np.arange(n_bins) * bin_ticks + (bin_ticks - 1) / 2
    for pixels, stream in zip(readout.to_outputs(image), values, strict=True):
        for samples, ticks, bins in zip(pixels, tick, stream.reshape(-1, n_bins), strict=True):
            expected = np.interp(ticks, middles, bins) * (sign if alternating else 1)
            np.testing.assert_allclose(samples, expected, atol=1e-5)


def test_irs2_bins_with_reference_pixels_hold_fewer_pixels():
    """A row of 712 ticks: eight pixels, six ticks without, sixteen pixels, six without, ..."""
    streams = to_streams(np.ones(IRS2.shape), np.ones(IRS2.shape), IRS2, bin_ticks=8)
    rows = streams.weights.reshape(4, 5, 89)
    assert (rows[..., :5] == [8, 2, 8, 6, 4]).all()
    assert rows[..., :-1].min() == 2
    assert not rows[..., -1].any()
    finer = to_streams(np.ones(IRS2.shape), np.ones(IRS2.shape), IRS2, bin_ticks=4)
    assert not finer.weights.reshape(4, 5, 178)[..., 2].any()


@pytest.mark.parametrize("readout", [READOUTS[0], READOUTS[3], IRS2])
def test_stacks_are_binned_image_by_image(readout):
    images = np.random.default_rng(4).normal(size=(2, 3, *readout.shape))
    images[1, 0, 0, 0] = np.nan
    used = np.isfinite(images)
    together = to_streams(images, used, readout)
    back = from_streams(together.values, readout)
    for index in np.ndindex(2, 3):
        alone = to_streams(images[index], used[index], readout)
        np.testing.assert_allclose(together.values[index], alone.values, atol=1e-6)
        np.testing.assert_array_equal(together.weights[index], alone.weights)
        np.testing.assert_allclose(back[index], from_streams(alone.values, readout), atol=1e-6)


def test_time_of_a_bin():
    full = Readout(shape=(2048, 2048))
    assert bin_time(full, bin_ticks=8) == pytest.approx(524e-5 / 66)
    assert bin_time(IRS2, bin_ticks=8) == pytest.approx(8e-5)
    assert bin_time(full, bin_ticks=4, pixel_time=5e-6) == pytest.approx(20e-6)


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 9\) do not fit a readout of \(4, 8\)"):
        to_streams(np.zeros((4, 9)), np.ones((4, 9)), Readout(shape=(4, 8)))


def test_joined_bins_are_the_bins_of_more_ticks():
    """Rows of 16 bins of 4 ticks and two between them: no bin of 8 reaches into the next row."""
    readout = Readout(shape=(5, 128), n_outputs=2, fast_axis=1, slow_axis=2, overhead=8)
    random = np.random.default_rng(8)
    image, used = random.normal(size=readout.shape), random.random(readout.shape) < 0.3
    joined = coarser(to_streams(image, used, readout, bin_ticks=4), 2)
    long = to_streams(image, used, readout, bin_ticks=8)
    np.testing.assert_array_equal(joined.weights, long.weights)
    np.testing.assert_allclose(joined.values, long.values, atol=1e-6)


@pytest.mark.parametrize("readout", [READOUTS[0], READOUTS[1], READOUTS[3], IRS2])
def test_column_signs_make_alternating_streams(readout):
    random = np.random.default_rng(6)
    image, used = random.normal(size=readout.shape), random.random(readout.shape) < 0.5
    plain = to_streams(image, used, readout, bin_ticks=1)
    alternating = to_streams(image, used, readout, alternating=True, bin_ticks=1)
    np.testing.assert_allclose(column_signs(readout) * plain.values, alternating.values, atol=1e-6)
    np.testing.assert_array_equal(plain.weights, alternating.weights)
    assert np.count_nonzero(column_signs(readout)) == image.size
