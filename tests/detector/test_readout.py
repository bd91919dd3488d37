"""Clock of detectors: the order in which pixels are read, against arrays written out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crsteps.detector.readout import Readout


@st.composite
def readouts(draw):
    """Any axes, signs, outputs, mirroring and overhead."""
    n_outputs, width, n_rows = (draw(st.integers(1, 5)) for _ in range(3))
    fast = draw(st.sampled_from([-2, -1, 1, 2]))
    shape = (n_rows, n_outputs * width) if abs(fast) == 1 else (n_outputs * width, n_rows)
    return Readout(
        shape=shape,
        n_outputs=n_outputs,
        fast_axis=fast,
        slow_axis=draw(st.sampled_from([-1, 1])) * (3 - abs(fast)),
        mirrored=tuple(draw(st.lists(st.booleans(), min_size=n_outputs, max_size=n_outputs))),
        overhead=draw(st.integers(0, 12)),
        irs2=draw(st.booleans()),
    )


@given(readouts(), st.sampled_from([(), (2,), (3, 2)]))
def test_there_and_back(readout, lead):
    """Every pixel has one place, whatever the axes, and the input stays as it was."""
    image = np.arange(np.prod((*lead, *readout.shape))).reshape(*lead, *readout.shape)
    original = image.copy()
    outputs = readout.to_outputs(image)
    assert outputs.shape == (*lead, readout.n_outputs, readout.n_rows, readout.output_width)
    back = readout.to_image(outputs)
    outputs[...] = -1
    np.testing.assert_array_equal(back, original)
    np.testing.assert_array_equal(image, original)


@given(readouts())
def test_ticks_are_those_of_the_order_of_reading(readout):
    """Within each output the ticks increase strictly, and all outputs tick together."""
    outputs = readout.to_outputs(readout.ticks())
    assert np.all(outputs == outputs[0])
    in_time = outputs[0].ravel()
    assert in_time[0] == 0
    assert np.all(np.diff(in_time) >= 1)
    assert in_time[-1] == readout.n_ticks - readout.overhead - 1


# An image of 2 rows and 6 columns whose pixel values are 10 * y + x.
IMAGE = 10 * np.arange(2)[:, np.newaxis] + np.arange(6)


@pytest.mark.parametrize(
    ("fast", "slow", "n_outputs", "expected"),
    [
        (1, 2, 1, [[[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]]]),
        (-1, 2, 1, [[[5, 4, 3, 2, 1, 0], [15, 14, 13, 12, 11, 10]]]),
        (1, -2, 1, [[[10, 11, 12, 13, 14, 15], [0, 1, 2, 3, 4, 5]]]),
        (1, 2, 2, [[[0, 1, 2], [10, 11, 12]], [[5, 4, 3], [15, 14, 13]]]),
        (-1, 2, 2, [[[5, 4, 3], [15, 14, 13]], [[0, 1, 2], [10, 11, 12]]]),
        (2, 1, 1, [[[0, 10], [1, 11], [2, 12], [3, 13], [4, 14], [5, 15]]]),
        (-2, 1, 1, [[[10, 0], [11, 1], [12, 2], [13, 3], [14, 4], [15, 5]]]),
        (2, -1, 1, [[[5, 15], [4, 14], [3, 13], [2, 12], [1, 11], [0, 10]]]),
        (-2, -1, 2, [[[15], [14], [13], [12], [11], [10]], [[5], [4], [3], [2], [1], [0]]]),
    ],
)
def test_order_written_out(fast, slow, n_outputs, expected):
    readout = Readout(shape=(2, 6), n_outputs=n_outputs, fast_axis=fast, slow_axis=slow)
    np.testing.assert_array_equal(readout.to_outputs(IMAGE), expected)


def test_mirroring_of_each_output_can_be_given():
    readout = Readout(shape=(2, 6), n_outputs=2, mirrored=(True, False))
    expected = [[[2, 1, 0], [12, 11, 10]], [[3, 4, 5], [13, 14, 15]]]
    np.testing.assert_array_equal(readout.to_outputs(IMAGE), expected)


def test_ticks_written_out():
    """Two outputs of three columns: the second mirrored, rows 3 + 12 ticks apart."""
    readout = Readout(shape=(2, 6), n_outputs=2)
    expected = [[0, 1, 2, 2, 1, 0], [15, 16, 17, 17, 16, 15]]
    np.testing.assert_array_equal(readout.ticks(), expected)
    assert readout.n_ticks == 30


def test_ticks_of_nirspec_written_out():
    """NRS2: fast axis -y, slow axis -x; the first pixel read is in the far corner."""
    readout = Readout(shape=(4, 2), n_outputs=2, fast_axis=-2, slow_axis=-1, overhead=1)
    expected = [[3, 0], [4, 1], [4, 1], [3, 0]]
    np.testing.assert_array_equal(readout.ticks(), expected)


@pytest.mark.parametrize(
    ("facts", "n_outputs", "row_ticks", "frame_time"),
    [
        # Frame times of the observatory's documentation, without the extra row and tick at the
        # end of a frame: 10.737, 5.494 and 0.902 s with them.
        (("NIRCAM", -1, 2, (2048, 2048), 4, "BRIGHT2"), 4, 524, 10.73152),
        (("NIRCAM", -1, 2, (256, 2048), 4, "RAPID"), 4, 524, 1.34144),
        (("NIRCAM", -1, 2, (256, 2048), 1, "RAPID"), 1, 2060, 5.2736),
        (("NIRCAM", 1, -2, (64, 64), None, "RAPID"), 1, 76, 0.04864),
        (("NIRISS", -2, -1, (256, 2048), 1, "NISRAPID"), 1, 268, 5.48864),
        (("NIRSPEC", 2, 1, (2048, 2048), 4, "NRSRAPID"), 4, 524, 10.73152),
        (("NIRSPEC", 2, 1, (32, 2048), 1, "NRSRAPID"), 1, 44, 0.90112),
        (("NIRSPEC", -2, -1, (2048, 2048), 4, "NRSIRS2RAPID"), 4, 712, 14.58176),
        (("fgs", 2, 1, (2048, 2048), None, None), 4, 524, 10.73152),
    ],
)
def test_known_modes(facts, n_outputs, row_ticks, frame_time):
    instrument, fast, slow, shape, outputs, pattern = facts
    readout = Readout.from_header(
        instrument=instrument,
        fast_axis=fast,
        slow_axis=slow,
        shape=shape,
        n_outputs=outputs,
        read_pattern=pattern,
    )
    assert readout.n_outputs == n_outputs
    assert readout.row_ticks == row_ticks
    assert readout.n_ticks * 1e-5 == pytest.approx(frame_time, rel=1e-9)


def test_irs2_steps_out_every_sixteen_pixels():
    """The first eight pixels, four reference pixels between two single ticks, sixteen pixels."""
    readout = Readout.from_header(
        instrument="NIRSPEC",
        fast_axis=2,
        slow_axis=1,
        shape=(2048, 2048),
        read_pattern="NRSIRS2",
    )
    ticks = readout.pixel_ticks
    np.testing.assert_array_equal(ticks[:8], np.arange(8))
    np.testing.assert_array_equal(ticks[8:24], 8 + 6 + np.arange(16))
    np.testing.assert_array_equal(np.flatnonzero(np.diff(ticks) == 7), np.arange(7, 512, 16))
    assert ticks[-1] == 511 + 32 * 6


def test_irs2_is_the_clock_of_the_jwst_reference_pixel_step():
    """The mask of normal samples in a raw row, with a tick on either side of the others."""
    from jwst.refpix.irs2_subtract_reference import make_irs2_mask

    readout = Readout(shape=(2048, 2048), overhead=8, irs2=True)
    output = make_irs2_mask(3200, 2048, 16, 4)[640:1280]
    np.testing.assert_array_equal(make_irs2_mask(3200, 2048, 16, 4)[1280:1920], output[::-1])
    steps = 1 + np.abs(np.diff(output.astype(int), prepend=1))
    ticks = np.cumsum(steps)[output] - 1
    np.testing.assert_array_equal(readout.pixel_ticks, ticks)
    # Frame time of 14.5889 s, of which 714 ticks come after the last row.
    assert readout.n_ticks + 714 == 1458890


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fast_axis": 2}, "fast axis 2 and the slow axis 2"),
        ({"fast_axis": 3}, "fast axis 3"),
        ({"n_outputs": 3}, "10 pixels .* 3 outputs"),
        ({"n_outputs": 0}, "0 outputs"),
        ({"mirrored": (True,)}, "1 entries for 2 outputs"),
    ],
)
def test_impossible_readouts(changes, message):
    with pytest.raises(ValueError, match=message):
        Readout(**{"shape": (4, 10), "n_outputs": 2, **changes})


def test_other_detectors_are_refused():
    with pytest.raises(ValueError, match="MIRI is not known"):
        Readout.from_header(instrument="MIRI", fast_axis=1, slow_axis=2, shape=(1024, 1032))


def test_interleaved_reference_pixels_are_refused():
    """As before the refpix step, or after it with preserve_irs2_refpix."""
    with pytest.raises(ValueError, match=r"NRSIRS2 that has 3200 pixels .* run the refpix step"):
        Readout.from_header(
            instrument="NIRSPEC",
            fast_axis=-2,
            slow_axis=-1,
            shape=(3200, 2048),
            n_outputs=4,
            read_pattern="NRSIRS2",
        )


def test_wrong_shapes_are_refused():
    readout = Readout(shape=(4, 8))
    with pytest.raises(ValueError, match=r"\(4, 9\) do not fit"):
        readout.to_outputs(np.zeros((4, 9)))
    with pytest.raises(ValueError, match=r"do not end in \(4, 4, 2\)"):
        readout.to_image(np.zeros((4, 8)))
