"""The search of MMCosmicStep: what the parameters say about the exposures at hand, and the call."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from crsteps.cosmic_rays.pycosmic import detect_pycosmic
from crsteps.datamodels.mask_files import MaskFile, read_masks
from crsteps.datamodels.region_files import read_ds9_regions
from crsteps.detector.noise import ExposureNoise
from crsteps.detector.regions import check_region, parse_pixels, parse_regions, region_mask
from crsteps.errors import CrstepsInputError
from crsteps.mm_cosmic import parameters_step as parameters
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.flux_factors import FluxFactors, measure_flux_factors, resolve_flux_factors
from crsteps.mm_cosmic.given_masks import result_from_masks
from crsteps.mm_cosmic.masks import MMCosmicOptions
from crsteps.mm_cosmic.methods import CrMethod, find_with_method
from crsteps.mm_cosmic.offsets import Offsets, measure_offsets
from crsteps.mm_cosmic.scene import median_of_sorted, sort_exposures
from crsteps.mm_cosmic.user_pixels import UserPixels, make_user_pixels
from crsteps.mm_cosmic.workers_step import process_map

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """
    Exposures and everything that says how they are searched.

    Attributes
    ----------
    data : list of ndarray (ny, nx) float32
        Exposures without their bias.
    missing : list of ndarray (ny, nx) bool
        Pixels without data.
    noise : ExposureNoise
        Their noise.
    method : CrMethod
        What searches.
    options : MMCosmicOptions
        Options of the null model and of the masks.
    auxiliary_options : dict
        Options of the detectors of single images.
    auxiliary_combination : str
        How they join the null model.
    diagram : DiagramOptions or None
        Options of the simulated diagram; None where the null model sets the limit.
    user : UserPixels or None
        Pixels the user decides about.
    apply_flux_factor_to : str
        What flux factors are applied to.
    jobs : int
        Processes for single images.
    flux_factors : ndarray, shape (n,), or None
        Flux of the exposures, where it was given or measured.
    offsets : ndarray, shape (n, 2), or None
        Offsets of the exposures, where they were given or measured.
    measured_flux : FluxFactors or None
        How the flux was measured.
    measured_offsets : Offsets or None
        How the offsets were measured.
    given : MaskFile or None
        Masks that were made before, with which nothing is searched.
    found_in_images : dict or None
        What detectors found in single images, by the names of the images: kept for the next
        search with changed limits, if there is to be one.
    """

    data: list
    missing: list
    noise: ExposureNoise
    method: CrMethod
    options: MMCosmicOptions
    auxiliary_options: dict
    auxiliary_combination: str
    diagram: DiagramOptions | None
    user: UserPixels | None
    apply_flux_factor_to: str
    jobs: int
    flux_factors: np.ndarray | None = None
    offsets: np.ndarray | None = None
    measured_flux: FluxFactors | None = None
    measured_offsets: Offsets | None = None
    given: MaskFile | None = None
    found_in_images: dict | None = None

    def changed(self, **changes):
        """
        Give the same search with other options.

        Parameters
        ----------
        **changes
            Attributes.

        Returns
        -------
        Search
        """
        return replace(self, **changes)

    def run(self):
        """
        Search.

        Returns
        -------
        crsteps.mm_cosmic.masks.MMCosmicResult

        Raises
        ------
        ValueError
            The data cannot be searched.
        """
        if self.given is not None:
            return self._from_given_masks()
        return find_with_method(
            self.data,
            noise=self.noise,
            missing=self.missing,
            method=self.method,
            options=self.options,
            auxiliary_options=self.auxiliary_options,
            auxiliary_combination=self.auxiliary_combination,
            diagram=self.diagram,
            flux_factors=self.flux_factors,
            apply_flux_factor_to=self.apply_flux_factor_to,
            offsets=self.offsets,
            user=self.user,
            map_tasks=self._map_tasks,
        )

    def _map_tasks(self, function, tasks):
        """Call detectors on images in which they have not searched before."""
        if self.found_in_images is None:
            return process_map(self.jobs)(function, tasks)
        found = self.found_in_images
        new = [task for task in tasks if task.label not in found]
        for task, detection in zip(new, process_map(self.jobs)(function, new), strict=True):
            found[task.label] = detection
        return [found[task.label] for task in tasks]

    def _from_given_masks(self):
        masks = self.given
        return result_from_masks(
            self.data,
            noise=self.noise,
            missing=self.missing,
            options=self.options,
            exposure_masks=masks.exposure_masks,
            suspect_masks=masks.suspect_masks,
            mediancr=masks.mediancr,
            meancrt=masks.meancrt,
            meancr=masks.meancr,
            cleaned_median=masks.cleaned_median,
        )


def prepare(step, exposures):
    """
    Find out how the exposures are searched.

    Parameters
    ----------
    step : MMCosmicStep
        Parameters.
    exposures : sequence of crsteps.datamodels.exposures.Exposure
        Exposures without their bias.

    Returns
    -------
    Search

    Raises
    ------
    CrstepsInputError
        A parameter that does not fit the exposures.
    """
    data, missing = [e.data for e in exposures], [e.missing for e in exposures]
    noise = _stack_noise(exposures)
    diagram = parameters.diagram_options(step)
    if diagram is not None:
        parameters.told("mm_boundary_fit", diagram.check, len(data))
    given = _given_masks(step, data)
    search = Search(
        data=data,
        missing=missing,
        noise=noise,
        method=parameters.crmethod(step),
        options=parameters.mm_options(step),
        auxiliary_options=parameters.auxiliary_options(step),
        auxiliary_combination=step.aux_combination,
        diagram=diagram,
        user=_user_pixels(step, exposures[0], given),
        apply_flux_factor_to=step.apply_flux_factor_to,
        jobs=step.jobs,
        given=given,
        found_in_images={} if step.interactive else None,
    )
    flux_factors = _flux_factors(step, search, exposures[0])
    return search.changed(**flux_factors, **_offsets(step, search))


def _given_masks(step, data):
    """Masks of an existing file; None to search."""
    if not step.crmasks:
        return None
    masks = read_masks(step.crmasks, len(data), data[0].shape)
    if step.use_auxmedian and masks.cleaned_median is None:
        raise CrstepsInputError(
            f"use_auxmedian: {step.crmasks} has no image AUXCLEAN: set use_auxmedian to false."
        )
    return masks


def _flux_factors(step, search, exposure):
    """Flux factors, given or measured; none where the exposures have equal flux."""
    factors = parameters.told(
        "flux_factor", resolve_flux_factors, step.flux_factor, len(search.data)
    )
    region = _region_mask(step, "flux_factor_regions", exposure)
    if factors is not None:
        return {} if np.all(factors == 1) else {"flux_factors": factors}
    exposures = _without_missing(search)
    measured = measure_flux_factors(
        exposures, _median(exposures), noise=search.noise, region=region
    )
    for line in measured.warnings:
        log.warning(line)
    return {"flux_factors": measured.values, "measured_flux": measured}


def _offsets(step, search):
    """Offsets, given or measured by cross-correlation; none where the exposures are aligned."""
    rows = parameters.offsets(step)
    if rows and len(rows) != len(search.data):
        raise CrstepsInputError(
            f"mm_xy_offsets has {len(rows)} pairs for {len(search.data)} exposures: give [dx, dy] "
            "for each."
        )
    if rows:
        return {"offsets": np.array(rows)}
    if not step.mm_crosscorr_region:
        return {}
    measured = parameters.told("mm_crosscorr_region", _measured_offsets, step, search)
    return {"offsets": measured.values, "measured_offsets": measured}


def _measured_offsets(step, search):
    """Offsets by cross-correlation of the exposures, cleaned in the region that is compared."""
    regions = parse_regions(step.mm_crosscorr_region)
    if len(regions) != 1:
        raise ValueError(f"give one region, not {len(regions)}")
    exposures = _without_missing(search)
    check_region(regions[0], exposures[0].shape)
    median, cut = _median(exposures), regions[0].slices
    noise = search.noise.rows(cut[0])
    for image, read_variance, factor in zip(
        exposures,
        np.broadcast_to(noise.read_variance, (len(exposures), *noise.read_variance.shape[1:])),
        np.broadcast_to(noise.poisson_factor, (len(exposures), *noise.poisson_factor.shape[1:])),
        strict=True,
    ):
        image[cut] = detect_pycosmic(
            image[cut],
            read_variance=float(np.median(read_variance)),
            poisson_factor=float(np.median(factor)),
        ).cleaned
    return measure_offsets(median, exposures, regions[0])


def _user_pixels(step, exposure, given):
    """Regions and pixels of the parameters, each named if it is wrong; None without any."""
    names = ("regions_to_be_skipped", *parameters.PIXELS, parameters.REPLACED)
    shape = exposure.data.shape
    if given is not None and len(given.replaced) and not getattr(step, parameters.REPLACED):
        return make_user_pixels(shape, replaced=given.replaced)
    if not any(getattr(step, name) for name in names):
        return None
    flagged, ignored = (_region_mask(step, name, exposure) for name in parameters.PIXELS)
    replaced = getattr(step, parameters.REPLACED)
    parameters.told(parameters.REPLACED, make_user_pixels, shape, replaced=replaced)
    return parameters.told(
        " and ".join(parameters.PIXELS),
        make_user_pixels,
        shape,
        skipped=_region_mask(step, names[0], exposure),
        flagged=flagged,
        ignored=ignored,
        replaced=replaced,
    )


def _region_mask(step, name, exposure):
    """Mask of the regions or pixels of a parameter, or of its DS9 file; None if it is not given."""
    value = getattr(step, name)
    if not value:
        return None
    shape = exposure.data.shape
    if path := parameters.region_file(value):
        return parameters.told(name, read_ds9_regions, path, shape, header=exposure.header)
    if name not in parameters.PIXELS:
        return parameters.told(name, region_mask, value, shape)
    mask = np.zeros(shape, dtype=bool)
    x, y = parameters.told(name, parse_pixels, value, shape).T
    mask[y, x] = True
    return mask


def _without_missing(search):
    """Exposures with NaN for what is missing."""
    return [
        np.where(missing, np.float32(np.nan), image)
        for image, missing in zip(search.data, search.missing, strict=True)
    ]


def _median(exposures):
    """Median of the exposures; NaN where all are missing."""
    return median_of_sorted(sort_exposures(np.stack(exposures)))


def _stack_noise(exposures):
    """Noise of all exposures; numbers that they share are kept once."""
    parts = []
    for name in ("read_variance", "poisson_factor"):
        values = [np.asarray(getattr(e, name), dtype=np.float32) for e in exposures]
        if all(value.ndim == 0 for value in values):
            parts.append(np.array(values).reshape(-1, 1, 1))
        else:
            shape = exposures[0].data.shape
            parts.append(np.stack([np.broadcast_to(value, shape) for value in values]))
    if all(part.shape[1:] == (1, 1) and np.all(part == part[0]) for part in parts):
        parts = [part[:1] for part in parts]
    return ExposureNoise(*parts)
