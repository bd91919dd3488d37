"""Clock of a detector with several outputs: which pixel of which output is read when.

All outputs of an HxRG are clocked together. In its own frame, every output reads its share of the
columns row by row, from left to right or, in every second output, from right to left; between two
rows the clock runs on for some ticks in which no pixel is read. What is common to the outputs is
therefore mirrored in the image, and noise that drifts in time is continuous across rows only when
those ticks are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PIXEL_TIME", "ROW_OVERHEAD", "Readout"]

PIXEL_TIME = 1e-5
"""Seconds per tick of the near-infrared detectors of JWST."""

ROW_OVERHEAD = 12
"""Ticks between the last pixel of a row and the first of the next, in traditional readout."""

_FULL_FRAME = (2048, 2048)
_HXRG_INSTRUMENTS = ("NIRCAM", "NIRISS", "NIRSPEC", "FGS")

# Improved reference sampling: before pixel 8, 24, 40, ... of a row the clock steps out to read
# four reference pixels, at a tick each way (jwst.refpix.irs2_subtract_reference, jwst 3.0).
_IRS2_BETWEEN = 16
_IRS2_EXCURSION = 4 + 2
_IRS2_ROW_OVERHEAD = 8


@dataclass(frozen=True)
class Readout:
    """
    Readout of a detector or of a window on it.

    Attributes
    ----------
    shape : tuple of int
        Shape (ny, nx) of the image.
    n_outputs : int
        Number of outputs; they lie side by side along the fast axis and have equal widths.
    fast_axis, slow_axis : int
        As in the keywords FASTAXIS and SLOWAXIS: 1 for x, 2 for y, negative if read towards
        smaller coordinates. With several outputs, ``fast_axis`` is the direction of the first one;
        a negative one also means that outputs are counted from the far end.
    mirrored : tuple of bool
        For each output, in its order along the fast axis, whether it is read against it; empty
        for every second output, beginning with the second.
    overhead : int
        Ticks between two rows.
    irs2 : bool
        Whether excursions to reference pixels interrupt the rows, as in the IRS2 patterns of
        NIRSpec. The image is without reference pixels.

    Raises
    ------
    ValueError
        If an axis, the number of outputs or the mirroring is impossible for the shape.
    """

    shape: tuple[int, int]
    n_outputs: int = 4
    fast_axis: int = 1
    slow_axis: int = 2
    mirrored: tuple[bool, ...] = ()
    overhead: int = ROW_OVERHEAD
    irs2: bool = False

    def __post_init__(self):
        if {abs(self.fast_axis), abs(self.slow_axis)} != {1, 2}:
            raise ValueError(
                f"the fast axis {self.fast_axis} and the slow axis {self.slow_axis} do not "
                "describe a readout; one must be 1 or -1 and the other 2 or -2"
            )
        if self.n_outputs < 1 or self.n_columns % self.n_outputs:
            raise ValueError(
                f"{self.n_columns} pixels along the fast axis cannot be shared by "
                f"{self.n_outputs} outputs; check the number of outputs"
            )
        if not self.mirrored:
            alternating = tuple(bool(output % 2) for output in range(self.n_outputs))
            object.__setattr__(self, "mirrored", alternating)
        if len(self.mirrored) != self.n_outputs:
            raise ValueError(
                f"mirrored has {len(self.mirrored)} entries for {self.n_outputs} outputs; "
                "give one for each output"
            )

    @classmethod
    def from_header(
        cls,
        *,
        instrument: str,
        fast_axis: int,
        slow_axis: int,
        shape: tuple[int, int],
        n_outputs: int | None = None,
        read_pattern: str | None = None,
    ) -> Readout:
        """
        Readout of a near-infrared exposure of JWST by the facts in its header.

        Parameters
        ----------
        instrument : str
            Keyword INSTRUME.
        fast_axis, slow_axis : int
            Keywords FASTAXIS and SLOWAXIS.
        shape : tuple of int
            Shape (ny, nx) of the image.
        n_outputs : int, optional
            Keyword NOUTPUTS, which alone tells whether a window as wide as the detector was read
            through four outputs or through one. If None, 4 for a full frame and 1 for a window.
        read_pattern : str, optional
            Keyword READPATT; NRSIRS2 and NRSIRS2RAPID have their own clock.

        Returns
        -------
        readout : Readout
            The clock of one frame.

        Raises
        ------
        ValueError
            If the instrument has no HxRG detector, if the facts contradict each other, or if
            reference pixels are still interleaved with the others (IRS2).
        """
        if instrument.upper() not in _HXRG_INSTRUMENTS:
            raise ValueError(
                f"the readout of instrument {instrument} is not known; "
                f"known are {', '.join(_HXRG_INSTRUMENTS)}"
            )
        if n_outputs is None:
            n_outputs = 4 if tuple(shape) == _FULL_FRAME else 1
        irs2 = (read_pattern or "").upper().startswith("NRSIRS2")
        n_columns = shape[1] if abs(fast_axis) == 1 else shape[0]
        if irs2 and n_columns != _FULL_FRAME[0]:
            raise ValueError(
                f"an image read with {read_pattern} that has {n_columns} pixels and not "
                f"{_FULL_FRAME[0]} along the fast axis holds reference pixels; run the refpix step "
                "without preserve_irs2_refpix first"
            )
        return cls(
            shape=tuple(shape),
            n_outputs=n_outputs,
            fast_axis=fast_axis,
            slow_axis=slow_axis,
            overhead=_IRS2_ROW_OVERHEAD if irs2 else ROW_OVERHEAD,
            irs2=irs2,
        )

    @property
    def n_rows(self) -> int:
        """Rows, that is pixels along the slow axis."""
        return self.shape[0] if abs(self.fast_axis) == 1 else self.shape[1]

    @property
    def n_columns(self) -> int:
        """Pixels along the fast axis, of all outputs together."""
        return self.shape[1] if abs(self.fast_axis) == 1 else self.shape[0]

    @property
    def output_width(self) -> int:
        """Pixels along the fast axis in one output."""
        return self.n_columns // self.n_outputs

    @property
    def pixel_ticks(self) -> np.ndarray:
        """Ticks after the start of a row at which its pixels are read, int64, (output_width,)."""
        pixel = np.arange(self.output_width)
        return pixel + _excursion_ticks(pixel) if self.irs2 else pixel

    @property
    def row_ticks(self) -> int:
        """Ticks from the start of a row to the start of the next."""
        width = self.output_width
        excursions = int(_excursion_ticks(width - 1)) if self.irs2 else 0
        return width + excursions + self.overhead

    @property
    def n_ticks(self) -> int:
        """Ticks of one frame, with the overhead after its last row."""
        return self.n_rows * self.row_ticks

    def ticks(self) -> np.ndarray:
        """
        Tick at which every pixel of the image is read.

        Returns
        -------
        ticks : ndarray
            Ticks since the first pixel of the frame, int64, (ny, nx). Pixels that are read at the
            same time by different outputs have the same tick.
        """
        first = self.row_ticks * np.arange(self.n_rows)[:, np.newaxis]
        one_output = first + self.pixel_ticks
        return self.to_image(np.broadcast_to(one_output, (self.n_outputs, *one_output.shape)))

    def to_outputs(self, image: np.ndarray) -> np.ndarray:
        """
        Sort the pixels of images by output and time.

        Parameters
        ----------
        image : ndarray
            One or more images, (..., ny, nx), of any type.

        Returns
        -------
        outputs : ndarray
            A copy, (..., n_outputs, n_rows, output_width): outputs in their order along the fast
            axis, each in the order in which its rows and pixels are read.
        """
        image = np.asarray(image)
        if image.shape[-2:] != tuple(self.shape):
            raise ValueError(f"images of shape {image.shape} do not fit a readout of {self.shape}")
        blocks = self._blocks(image)
        outputs = np.empty((*image.shape[:-2], len(blocks), *blocks[0].shape[-2:]), image.dtype)
        for output, block in enumerate(blocks):
            outputs[..., output, :, :] = block
        return outputs

    def to_image(self, outputs: np.ndarray) -> np.ndarray:
        """
        Put pixels that are sorted by output and time back into images.

        Parameters
        ----------
        outputs : ndarray
            As `to_outputs` returns it, (..., n_outputs, n_rows, output_width), of any type.

        Returns
        -------
        image : ndarray
            A copy, (..., ny, nx).
        """
        outputs = np.asarray(outputs)
        expected = (self.n_outputs, self.n_rows, self.output_width)
        if outputs.shape[-3:] != expected:
            raise ValueError(f"outputs of shape {outputs.shape} do not end in {expected}")
        image = np.empty((*outputs.shape[:-3], *self.shape), outputs.dtype)
        for output, block in enumerate(self._blocks(image)):
            block[...] = outputs[..., output, :, :]
        return image

    def _blocks(self, image):
        """Views of an image, one per output, (..., n_rows, output_width) in order of time."""
        if abs(self.fast_axis) == 2:
            image = np.swapaxes(image, -2, -1)
        image = image[..., :: np.sign(self.slow_axis), :: np.sign(self.fast_axis)]
        blocks = np.split(image, self.n_outputs, axis=-1)
        return [
            block[..., ::-1] if mirrored else block
            for block, mirrored in zip(blocks, self.mirrored, strict=True)
        ]


def _excursion_ticks(pixel):
    """Ticks spent on reference pixels in a row of IRS2 before a pixel is read."""
    return _IRS2_EXCURSION * ((pixel + _IRS2_BETWEEN // 2) // _IRS2_BETWEEN)
