"""What is simulated of slew darks: options and kinds of cosmic rays."""

from __future__ import annotations

from dataclasses import dataclass, field

from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.detector.nisp import BORDER, GAIN, N_OUTPUTS, PIXEL_PITCH
from crsteps.simulation.cosmic_ray_tracks import TrackPopulation
from crsteps.simulation.slew_dark_scene import PersistenceOptions

__all__ = ["QUALITY_CUT", "QUIET", "SOLAR", "TRUE_CHARGE", "SlewDarkOptions"]

TRUE_CHARGE = 21.0
"""Charge of cosmic rays in e- above which a pixel counts as hit: three standard deviations."""
QUALITY_CUT = 49.0
"""Quality factor above which a quality plane of one bit is set."""

QUIET = TrackPopulation(
    worm_fraction=0.05,
    thickness=0.3,
    charge_per_pixel=3200.0,
    longest=60.0,
    worm_charge=(200.0, 20000.0),
    diffusion=(0.06, 0.2),
)
"""Galactic cosmic rays in a layer of 5 um: median 2700 e- and mean 4.8 pixels per hit."""
SOLAR = TrackPopulation(
    worm_fraction=0.05,
    thickness=0.3,
    charge_per_pixel=950.0,
    longest=60.0,
    worm_charge=(200.0, 20000.0),
    diffusion=(0.21, 0.33),
)
"""Hits of solar events: their charge is spread over more pixels, mean 6.8 with those of `QUIET`,
and more of these are faint, so that detectors find as small a part of them as in trials."""


@dataclass(frozen=True)
class SlewDarkOptions:
    """
    What is simulated.

    Attributes
    ----------
    shape : tuple of int
        Shape of the image, (ny, nx), with the border.
    readout : MaccReadout
        Sampling of the ramp.
    rate : float
        Hits of galactic cosmic rays per cm2 and s.
    solar_factor : float
        Rate of all hits relative to that; those beyond 1 are protons of a solar event.
    persistence : bool
        Whether there is persistence.
    hot_fraction : float
        Fraction of hot pixels that are in no bad-pixel map.
    bad_fraction : float
        Fraction of bad pixels.
    noisy_fraction : float
        Fraction of pixels in the tail of the noise.
    offset : float
        Constant of the image in ADU.
    output_offset : float
        Standard deviation of the offsets of the outputs in ADU.
    read_noise : float
        Noise of a single frame in e-.
    drift_noise : float
        Standard deviation of a straight drift of each pixel's level from the first group to the
        last in e- in the photometric readout; in others it goes with time to the power of 0.2.
    gain : float
        ADU per e-.
    dark_current : float
        Median dark current in e-/s.
    hot_charge : float
        Mean charge of the hot pixels between the first and the last group in e-.
    ipc : float
        Fraction of its signal that a pixel gives to each of its four neighbours.
    quality : str
        "chi2" for the quality factor clipped to 8 bits, "bit" for 1 where it is above
        `QUALITY_CUT`.
    border : int
        Width of the border of reference pixels.
    n_outputs : int
        Outputs, side by side along x.
    galactic, solar : TrackPopulation
        Kinds of tracks.
    sources : PersistenceOptions
        Persistence.
    """

    shape: tuple[int, int] = (2048, 2048)
    readout: MaccReadout = PHOTOMETRIC
    rate: float = 2.3
    solar_factor: float = 1.0
    persistence: bool = True
    hot_fraction: float = 2e-4
    bad_fraction: float = 1.5e-3
    noisy_fraction: float = 1e-3
    offset: float = 1024.0
    output_offset: float = 0.5
    read_noise: float = 13.0
    drift_noise: float = 4.4
    gain: float = GAIN
    dark_current: float = 0.01
    hot_charge: float = 400.0
    ipc: float = 0.0018
    quality: str = "chi2"
    border: int = BORDER
    n_outputs: int = N_OUTPUTS
    galactic: TrackPopulation = QUIET
    solar: TrackPopulation = SOLAR
    sources: PersistenceOptions = field(default_factory=PersistenceOptions)

    def __post_init__(self):
        if self.quality not in ("chi2", "bit"):
            raise ValueError(f"quality={self.quality!r} is unknown: give 'chi2' or 'bit'")
        if min(self.shape) < 2 * self.border + 8:
            raise ValueError(
                f"a detector of {self.shape} pixels has no room for a border of {self.border}: "
                f"give at least {2 * self.border + 8} pixels along each axis"
            )
        if self.rate < 0 or self.solar_factor < 1:
            raise ValueError(
                f"rate={self.rate} and solar_factor={self.solar_factor} describe no cosmic rays: "
                "give a rate of at least 0 and a factor of at least 1"
            )

    @property
    def active(self) -> tuple[slice, slice]:
        """Rows and columns inside the border."""
        ny, nx = self.shape
        return slice(self.border, ny - self.border), slice(self.border, nx - self.border)

    @property
    def active_area(self) -> float:
        """Area inside the border in cm2."""
        ny, nx = (size - 2 * self.border for size in self.shape)
        return ny * nx * PIXEL_PITCH**2
