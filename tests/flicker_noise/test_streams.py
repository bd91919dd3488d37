"""Images as streams in the order of time, and back."""

import numpy as np
import pytest

from crsteps.detector.readout import Readout
from crsteps.flicker_noise.streams import BIN_TICKS, from_streams, row_bins, to_streams

READOUTS = [
    Readout(shape=(12, 128), n_outputs=4, fast_axis=-1, slow_axis=2),
    Readout(shape=(12, 128), n_outputs=4, fast_axis=1, slow_axis=-2),
    Readout(shape=(128, 12), n_outputs=4, fast_axis=2, slow_axis=1),
    Readout(shape=(30, 44), n_outputs=1, fast_axis=-2, slow_axis=-1),
]


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
    assert (n_pixel_bins, n_bins) == (4, 6)
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
