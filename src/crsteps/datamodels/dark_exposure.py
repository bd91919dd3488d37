"""A dark that was opened, and one detector of it: what the processes that work on it are given.

Astropy is not imported here, which would be half of what these processes import.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from crsteps.detector.nisp import reference_border
from crsteps.errors import CrstepsInputError

# Bits of JWST's data-quality flags; not imported, since that loads every datamodel.
_DO_NOT_USE, _SATURATED, _REFERENCE_PIXEL = 1, 2, 1 << 31


@dataclass(frozen=True)
class DetectorPlanes:
    """
    The images of one detector in a file.

    Attributes
    ----------
    science : crsteps.datamodels.stored_images.StoredImage
        The image.
    quality : crsteps.datamodels.stored_images.StoredImage or None
        The quality plane computed on board.
    flags : crsteps.datamodels.stored_images.StoredImage or None
        Data-quality flags with JWST's values.
    saturation : float or None
        Value from which on pixels are saturated, if it is known.
    header : astropy.io.fits.Header or None
        Header of the image, where it is needed.
    """

    science: object
    quality: object
    flags: object
    saturation: float | None
    header: object

    @classmethod
    def of(cls, science, quality, flags, header):
        """
        Put the images of a detector together.

        Parameters
        ----------
        science, quality, flags, header
            As the attributes.

        Returns
        -------
        DetectorPlanes
            Saturation is at the keyword SATURATE, else at the end of the range of 16-bit integers.
        """
        level = header.get("SATURATE")
        if not isinstance(level, int | float) or isinstance(level, bool) or not level > 0:
            level = science.highest
        return cls(science, quality, flags, level, header)


@dataclass(frozen=True)
class DarkImage:
    """
    One detector of a dark.

    Attributes
    ----------
    detector : str
        Name of the detector.
    data : ndarray (ny, nx) float32
        The image in the units of the file; NaN where it is blank or not finite.
    quality : ndarray (ny, nx) uint8 or None
        Quality factors of 0 to 255 (larger ones are cut), or 0 and 1, as `quality_kind` says.
    quality_kind : {"chi2", "bit"} or None
        What `quality` is.
    missing : ndarray (ny, nx) bool
        True where there is no usable value: not finite, or DO_NOT_USE or REFERENCE_PIXEL among the
        data-quality flags.
    reference : ndarray (ny, nx) bool
        True in the reference border of a whole detector of NISP.
    saturated : ndarray (ny, nx) bool
        True at or above the keyword SATURATE, at the end of the range of 16-bit integers, or where
        a data-quality flag says so.
    header : astropy.io.fits.Header
        Header of the image.
    """

    detector: str
    data: np.ndarray
    quality: np.ndarray | None
    quality_kind: str | None
    missing: np.ndarray
    reference: np.ndarray
    saturated: np.ndarray


@dataclass(frozen=True)
class DarkExposure:
    """
    A dark that was opened and checked.

    It holds no pixels, unless it comes from a model in memory, and can be sent to other processes.

    Attributes
    ----------
    source : str
        Path of the file, or the name of a model given in memory.
    kind : {"nisp", "fits", "jwst"}
        Layout of the file.
    detectors : tuple of str
        Names of the detectors, in the order of the file.
    quality_kind : {"chi2", "bit"} or None
        What the quality planes are; None where there are none or none are wanted.
    quality_reason : str
        How that was decided, for the log and the headers of products.
    integration_time : float or None
        Time in which the signal was integrated [s]: with multi-accumulated readout, from the first
        group to the last.
    exposure_time : float or None
        Time in which cosmic rays were gathered [s]: with multi-accumulated readout, from the reset
        to the last frame; else the same.
    gain_header : float or None
        Gain of the header [e-/ADU].
    unit : str
        Unit of the data.
    obs_id, date_obs, read_mode : str
        Observation, start and readout mode; empty if unknown.
    mjd : float or None
        Start as modified Julian date.
    macc : tuple of int or None
        Groups, frames in a group and dropped frames.
    primary_header : astropy.io.fits.Header or None
        Primary header of the file, where it is needed.
    warnings : tuple of str
        A sentence about each thing that is missing or was assumed, to be logged.
    planes : dict of DetectorPlanes
        Where the images are.
    """

    source: str
    kind: str
    detectors: tuple
    quality_kind: str | None
    quality_reason: str
    integration_time: float | None
    exposure_time: float | None
    gain_header: float | None
    unit: str
    obs_id: str
    date_obs: str
    mjd: float | None
    read_mode: str
    macc: tuple | None
    primary_header: object = field(repr=False, compare=False)
    warnings: tuple
    planes: dict = field(repr=False, compare=False)

    def shape(self, detector):
        """
        Give the shape of an image without reading it.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        tuple of int
            (ny, nx).
        """
        return self._planes(detector).science.shape

    def read(self, detector):
        """
        Read one detector.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        DarkImage

        Raises
        ------
        CrstepsInputError
            If the exposure has no such detector, the file has changed since it was opened, or a
            plane that was taken for one bit holds other values.
        """
        planes = self._planes(detector)
        with planes.science.open() as stream:
            data = planes.science.values(stream)
            flags = None if planes.flags is None else planes.flags.flags(stream)
            quality = self._read_quality(planes.quality, stream)
        saturated = _saturated(data, planes, flags)
        missing = ~np.isfinite(data)
        data[missing] = np.nan
        if flags is not None:
            missing |= (flags & np.uint32(_DO_NOT_USE | _REFERENCE_PIXEL)) != 0
        if self.kind == "nisp":
            reference = reference_border(data.shape)
        else:
            reference = np.zeros(data.shape, bool)
        kind = None if quality is None else self.quality_kind
        return DarkImage(detector, data, quality, kind, missing, reference, saturated)

    def alone(self, detector):
        """
        Leave what is needed to read one detector.

        Parameters
        ----------
        detector : str
            Name of the detector.

        Returns
        -------
        DarkExposure
            Without the other detectors and all headers; quick to send to another process.
        """
        planes = {detector: replace(self._planes(detector), header=None)}
        return replace(self, planes=planes, primary_header=None)

    def _planes(self, detector):
        try:
            return self.planes[detector]
        except KeyError:
            raise CrstepsInputError(
                f"{self.source} has no detector {detector}: set detectors to some of "
                f"{', '.join(self.detectors)}."
            ) from None

    def _read_quality(self, plane, stream):
        if plane is None or self.quality_kind is None:
            return None
        quality = quality_values(plane, stream)
        if self.quality_kind == "bit":
            if self.quality_reason.startswith("auto") and quality.max(initial=0) > 1:
                raise CrstepsInputError(
                    f"The extension {plane.name} of {self.source} holds values up to "
                    f"{quality.max()}, but other quality planes only 0 and 1: set quality to chi2, "
                    "bit or none."
                )
            quality = (quality != 0).astype(np.uint8)
        return quality


def quality_values(plane, stream):
    """
    Read a quality plane as it is stored.

    Parameters
    ----------
    plane : crsteps.datamodels.fits_images.StoredImage
        The plane, one of integers.
    stream : file object
        From its `open`.

    Returns
    -------
    ndarray (ny, nx) uint8
        Values cut to 0 to 255.
    """
    stored = plane.stored(stream)
    if plane.stored_type == "u1" and plane.zero == 0:
        return stored
    return np.clip(stored.astype(np.int64) + int(plane.zero), 0, 255).astype(np.uint8)


def _saturated(data, planes, flags):
    level = planes.saturation
    saturated = np.zeros(data.shape, bool) if level is None else data >= np.float32(level)
    if flags is not None:
        saturated |= (flags & np.uint32(_SATURATED)) != 0
    return saturated
