"""Fit how the pixels of a detector remember light, from the darks that follow an illumination."""

import logging
import math
from pathlib import Path

from astropy.time import Time

from crsteps.datamodels.dark_companions import find_companion
from crsteps.datamodels.persistence_inputs import DAY
from crsteps.detector import nisp
from crsteps.errors import CrstepsInputError
from crsteps.framework.references import find_reference
from crsteps.framework.step import CrStep
from crsteps.persistence.fit import FitOptions
from crsteps.persistence.fit_illumination_step import open_illumination
from crsteps.persistence.fit_inputs_step import check_detectors, dark_times, open_series
from crsteps.persistence.fit_products_step import FitProducts
from crsteps.persistence.fit_task_step import FitTask

log = logging.getLogger(__name__)

_COMPANIONS = ("bad_pixel_mask", "master_dark", "noise_map")
_FEWEST = 4
_NISP_OFFSET = 1024.0  # ADU, which the electronics add so that no difference is negative


class FitPersistenceStep(CrStep):
    """
    Fit amplitude and slope of the persistence of every pixel to darks after an illumination.

    Attributes
    ----------
    result : FitPersistenceResult or None
        After a run, the tables and the paths of products.
    """

    class_alias = "fit_powerlaw_persistence"
    takes = "a series of darks"
    result = None

    spec = """
        illumination = string(default=None)  # What the darks follow: its exposure, a FITS image of the charge (BUNIT electron), or a charge (e-)
        illumination_end = string(default=None)  # Its end: modified Julian date, or date and time (UTC); default: that of the exposure
        fluence_min = float(min=0, default=0)  # Smallest charge (e-) of pixels that tell the curve
        fluence_max = float(min=0, default=None)  # Largest charge (e-) of pixels that tell the curve
        master_dark = string(default=None)  # FITS file of a dark free of persistence, in the unit of the data; default: the level is fitted
        master_dark_error = float(min=0, default=0)  # Error of its pixels (unit of the data)
        bad_pixel_mask = string(default=None)  # FITS file of bad pixels, non-zero is bad, extensions named after detectors
        noise = float(min=1e-6, default=None)  # Noise of a dark (e-) without that of photons; default: measured on the series
        noise_map = string(default=None)  # FITS file of that noise for each pixel, in the unit of the data
        gain = float(min=1e-6, default=None)  # Electrons per unit of the data; default: from the header, else 1.95 for NISP
        offset = float(default=None)  # Value of the images without signal; default: 1024 for images of NISP, else 0
        photon_noise = float(min=0, default=1.0)  # Variance of the signal per e-
        held_out = integer(min=0, default=2)  # Last darks that a fit of the others predicts
        shrink = option('auto', 'none', 'channel', 'detector', default='auto')  # Pixels that tell the slope of faint ones; auto: of the output channel for NISP
        n_outputs = integer(min=1, default=None)  # Outputs that share the columns; default: 32 for NISP, else 1
        gamma_min = float(min=0, default=0.1)  # Smallest slope
        gamma_max = float(min=0.1, default=2.5)  # Largest slope
        hit_threshold = float(min=1, default=5.0)  # Standard deviations above the fit to the others at which a dark counts as hit
        max_hits = integer(min=0, default=5)  # Most darks of a pixel left out as hit
        quality = option('auto', 'chi2', 'bit', 'none', default='none')  # What the quality planes hold; none to find hits in time alone
        quality_suffix = string(default='CHI2')  # Ending of the name of quality extensions, as in DET11.CHI2
        max_quality = float(min=0, default=49.0)  # Quality factor above which a pixel counts as hit
        extension = string(default=None)  # Extension of the image in a plain FITS file: number, NAME or NAME,version
        detectors = force_list(default=None)  # Detectors to fit; default: all in the files
        saturation_level = float(min=1, default=None)  # For the reference: charge (e-) that no pixel exceeds
        forgetting_rate = float(min=0, default=0.001)  # For the reference: rate (e-/s) below which a stimulus is forgotten
        systematic = float(min=0, default=0.1)  # For the reference: error of the model as a fraction of the prediction
        pedigree = option('DUMMY', 'MODEL', 'SIMULATION', 'GROUND', 'INFLIGHT', default='INFLIGHT')  # For the reference: where the darks come from
        author = string(default=None)  # For the reference: who made it
        description = string(default=None)  # For the reference: what was measured, besides what is said by itself
        jobs = integer(min=1, default=1)  # Processes that work at the same time, one detector each
        save_statistics = boolean(default=True)  # With save_results, write the tables
        save_maps = boolean(default=True)  # With save_results, write the images of the fit, with its quality
        save_figures = boolean(default=False)  # With save_results, draw figures
    """  # noqa: E501

    def process(self, given):
        """
        Fit the decay of every pixel.

        Parameters
        ----------
        given : path or list of path
            Association or list of darks: files of NISP, ramps and rates of JWST, plain FITS images.

        Returns
        -------
        FitPersistenceResult
            Tables and paths of products.
        """
        self.result = None
        self._check_ranges()
        darks = open_series(
            given,
            fewest=_FEWEST,
            quality=self.quality,
            quality_suffix=self.quality_suffix,
            extension=self.extension,
        )
        detectors = check_detectors(darks, self.detectors)
        illumination = open_illumination(self.illumination, self.illumination_end)
        times = dark_times(darks, illumination.end)
        illumination.check(detectors)
        for warning in dict.fromkeys(w for dark in darks for w in dark.warnings):
            log.warning(warning)
        if illumination.layout == "none":
            log.warning(
                "the charge of the illumination is not known: the reference says the same "
                "persistence after any stimulus; set illumination"
            )
        products = FitProducts(self, given, darks, list(detectors))
        log.info(
            "%d darks, %.4g s to %.4g s after the illumination (%s)",
            len(darks),
            times.delays[0],
            times.delays[-1] + times.groups[-1].end,
            illumination.name,
        )
        tasks = self._tasks(darks, detectors, times, illumination)
        meta = self._meta(darks, times, illumination)
        self.result = products.make(tasks, meta=meta, cards=_cards(meta))
        return self.result

    def _check_ranges(self):
        """Refuse limits that contradict each other."""
        for low, high in (("gamma_min", "gamma_max"), ("fluence_min", "fluence_max")):
            first, last = getattr(self, low), getattr(self, high)
            if last is not None and not first < last:
                raise CrstepsInputError(
                    f"{low} = {first:g} is not below {high} = {last:g}: change one of them."
                )

    def _tasks(self, darks, detectors, times, illumination):
        """One task for each detector, its companions found and checked."""
        is_nisp = darks[0].is_nisp
        gain = self.gain or darks[0].gain
        if gain is None:
            gain = nisp.ELECTRONS_PER_ADU if is_nisp else 1.0
            if not is_nisp:
                log.warning("no gain in the header: 1 e- per unit of the data is taken; set gain")
        offset = self.offset
        if offset is None:
            offset = _NISP_OFFSET if is_nisp else 0.0
        paths = {
            name: find_reference(self, None, name, parameter=name).path
            for name in _COMPANIONS
            if getattr(self, name)
        }
        return [
            FitTask(
                detector=name,
                shape=shape,
                darks=tuple(dark.only(name) for dark in darks),
                times=times,
                illumination=illumination,
                options=self._options(),
                gain=gain,
                offset=offset,
                noise=self.noise,
                master_dark_error=self.master_dark_error,
                n_held_out=self._held_out(len(darks)),
                n_outputs=self._outputs(is_nisp, shape),
                max_quality=self.max_quality,
                limits=(self.fluence_min, self.fluence_max or math.inf),
                companions={
                    what: find_companion(path, name, shape=shape, what=what)
                    for what, path in paths.items()
                },
            )
            for name, shape in detectors.items()
        ]

    def _options(self):
        return FitOptions(
            gamma_range=(self.gamma_min, self.gamma_max),
            photon_noise=self.photon_noise,
            hit_threshold=self.hit_threshold,
            max_hits=self.max_hits,
            shrink="none" if self.shrink == "none" else "slope",
        )

    def _held_out(self, n_darks):
        """Number of darks to hold out, which leaves enough for a fit."""
        number = min(self.held_out, n_darks - _FEWEST)
        if number < self.held_out:
            log.warning(
                "%d of %d darks are held out and not %d: the fit needs %d",
                number,
                n_darks,
                self.held_out,
                _FEWEST,
            )
        return number

    def _outputs(self, is_nisp, shape):
        """Number of channels whose pixels tell the slope of faint ones; 0 for the detector."""
        n_outputs = self.n_outputs or (nisp.N_OUTPUTS if is_nisp else 1)
        if n_outputs > shape[1]:
            raise CrstepsInputError(
                f"n_outputs = {n_outputs} outputs cannot share {shape[1]} columns: set n_outputs "
                "to the number there is."
            )
        return n_outputs if self.shrink in ("auto", "channel") and n_outputs > 1 else 0

    def _meta(self, darks, times, illumination):
        """Meta data of the reference."""
        header = darks[0].header()
        first, last = (Path(dark.source).name for dark in (darks[0], darks[-1]))
        name = str(header.get("INSTRUME") or "UNKNOWN").strip().upper()
        said = f"{self.description.strip().rstrip('.')}. " if self.description else ""
        meta = {
            "instruments": [name],
            "description": f"{said}Amplitude and slope of each pixel, fitted to {len(darks)} darks "
            f"{times.delays[0]:.4g} s to {times.delays[-1]:.4g} s after an illumination "
            f"({illumination.name}).",
            "pedigree": self.pedigree,
            "flight_calibrated": self.pedigree == "INFLIGHT",
            "source": f"{len(darks)} darks, {first} to {last}",
            "useafter": Time(illumination.end / DAY, format="mjd", scale="utc").isot,
        }
        telescope = str(header.get("TELESCOP") or "").strip()
        return {
            **meta,
            **({"telescope": telescope} if telescope else {}),
            **({"author": self.author} if self.author else {}),
        }


def _cards(meta):
    """Cards of the header of the images of the fit."""
    return {
        "INSTRUME": (meta["instruments"][0], "instrument"),
        "TELESCOP": (meta.get("telescope", ""), "telescope"),
        "PEDIGREE": (meta["pedigree"], "where the darks come from"),
        "USEAFTER": (meta["useafter"], "end of the illumination (UTC)"),
    }
