"""Find cosmic rays in a dark, remove them, and count them: NISP slew darks and single images."""

from crsteps.datamodels.inputs import expand
from crsteps.errors import CrstepsInputError
from crsteps.framework.processes import Helpers
from crsteps.framework.step import CrStep


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
        detector = option('hybrid', 'astroscrappy', 'astroscrappy+quality', 'significance', 'lacosmic', 'pycosmic', 'deepcr', 'conn', default='hybrid')  # How cosmic rays are found
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
        dc_mask = option('ACS-WFC', 'WFC3-UVIS', default='ACS-WFC')  # deepCR: trained model (extra deepcr)
        dc_threshold = float(min=0, max=1, default=0.5)  # deepCR: limit of the probability
        nn_model = option('ground_imaging', 'NRES', 'HST_ACS_WFC', default='ground_imaging')  # Cosmic-CoNN: trained model (extra conn)
        nn_threshold = float(min=0, max=1, default=0.5)  # Cosmic-CoNN: limit of the probability
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
        with Helpers(self.jobs - 1, "crsteps.slew_dark.workers_step") as helpers:
            # This process imports what it needs, and opens files, while the others start.
            from crsteps.slew_dark.search_step import search

            return search(self, item, helpers)


def _only(given):
    """Only path or model of what was given."""
    items = expand(given)
    if len(items) != 1:
        raise CrstepsInputError(
            f"slew_dark_cosmics takes one dark, not {len(items)}: for several use 'crsteps run "
            "slew_dark_cosmics FILE FILE ...'."
        )
    return items[0]
