"""Products of MMCosmicStep: their names, which are checked before any work, and their writing."""

import logging
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table

from crsteps.datamodels.mask_files import SUSPECT
from crsteps.datamodels.naming import set_name, stem
from crsteps.datamodels.products import write_combined, write_flagged, write_masks
from crsteps.errors import CrstepsInputError
from crsteps.framework.output import atomic_path
from crsteps.framework.provenance import write_record
from crsteps.framework.saving import check_products, output_folder
from crsteps.mm_cosmic.diagnostics_step import write_diagnostics
from crsteps.mm_cosmic.features import find_features, problematic_pixels
from crsteps.mm_cosmic.figures_step import Figures, combine_as_told
from crsteps.mm_cosmic.parameters_step import unrecorded
from crsteps.mm_cosmic.report import header_cards

log = logging.getLogger(__name__)

# Combined images in memory at once: the work they share is done once for each group.
_COMBINED_AT_ONCE = 4
# Planes of temporary float32 images per exposure while a block is combined (measured).
_PLANES_TO_COMBINE = 24


class Products:
    """
    Names of all products, which are checked before any work, and their writing.

    Parameters
    ----------
    step : MMCosmicStep
        Says what is wanted and where.
    inputs : path, list, ModelContainer or ModelLibrary
        What the caller gave.
    exposures : sequence of Exposure
        Exposures without their bias.
    """

    def __init__(self, step, inputs, exposures):
        self.step = step
        self.exposures = exposures
        # Gain and read noise were given per ADU, where they were used.
        in_adu = exposures[0].kind == "fits" and np.ndim(exposures[0].read_variance) == 0
        self.unit = exposures[0].header.get("BUNIT", "adu" if in_adu else None)
        self.inputs = [
            f"mm_cosmic: exposure {i} = {Path(e.source).name}, bias {e.bias:g} subtracted"
            for i, e in enumerate(exposures, start=1)
        ]
        self.history = step.make_record().lines(without=unrecorded(step)) + self.inputs
        name = step.search_attr("output_file")
        self.root = stem(name) if name else set_name(inputs, [e.source for e in exposures])
        self.folder = output_folder(step)
        self.flagged = [
            Path(step.make_output_path(basepath=f"{stem(e.source)}.fits")) for e in exposures
        ]
        self._check_names()

    def path(self, suffix):
        """
        Give the path of a product of the whole set.

        Parameters
        ----------
        suffix : str
            End of its name, with extension.

        Returns
        -------
        Path
        """
        return self.folder / f"{self.root}_{suffix}"

    def _check_names(self):
        if self.step.save_flagged and len(set(self.flagged)) < len(self.flagged):
            raise CrstepsInputError(
                f"Several inputs are called {self.exposures[0].source}: rename them, or set "
                "save_flagged to false, for their products would have one name."
            )
        planned = [self.path("crmasks.fits"), *self.flagged]
        planned += [self.path(f"combined_{name}.fits") for name in self.step.combinations]
        given = [e.source for e in self.exposures] + [self.step.crmasks or ""]
        check_products(planned, {Path(name).resolve() for name in given if name})

    def write(self, result, search):
        """
        Write what is wanted, but for flagged JWST models, which the framework saves.

        Parameters
        ----------
        result : crsteps.mm_cosmic.masks.MMCosmicResult
            Result.
        search : crsteps.mm_cosmic.search_step.Search
            How it was found.
        """
        step = self.step
        features = find_features(
            result.mediancr,
            exposure_masks=result.exposure_masks,
            log_probability=result.log_probability,
            lowest=result.lowest,
            median=result.median,
            unit=self.unit,
        )
        if step.save_masks:
            self._write_masks(result, search, features)
        if step.save_table:
            with self._writing("mm_features.ecsv") as path:
                features.write(path, format="ascii.ecsv")
        figures = Figures(step, search, result, unit=self.unit, title=self.root)
        if step.save_figure:
            with self._writing("mm_diagram.png") as path:
                figures.draw_diagram(path)
        if step.save_diagnostics:
            write_diagnostics(self._writing, figures)
        if step.save_flagged and any(e.kind == "fits" for e in self.exposures):
            self._write_flagged(result)
        if step.save_combined:
            self._write_combined(result, search)

    def _provenance(self, exposure):
        """How a product made from an exposure records what was done: JWST models have a place."""
        if exposure.kind == "jwst":
            record = self.step.make_record()
            return {"stamp": lambda model: write_record(model, record), "history": self.inputs}
        return {"history": self.history}

    @contextmanager
    def _writing(self, suffix):
        path = self.path(suffix)
        with atomic_path(path) as aside:
            yield aside
        log.info("Saved %s", path)

    def _write_masks(self, result, search, features):
        masks = {"MEDIANCR": result.mediancr, "MEANCRT": result.meancrt}
        masks |= {f"CRMASK{i + 1}": mask for i, mask in enumerate(result.exposure_masks)}
        masks["MEANCR"] = result.meancr
        missing = [e.missing for e in self.exposures]
        usable = result.equivalence.usable
        problematic = problematic_pixels(result.exposure_masks, missing, usable=usable)
        cards = header_cards(result)
        cards["MMNFEAT"] = (len(features), "connected features in MEDIANCR")
        cards["MMNPROB"] = (len(problematic), "pixels without a clean exposure")
        cards["AUXGAIN"] = (self._auxiliary_gain(search), "factor of AUXCLEAN, e-/ADU if not 1")
        path = write_masks(
            self.path("crmasks.fits"),
            masks,
            images=_images(result, cards["AUXGAIN"][0]),
            tables=_replaced(search.user) | {"FEATURES": features, "PROBLEMATIC": problematic},
            history=self.history,
            cards=cards,
        )
        log.info("Saved %s", path)

    def _auxiliary_gain(self, search):
        """Factor of the cleaned median: it is in electrons where L.A.Cosmic's is wanted so."""
        if not self.step.la_gain_apply or search.method.auxiliaries[:1] != ("lacosmic",):
            return 1.0
        return 1 / float(np.median(search.noise.poisson_factor))

    def _write_flagged(self, result):
        for exposure, path, mask in zip(
            self.exposures, self.flagged, result.exposure_masks, strict=True
        ):
            write_flagged(path, exposure, mask, self.step.flag_bits, **self._provenance(exposure))
            log.info("Saved %s", path)

    def _block_rows(self):
        """Rows that can be combined at once within the memory allowed."""
        row_bytes = 4 * self.exposures[0].data.shape[1] * len(self.exposures)
        rows = self.step.max_memory * 1024**2 / (row_bytes * _PLANES_TO_COMBINE)
        return max(16, int(rows))

    def _write_combined(self, result, search):
        first = self.exposures[0]
        with first.open_model() if first.kind == "jwst" else nullcontext() as model:
            template = replace(first, model=model)
            names = list(self.step.combinations)
            for start in range(0, len(names), _COMBINED_AT_ONCE):
                combined = combine_as_told(
                    self.step,
                    search,
                    result,
                    names[start : start + _COMBINED_AT_ONCE],
                    block_rows=self._block_rows(),
                )
                while combined:
                    name, image = combined.popitem()
                    path = write_combined(
                        self.path(f"combined_{name}.fits"),
                        template,
                        image.data,
                        image.variance,
                        image.n_used,
                        **self._provenance(template),
                        cards=header_cards(result),
                    )
                    log.info("Saved %s", path)


def _images(result, gain):
    """Images beside the masks: what detectors made of the median, codes, and suspect pixels."""
    images = {}
    if result.auxiliary is not None:
        found = result.auxiliary.median
        cleaned = None if found.cleaned is None else np.float32(gain) * found.cleaned
        images |= {
            "AUXCLEAN": cleaned,
            "AUXERR": found.error,
            "AUXSIG": found.significance,
            "AUXPROB": found.probability,
        }
    images["CODES"] = result.codes
    for i, mask in enumerate(result.suspect_masks, start=1):
        images[f"{SUSPECT}{i}"] = mask.astype(np.uint8)
    return {name: image for name, image in images.items() if image is not None}


def _replaced(user):
    """Table of the pixels that were replaced by a local median, as numina-crmasks writes it."""
    if user is None or not len(user.replaced):
        return {}
    columns = user.replaced + np.array([1, 1, 0, 0])
    return {"RPMEDIAN": Table(columns, names=("X_pixel", "Y_pixel", "X_width", "Y_width"))}
