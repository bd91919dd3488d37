"""Mask the cosmic rays in several equal exposures, and combine the exposures."""

import logging
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from crsteps.datamodels.exposures import open_exposures
from crsteps.datamodels.naming import stem
from crsteps.datamodels.pointing import pointing_difference
from crsteps.datamodels.products import set_flags
from crsteps.errors import CrstepsInputError
from crsteps.framework.step import CrStep
from crsteps.mm_cosmic.figures_step import Figures
from crsteps.mm_cosmic.interactive_step import open_session
from crsteps.mm_cosmic.parameters_step import check, check_packages, to_plain_values
from crsteps.mm_cosmic.products_step import Products
from crsteps.mm_cosmic.report import summary
from crsteps.mm_cosmic.search_step import prepare
from crsteps.mm_cosmic.specification_step import SPEC

log = logging.getLogger(__name__)

# Exposures that point this many pixels apart show different scenes.
DITHER_PIXELS = 0.3


class MMCosmicStep(CrStep):
    """
    Mask pixels that cosmic rays hit in several equal exposures, and combine the exposures.

    Parameters
    ----------
    *args, **kwargs
        As for `stpipe.Step`.
    """

    class_alias = "mm_cosmic"
    multi_exposure = True

    spec = SPEC

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        to_plain_values(self)

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
        check(self)
        if not self.crmasks:
            check_packages(self)
        exposures = _subtract_bias(open_exposures(inputs, **self._reading()))
        self._check_exposures(exposures)
        search = prepare(self, exposures)
        products = Products(self, inputs, exposures) if self.save_results else None
        try:
            _check_overlap(search.missing)
            result = search.run()
            if session := open_session(self):
                search, result = self._discuss(session, search, result)
        except CrstepsInputError:  # the user ended the run
            raise
        except ValueError as error:  # the parameters were checked: it is the data
            log.warning("mm_cosmic is skipped: %s", error)
            return self._flag(inputs, exposures, None)
        for line in summary(result, [Path(e.source).name for e in exposures]):
            log.info(line)
        for line in result.warnings:
            log.warning(line)
        if products is not None:
            products.write(result, search)
        return self._flag(inputs, exposures, result)

    def _discuss(self, session, search, result):
        """Search again as long as the user changes options; ask about features."""
        while changed := session.revise(search, Figures(self, search, result).draw_limit):
            search, result = changed, changed.run()
        if self.verify_cr:
            result = session.verify(result, Figures(self, search, result).draw_feature)
        return search, result

    @classmethod
    def check_values(cls, values):
        """
        Refuse impossible parameters before anything is read.

        Parameters
        ----------
        values : dict
            All parameters.
        """
        check(SimpleNamespace(**values))

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
