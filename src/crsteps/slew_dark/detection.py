"""Cosmic rays of a dark: its background and noise, and the detectors that there are."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from crsteps.cosmic_rays.auxiliary import METHODS, detect_auxiliary
from crsteps.cosmic_rays.lacosmic import LacosmicOptions
from crsteps.cosmic_rays.laplacian import LaplacianOptions, detect_laplacian
from crsteps.cosmic_rays.significance import significance_hysteresis
from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.slew_dark.hybrid import find_hits, scaled_quality
from crsteps.slew_dark.noise_map import estimate_background_and_noise

DETECTORS = ("hybrid", "astroscrappy", "astroscrappy+quality", "significance", *METHODS)
# Those that have no cleaned image of their own.
WITHOUT_CLEANED_IMAGE = ("hybrid", "significance")
_THRESHOLDS = ("seed_significance", "grow_significance", "seed_quality", "grow_quality")


@dataclass(frozen=True)
class DetectionOptions:
    """
    Choice of the detector and its parameters.

    Attributes
    ----------
    detector : str
        "hybrid": signal and quality plane together (`crsteps.slew_dark.hybrid`); "astroscrappy";
        "astroscrappy+quality": its pixels whose quality factor exceeds ``grow_quality``, or that
        a plane of one bit flags; "significance": the signal alone, whatever its shape;
        "lacosmic" and "pycosmic": detectors of single images (`crsteps.cosmic_rays.auxiliary`)
        with the noise of each pixel as it is measured; "deepcr" and "conn": networks, which know
        no noise but that of their own cameras.
    seed_significance, grow_significance : float
        Signal in units of its noise above which a pixel is flagged by itself, or beside one that
        is.
    seed_quality, grow_quality : float
        Quality factor that a pixel must exceed besides, in the photometric readout; in others it
        is scaled as it scatters (`crsteps.slew_dark.hybrid.scaled_quality`).
    n_outputs : int
        Outputs of the detector, side by side along x.
    readout : MaccReadout
        Sampling of the ramp, for the quality factor that is expected of hits.
    laplacian : LaplacianOptions
        Parameters of astroscrappy; its gain is replaced by ``electrons_per_adu``. "lacosmic" has
        them too, but for the read noise.
    network : DeepcrOptions, ConnOptions or None
        Parameters of "deepcr" or "conn"; None for their own.
    """

    detector: str = "hybrid"
    seed_significance: float = 5.0
    grow_significance: float = 3.0
    seed_quality: float = 25.0
    grow_quality: float = 6.0
    n_outputs: int = 32
    readout: MaccReadout = PHOTOMETRIC
    laplacian: LaplacianOptions = field(default_factory=LaplacianOptions)
    network: object | None = None

    def __post_init__(self):
        if self.detector not in DETECTORS:
            raise ValueError(
                f"no such detector: {self.detector!r}; there are {', '.join(DETECTORS)}"
            )
        for quantity in ("significance", "quality"):
            grow, seed = (getattr(self, f"{name}_{quantity}") for name in ("grow", "seed"))
            if not 0 <= grow <= seed:
                raise ValueError(
                    f"grow_{quantity} ({grow}) must lie between 0 and seed_{quantity} ({seed})"
                )
        self.shared(1.0)

    def shared(self, electrons_per_adu):
        """
        Options of a shared detector.

        Parameters
        ----------
        electrons_per_adu : float
            Gain [e-/ADU].

        Returns
        -------
        LacosmicOptions, DeepcrOptions, ConnOptions or None
            None for the detector's own.
        """
        if self.detector != "lacosmic":
            return self.network
        values = asdict(self.laplacian)
        width = values.pop("psffwhm")
        values["satlevel"] /= electrons_per_adu
        for name in ("gain", "readnoise"):
            del values[name]
        return LacosmicOptions(**values, psffwhm_x=width, psffwhm_y=width, gain_apply=False)


@dataclass(frozen=True)
class DarkDetection:
    """
    Cosmic rays of one dark.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        True at cosmic rays; never where a pixel is not usable.
    significance : ndarray of float32, shape (ny, nx), or None
        Signal above the background in units of its noise; NaN where not usable; None of detectors
        that do not use it.
    noise : ndarray of float32, shape (ny, nx)
        Standard deviation of a pixel without charge [ADU].
    background : ndarray of float32, shape (ny, nx)
        Background [ADU], master dark and offset included.
    offset : float
        Constant of the electronics [ADU].
    used_quality : str
        What was used of the quality plane: "chi2", "bit" or "none".
    cleaned : ndarray of float32, shape (ny, nx), or None
        Image as cleaned by the detector itself [ADU], offset included, if it is one that cleans.
    """

    mask: np.ndarray
    significance: np.ndarray | None
    noise: np.ndarray
    background: np.ndarray
    offset: float
    used_quality: str
    cleaned: np.ndarray | None = None


def find_cosmic_rays(
    data,
    *,
    usable,
    quality=None,
    quality_kind=None,
    electrons_per_adu,
    noise=None,
    added_variance=None,
    master_dark=None,
    offset=None,
    options=None,
):
    """
    Find the cosmic rays of a dark.

    Parameters
    ----------
    data : ndarray of float, shape (ny, nx)
        Dark [ADU].
    usable : ndarray of bool, shape (ny, nx)
        False at bad, saturated, missing and reference pixels. Pixels without a finite value, noise
        or master dark are not used anyway.
    quality : ndarray of uint8, shape (ny, nx), optional
        Quality plane computed on board.
    quality_kind : str, optional
        "chi2": the quality factor, clipped to 255; "bit": non-zero where it was large; None
        without a plane.
    electrons_per_adu : float
        Gain [e-/ADU].
    noise : ndarray of float, shape (ny, nx), optional
        Noise of each pixel [ADU]; estimated from the dark itself if None.
    added_variance : ndarray of float, shape (ny, nx), optional
        Variance that single pixels have besides, such as that of persistence which was taken off
        [ADU squared].
    master_dark : ndarray of float, shape (ny, nx), optional
        Dark current to take off [ADU].
    offset : float, optional
        Constant of the electronics [ADU], which astroscrappy must not take for light; the median
        of the usable pixels if None.
    options : DetectionOptions, optional
        Choice of the detector and its parameters.

    Returns
    -------
    DarkDetection
        Mask and what it was found with.

    Raises
    ------
    ValueError
        If no pixel is usable, shapes differ, the kind of the quality plane is not known, or the
        gain is not positive.
    """
    options = options or DetectionOptions()
    data = np.asarray(data)
    kind = _kind_of_plane(quality, quality_kind, options.detector)
    planes = {"usable": usable, "quality": quality, "noise": noise, "master_dark": master_dark}
    planes["added_variance"] = added_variance
    _check(data, planes, electrons_per_adu)
    usable = _usable(data, usable, noise, master_dark)
    image = data if master_dark is None else data - master_dark
    background, measured = estimate_background_and_noise(
        image, usable=usable, n_outputs=options.n_outputs
    )
    noise = measured if noise is None else np.asarray(noise, dtype=np.float32)
    if added_variance is not None:
        noise = np.sqrt(np.square(noise) + np.asarray(added_variance, dtype=np.float32))
    fills = "astroscrappy" in options.detector  # bad pixels, by the median
    level = float(np.median(image[usable])) if fills or offset is None else offset
    offset = level if offset is None else offset
    significance = cleaned = None
    if fills:
        laplacian = replace(options.laplacian, gain=electrons_per_adu)
        # Bad pixels become background and are not masked: astroscrappy would leave out their
        # neighbours with them.
        filled = np.where(usable, image, level) - offset
        mask, cleaned = _by_astroscrappy(filled, added_variance, laplacian)
        mask, cleaned = mask & usable, cleaned + np.float32(offset)
        if kind is not None:
            least = scaled_quality(options.grow_quality, options.readout)
            mask &= quality > (least if kind == "chi2" else 0)
    elif options.detector in METHODS:
        signal = np.where(usable, image - background, 0)
        mask, cleaned = _by_shared_detector(signal, noise, usable, electrons_per_adu, options)
        cleaned = cleaned + background
    else:
        signal = image - background
        significance = np.full(data.shape, np.nan, dtype=np.float32)
        np.divide(signal, noise, out=significance, where=usable, casting="same_kind")
        plane = {"quality": quality, "quality_kind": kind}
        mask = _by_signal(signal, significance, plane, electrons_per_adu, options)
    if master_dark is not None:
        background = background + master_dark
        cleaned = None if cleaned is None else cleaned + master_dark
    return DarkDetection(mask, significance, noise, background, offset, kind or "none", cleaned)


def _kind_of_plane(quality, kind, detector):
    """Kind of the quality plane that a detector uses; None if it uses none."""
    if kind not in (None, "chi2", "bit"):
        raise ValueError(f"quality_kind is {kind!r}; it must be 'chi2', 'bit' or None")
    return kind if quality is not None and detector in ("hybrid", "astroscrappy+quality") else None


def _check(data, planes, electrons_per_adu):
    if not 0 < electrons_per_adu < np.inf:
        raise ValueError(f"electrons_per_adu is {electrons_per_adu}; it must be positive")
    if data.ndim != 2:
        raise ValueError(f"the dark has the shape {data.shape}; it must have two axes")
    for name, other in planes.items():
        if other is not None and np.shape(other) != data.shape:
            raise ValueError(
                f"{name} has the shape {np.shape(other)} and the dark {data.shape}: they must be "
                "equal"
            )


def _usable(data, usable, noise, master_dark):
    """Pixels that are usable and of which all is known."""
    usable = usable & np.isfinite(data)
    if noise is not None:
        usable &= np.isfinite(noise) & (np.asarray(noise) > 0)
    if master_dark is not None:
        usable &= np.isfinite(master_dark)
    return usable


def _by_astroscrappy(image, added_variance, options):
    """
    Mask and cleaned image; variance is added as that of light, which is all astroscrappy knows.

    The light is put in and given as background, which is taken off again before the detection.
    """
    if added_variance is None:
        return detect_laplacian(image, options=options)
    light = np.float32(options.gain) * np.nan_to_num(added_variance).astype(np.float32)
    mask, cleaned = detect_laplacian(image + light, background=light, options=options)
    return mask, cleaned - light


def _by_shared_detector(signal, noise, usable, electrons_per_adu, options):
    """Mask of a detector of single images, and its cleaned image."""
    known = usable & (noise > 0)  # a constant image has no noise
    if not known.any():
        return np.zeros(signal.shape, dtype=bool), signal
    # Bad pixels are background and not missing: L.A.Cosmic would leave out their neighbours.
    found = detect_auxiliary(
        options.detector,
        signal,
        read_variance=np.square(np.where(known, noise, np.median(noise[known]))),
        poisson_factor=1 / electrons_per_adu,
        options=options.shared(electrons_per_adu),
    )
    return found.mask & known, found.cleaned


def _by_signal(signal, significance, plane, electrons_per_adu, options):
    """Mask of "significance" or "hybrid"."""
    thresholds = {name: getattr(options, name) for name in _THRESHOLDS}
    if options.detector == "significance":
        seed, grow = options.seed_significance, options.grow_significance
        return significance_hysteresis(significance, seed=seed, grow=grow)
    return find_hits(
        signal,
        significance,
        **plane,
        electrons_per_adu=electrons_per_adu,
        readout=options.readout,
        **thresholds,
    )
