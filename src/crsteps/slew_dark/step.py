"""Find cosmic rays in a dark, remove them, and count them: NISP slew darks and single images."""

import logging
import math
from dataclasses import fields

from crsteps.cosmic_rays.laplacian import LaplacianOptions
from crsteps.datamodels.dark_companions import find_companion
from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.inputs import expand
from crsteps.datamodels.products import set_flags
from crsteps.detector import nisp
from crsteps.detector.macc import PHOTOMETRIC, MaccReadout
from crsteps.errors import CrstepsInputError
from crsteps.framework.processes import Helpers
from crsteps.framework.references import find_reference
from crsteps.framework.step import CrStep
from crsteps.slew_dark.analysis import JUMP_DET, AnalysisOptions
from crsteps.slew_dark.detection import WITHOUT_CLEANED_IMAGE, DetectionOptions
from crsteps.slew_dark.products_step import Products
from crsteps.slew_dark.report import statistics_cards
from crsteps.slew_dark.statistics import StatisticsOptions
from crsteps.slew_dark.workers_step import DetectorTask, process_detector

log = logging.getLogger(__name__)

_COMPANIONS = ("bad_pixel_mask", "master_dark", "noise_map", "persistence", "truth")
_MICROMETRE = 1e-4  # cm


class SlewDarkCosmicsStep(CrStep):
    """
    Find, remove and count the cosmic rays in a dark: NISP slew darks and single images.

    Attributes
    ----------
    result : SlewDarkResult or None
        After a run, the tables and paths of products; for JWST models too, of which `process`
        returns a flagged copy.
    """

    class_alias = "slew_dark_cosmics"
    takes = "a dark"
    result = None

    spec = """
        detector = option('hybrid', 'astroscrappy', 'astroscrappy+quality', 'significance', 'lacosmic', 'pycosmic', default='hybrid')  # How cosmic rays are found
        bad_pixel_mask = string(default=None)  # FITS file of bad pixels, non-zero is bad, extensions named after detectors
        master_dark = string(default=None)  # FITS file of a dark without cosmic rays (ADU) to subtract
        noise_map = string(default=None)  # FITS file of the noise of pixels (ADU); default: measured on the dark itself
        persistence = string(default=None)  # FITS file of the persistence (e-/s) that was subtracted, as powerlaw_persistence saves it
        truth = string(default=None)  # FITS file of pixels really hit (non-zero), for precision and recall
        quality_suffix = string(default='CHI2')  # Ending of the name of quality extensions, as in DET11.CHI2
        quality = option('auto', 'chi2', 'bit', 'none', default='auto')  # What the quality plane holds; none to do without it
        extension = string(default=None)  # Extension of the image in a plain FITS file: number, NAME or NAME,version
        offset = pass(default='auto')  # Constant (ADU) in the data that is not signal; auto: median of the good pixels
        electrons_per_adu = float(min=1e-6, default=None)  # Electrons per ADU; default: from the header, else 1.95 for NISP
        integration_time = float(min=1e-6, default=None)  # Time (s) in which hits were gathered; default: from the header, for NISP from the reset to the last frame
        pixel_pitch = float(min=1e-3, default=None)  # Size of a pixel (micrometres); default: 18 for NISP
        n_outputs = integer(min=1, default=None)  # Outputs that share the columns; default: 32 for NISP, else 1
        seed_significance = float(min=0, default=5.0)  # Significance of pixels that begin a cosmic ray
        grow_significance = float(min=0, default=3.0)  # Significance of pixels connected with them
        seed_quality = float(min=0, default=25.0)  # Quality factor of pixels that begin a cosmic ray
        grow_quality = float(min=0, default=6.0)  # Quality factor of pixels connected with them
        sigclip = float(min=0, default=4.5)  # astroscrappy: Laplacian-to-noise limit
        sigfrac = float(min=0, default=0.3)  # astroscrappy: fraction of sigclip for neighbours
        objlim = float(min=0, default=4.0)  # astroscrappy: contrast between Laplacian and fine structure
        readnoise = float(min=0, default=6.0)  # astroscrappy: read noise (e-)
        satlevel = float(min=0, default=65536.0)  # astroscrappy: saturation level (e-)
        niter = integer(min=1, default=6)  # astroscrappy: largest number of iterations
        sepmed = boolean(default=True)  # astroscrappy: separable median filters
        cleantype = option('median', 'medmask', 'meanmask', 'idw', default='meanmask')  # astroscrappy: how its own cleaned image is made
        fsmode = option('median', 'convolve', default='median')  # astroscrappy: fine structure by median filter or by the PSF
        psfmodel = option('gauss', 'moffat', 'gaussx', 'gaussy', default='gauss')  # astroscrappy: PSF, with fsmode = convolve
        psffwhm = float(min=0.1, default=1.5)  # astroscrappy: FWHM of the PSF (pixels), with fsmode = convolve
        psfsize = integer(min=3, default=5)  # astroscrappy: odd size of the PSF image (pixels), with fsmode = convolve
        psfbeta = float(min=0, default=4.765)  # astroscrappy: exponent of a Moffat PSF, with fsmode = convolve
        clean_method = option('median', 'mean', 'background', 'nan', 'detector', default='median')  # How flagged pixels are replaced; detector: by its own cleaned image
        detectors = force_list(default=None)  # Detectors to process; default: all in the file
        jobs = integer(min=1, default=1)  # Processes that work at the same time, one detector each
        save_mask = boolean(default=True)  # With save_results, write the mask
        save_clean = boolean(default=True)  # With save_results, write the cleaned image
        save_clusters = boolean(default=True)  # With save_results, write the clusters as Parquet
        save_root = boolean(default=False)  # With save_results, write the clusters and their pixels as ROOT too (needs uproot)
        save_statistics = boolean(default=True)  # With save_results, write the statistics
        save_background = boolean(default=False)  # With save_results, write the background
        save_figures = boolean(default=False)  # With save_results, draw figures
    """  # noqa: E501

    def process(self, given):
        """
        Find the cosmic rays of a dark.

        Parameters
        ----------
        given : path, JwstDataModel or list of one
            NISP file, plain FITS image, JWST image, or an association of one of them.

        Returns
        -------
        SlewDarkResult or JwstDataModel
            Tables and products. For a JWST image a copy of it, or in a pipeline the model itself,
            with cosmic rays flagged JUMP_DET and DO_NOT_USE.
        """
        self.result, self.measurements = None, {}
        item = _only(given)
        # They start while the files are opened and checked.
        with Helpers(self.jobs - 1, process_detector) as helpers:
            exposure, products = self._find(item, helpers)
        for line in self.result.lines():
            log.info(line)
        if not self.result.n_searched:
            log.warning("slew_dark_cosmics is skipped: no detector of %s can be searched", item)
        if exposure.kind != "jwst":
            return self.result
        return self._flagged(item, products.dq)

    def _find(self, item, helpers):
        """Find cosmic rays and make all products but models."""
        offset = self._offset()
        exposure = open_dark(
            item,
            quality_suffix=self.quality_suffix,
            extension=self.extension,
            quality=self.quality,
        )
        for warning in exposure.warnings:
            if not (self.integration_time and "set integration_time" in warning):
                log.warning(warning)
        options = self._options(exposure, offset)
        tasks = self._tasks(exposure, options)
        products = Products(self, exposure, [task.detector for task in tasks])
        self.result = products.make(tasks, helpers)
        return exposure, products

    def _offset(self):
        """Offset as a number; None to measure it."""
        if self.offset == "auto":
            return None
        try:
            offset = float(self.offset)
        except (TypeError, ValueError):
            offset = math.nan
        if not math.isfinite(offset):
            raise CrstepsInputError(
                f"offset = {self.offset} is neither a number (ADU) nor auto: set it to one of them."
            )
        return offset

    def _options(self, exposure, offset):
        """Parameters of the analysis, with what the header or the instrument knows."""
        is_nisp = exposure.kind == "nisp"
        pitch = self.pixel_pitch or (nisp.PIXEL_PITCH / _MICROMETRE if is_nisp else None)
        time = self.integration_time or exposure.exposure_time
        if pitch is None:
            log.warning("the size of a pixel is not known: rates are NaN; set pixel_pitch")
        gain = self.electrons_per_adu or exposure.gain_header
        if gain is None:
            gain = nisp.ELECTRONS_PER_ADU if is_nisp else 1.0
            if not is_nisp:
                log.warning("no gain in the header: 1 e-/ADU is taken; set electrons_per_adu")
        n_outputs = self.n_outputs or (nisp.N_OUTPUTS if is_nisp else 1)
        return AnalysisOptions(
            detection=self._detection(n_outputs, exposure.macc),
            statistics=StatisticsOptions(
                integration_time=time,
                pixel_area_cm2=None if pitch is None else (pitch * _MICROMETRE) ** 2,
                n_outputs=n_outputs,
                electrons_per_adu=gain,
            ),
            offset=offset,
            clean_method=self.clean_method,
        )

    def _detection(self, n_outputs, macc):
        """Options of the detection; thresholds that contradict each other are refused."""
        for quantity in ("significance", "quality"):
            seed, grow = f"seed_{quantity}", f"grow_{quantity}"
            if getattr(self, grow) > getattr(self, seed):
                raise CrstepsInputError(
                    f"{grow} = {getattr(self, grow):g} is above {seed} = {getattr(self, seed):g}: "
                    f"set {grow} to at most {seed}."
                )
        if self.clean_method == "detector" and self.detector in WITHOUT_CLEANED_IMAGE:
            raise CrstepsInputError(
                f"clean_method = detector takes the image that the detector cleans, and detector = "
                f"{self.detector} makes none: set one of them to another value."
            )
        if self.psfsize % 2 == 0:
            raise CrstepsInputError(f"psfsize = {self.psfsize} is even: set it to an odd number.")
        names = [item.name for item in fields(LaplacianOptions) if item.name != "gain"]
        try:
            return DetectionOptions(
                detector=self.detector,
                seed_significance=self.seed_significance,
                grow_significance=self.grow_significance,
                seed_quality=self.seed_quality,
                grow_quality=self.grow_quality,
                n_outputs=n_outputs,
                readout=MaccReadout(*macc) if macc else PHOTOMETRIC,
                laplacian=LaplacianOptions(**{name: getattr(self, name) for name in names}),
            )
        except ValueError as error:
            raise CrstepsInputError(f"detector = {self.detector}: {error}.") from None

    def _tasks(self, exposure, options):
        """One task for each detector that is wanted, its companions found and checked."""
        wanted = [str(name).upper() for name in self.detectors or exposure.detectors]
        known = {name.upper() for name in exposure.detectors}
        if unknown := [name for name in wanted if name not in known]:
            raise CrstepsInputError(
                f"detectors: {exposure.source} has no {unknown[0]}; choose from "
                f"{', '.join(exposure.detectors)}."
            )
        if self.persistence and not exposure.integration_time:
            raise CrstepsInputError(
                f"persistence: the header of {exposure.source} does not tell in what time charge "
                "was collected, without which the noise of the persistence is not known: leave "
                "persistence out."
            )
        narrowest = min(exposure.shape(name)[1] for name in exposure.detectors)
        if options.statistics.n_outputs > narrowest:
            raise CrstepsInputError(
                f"n_outputs = {options.statistics.n_outputs} outputs cannot share the {narrowest} "
                f"columns of {exposure.source}: set n_outputs to the number there is."
            )
        paths = {
            name: find_reference(self, None, name, parameter=name).path
            for name in _COMPANIONS
            if getattr(self, name)
        }
        return [
            DetectorTask(
                exposure=exposure.alone(name),
                detector=name,
                options=options,
                companions=_companions(paths, name, exposure.shape(name)),
            )
            for name in exposure.detectors
            if name.upper() in wanted
        ]

    def _flagged(self, given, dq):
        """Model with cosmic rays flagged, and what was done recorded."""
        model = self.prepare_output(given)
        if not self.result.n_searched:
            return self.record_status(model, "SKIPPED")
        set_flags(model, (dq & JUMP_DET) != 0, ["JUMP_DET", "DO_NOT_USE"])
        self.measurements = {
            keyword.lower(): {"value": value, "keyword": keyword, "comment": comment}
            for keyword, (value, comment) in statistics_cards(self.result.statistics[0]).items()
        }
        return self.record_status(model)


def _companions(paths, detector, shape):
    """Where the images that go with a detector are."""
    found = {
        what: find_companion(path, detector, shape=shape, what=what) for what, path in paths.items()
    }
    if path := paths.get("persistence"):
        found["persistence_error"] = find_companion(
            path, detector, shape=shape, what="persistence", suffix="ERR"
        )
    return found


def _only(given):
    """Only path or model of what was given."""
    items = expand(given)
    if len(items) != 1:
        raise CrstepsInputError(
            f"slew_dark_cosmics takes one dark, not {len(items)}: for several use 'crsteps run "
            "slew_dark_cosmics FILE FILE ...'."
        )
    return items[0]
