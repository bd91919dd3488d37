"""Mask the cosmic rays in several equal exposures, and combine the exposures."""

import logging
from copy import deepcopy
from pathlib import Path

import numpy as np

from crsteps.datamodels.exposures import open_exposures
from crsteps.datamodels.naming import stem
from crsteps.datamodels.pointing import pointing_difference
from crsteps.datamodels.products import dq_value, set_flags
from crsteps.detector.noise import ExposureNoise
from crsteps.errors import CrstepsInputError
from crsteps.framework.step import CrStep
from crsteps.mm_cosmic.combination import COMBINATIONS
from crsteps.mm_cosmic.masks import MMCosmicOptions, find_cosmic_rays
from crsteps.mm_cosmic.products_step import Products
from crsteps.mm_cosmic.report import summary

log = logging.getLogger(__name__)

# Exposures that point this many pixels apart show different scenes.
DITHER_PIXELS = 0.3


class MMCosmicStep(CrStep):
    """Mask pixels that cosmic rays hit in several equal exposures, and combine the exposures."""

    class_alias = "mm_cosmic"
    multi_exposure = True

    spec = """
        gain = force_list(default=None)  # e-/ADU, one or one per exposure; default: from the header
        rnoise = force_list(default=None)  # Read noise in ADU, one or one per exposure; default: from the header
        bias = force_list(default=None)  # Level in ADU that is not light, one or one per exposure; default: 0
        extension = string(default=None)  # Extension of the image in plain FITS files: number, NAME or NAME,version
        gain_keywords = force_list(default=None)  # Header keywords of the gain, in the order tried
        rnoise_keywords = force_list(default=None)  # Header keywords of the read noise, in the order tried
        rnoise_keyword_unit = option('electron', 'adu', default='electron')  # Unit of the read noise in the header
        mm_cr_coincidences = integer(min=2, default=2)  # Exposures that must be hit for the mask of the median
        mm_false_pixels = float(min=1e-6, default=1.0)  # Expected number of false pixels in each mask
        mm_grow_probability = float(min=1e-12, max=0.5, default=0.01)  # Pixels connected with a hit are flagged below this probability
        mm_dilation = integer(min=0, default=0)  # 3x3 dilations of what was detected
        dilation = integer(min=0, default=0)  # 3x3 dilations of the finished masks
        mm_equivalence = option('auto', 'none', default='auto')  # Measure differences between the exposures, or take them to be equal
        combinations = force_list(default=list('mean', 'median', 'min', 'mediancr', 'meancrt', 'meancr', 'meancr2'))  # Combined images to make; default: all seven
        flag_bits = force_list(default=list('JUMP_DET', 'DO_NOT_USE'))  # Data-quality flags set in the exposures; default: JUMP_DET, DO_NOT_USE
        save_masks = boolean(default=True)  # With save_results, write the masks
        save_combined = boolean(default=True)  # With save_results, write the combined images
        save_flagged = boolean(default=True)  # With save_results, write the flagged exposures
        save_figure = boolean(default=True)  # With save_results, write the median-minimum diagram
        save_table = boolean(default=True)  # With save_results, write the table of features
        max_memory = float(min=1.0, default=48.0)  # MiB for the work on one block of rows
        suffix = string(default='mmcr')  # Suffix of the flagged exposures
        output_use_model = boolean(default=True)  # Flagged exposures are named after their inputs
    """  # noqa: E501

    def process(self, inputs):
        """
        Mask the cosmic rays in exposures of one scene.

        Parameters
        ----------
        inputs : path, list, ModelContainer or ModelLibrary
            An association, or paths and models of three or more exposures.

        Returns
        -------
        ModelContainer, ModelLibrary or MMCosmicResult
            JWST exposures with data-quality flags set: the container or library itself in a
            pipeline, else a copy. For plain FITS images, the masks; None if skipped.
        """
        self._check_parameters()
        exposures = _subtract_bias(open_exposures(inputs, **self._reading()))
        self._check_exposures(exposures)
        products = Products(self, inputs, exposures) if self.save_results else None
        data, missing = [e.data for e in exposures], [e.missing for e in exposures]
        noise = _stack_noise(exposures)
        try:
            _check_overlap(missing)
            result = find_cosmic_rays(data, noise=noise, missing=missing, options=self._options())
        except ValueError as error:  # the parameters were checked: it is the data
            log.warning("mm_cosmic is skipped: %s", error)
            return self._flag(inputs, exposures, None)
        for line in summary(result, [Path(e.source).name for e in exposures]):
            log.info(line)
        for line in result.warnings:
            log.warning(line)
        if products is not None:
            products.write(result, noise)
        return self._flag(inputs, exposures, result)

    def _check_parameters(self):
        """Refuse what the specification cannot."""
        unknown = sorted(set(self.combinations) - set(COMBINATIONS))
        if unknown:
            raise CrstepsInputError(
                f"combinations: there is no {unknown[0]!r}; choose from {', '.join(COMBINATIONS)}."
            )
        try:
            dq_value(self.flag_bits)
        except ValueError as error:
            raise CrstepsInputError(f"flag_bits: {error}") from error

    def _reading(self):
        """Arguments of `open_exposures`; lists are left out where the default holds."""
        values = {}
        for name in ("gain", "rnoise", "bias"):
            if given := getattr(self, name):
                values[name] = given if len(given) > 1 else given[0]
        for name in ("gain_keywords", "rnoise_keywords"):
            if given := getattr(self, name):
                values[name] = tuple(given)
        return values | {
            "extension": self.extension,
            "rnoise_keyword_unit": self.rnoise_keyword_unit,
        }

    def _check_exposures(self, exposures):
        if self.mm_cr_coincidences >= len(exposures):
            raise CrstepsInputError(
                f"mm_cr_coincidences = {self.mm_cr_coincidences} with {len(exposures)} exposures: "
                f"set it to less than the number of exposures."
            )
        difference = pointing_difference(exposures)
        if difference > DITHER_PIXELS:
            log.warning(
                "the pointings of the exposures differ by %.1f pixels: dithered exposures show "
                "different scenes, and sources that moved will be flagged as cosmic rays",
                difference,
            )

    def _options(self):
        return MMCosmicOptions(
            cr_coincidences=self.mm_cr_coincidences,
            false_pixels=self.mm_false_pixels,
            grow_probability=self.mm_grow_probability,
            mm_dilation=self.mm_dilation,
            dilation=self.dilation,
            equivalence=self.mm_equivalence,
            block_bytes=int(self.max_memory * 1024**2),
        )

    def _flag(self, inputs, exposures, result):
        """Return the exposures with flags, or the result for plain FITS images."""
        if any(exposure.kind == "fits" for exposure in exposures):
            return result
        if result is None:
            masks, status = np.zeros((len(exposures), *exposures[0].data.shape), bool), "SKIPPED"
        else:
            masks, status = result.exposure_masks, "COMPLETE"
        inputs = _flaggable(inputs, exposures, copy=self.parent is None)
        if hasattr(inputs, "borrow"):
            with inputs:
                indices = inputs.indices_for_exptype("science")
                for index, mask in zip(indices, masks, strict=True):
                    model = inputs.borrow(index)
                    set_flags(model, mask, self.flag_bits)
                    inputs.shelve(model, index)
        else:
            for model, mask in zip(inputs, masks, strict=True):
                set_flags(model, mask, self.flag_bits)
        self.record_status(inputs, status)
        return inputs

    def save_model(self, model, *args, **kwargs):
        """
        Save a flagged exposure, if they are wanted.

        Parameters
        ----------
        model, *args, **kwargs
            As in `stpipe.Step`.

        Returns
        -------
        str or list of str or None
            Path of the file.
        """
        return super().save_model(model, *args, **kwargs) if self.save_flagged else None


def _subtract_bias(exposures):
    """Exposures without the bias level they contain; their own arrays are used."""
    for exposure in exposures:
        if exposure.bias:
            np.subtract(exposure.data, np.float32(exposure.bias), out=exposure.data)
    return exposures


def _check_overlap(missing):
    """Refuse exposures of which no two have a common pixel."""
    seen = np.zeros(missing[0].shape, dtype=bool)
    for pixels in missing:
        if np.any(seen & ~pixels):
            return
        seen |= ~pixels
    raise ValueError("no pixel has two usable exposures")


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


def _flaggable(inputs, exposures, *, copy):
    """Library or container of the exposures: what was given itself, where no copy is wanted."""
    from jwst.datamodels import ModelContainer, ModelLibrary

    if isinstance(inputs, ModelContainer | ModelLibrary) and not copy:
        return inputs
    if isinstance(inputs, ModelLibrary):
        models = []
        with inputs:
            for index in range(len(inputs)):
                model = inputs.borrow(index)
                models.append(model.copy())
                inputs.shelve(model, index, modify=False)
        return ModelLibrary(models)
    models = []
    for exposure in exposures:
        with exposure.open_model() as model:
            models.append(model.copy())
        models[-1].meta.filename = f"{stem(exposure.source)}.fits"
    container = ModelContainer(models)
    if isinstance(inputs, ModelContainer):
        container.asn_table = deepcopy(inputs.asn_table)
    return container
