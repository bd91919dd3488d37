"""Predict the persistence of earlier exposures by a power law of time, and subtract it."""

import logging
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from crsteps.datamodels.variances import add_variance
from crsteps.detector import nisp
from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import crds_configured
from crsteps.framework.processes import map_in_processes
from crsteps.framework.provenance import read_records
from crsteps.framework.references import find_reference
from crsteps.framework.step import CrStep
from crsteps.persistence import exposures_step as exposures
from crsteps.persistence import products_step as products
from crsteps.persistence.correction import correct_ramp, correct_rates
from crsteps.persistence.correction_result import CorrectionOptions
from crsteps.persistence.history_step import Histories, naming
from crsteps.persistence.model_step import in_data_units, in_electrons, read_model
from crsteps.persistence.report import correction_line, correction_measurements
from crsteps.persistence.sparse_stimulus import stimulus_of
from crsteps.persistence.workers_step import DetectorTask, process_detector

log = logging.getLogger(__name__)

ERROR_HDU = "PERSVAR"
"""Extension of ramps with the variance of the error of the subtracted rate of persistence."""

_PACKAGED = {
    "NISP": "persistence-nisp.asdf",
    **dict.fromkeys(("NIRCAM", "NIRISS", "NIRSPEC", "FGS"), "persistence-jwst-nir.asdf"),
}


class PowerLawPersistenceStep(CrStep):
    """
    Predict the persistence of earlier exposures by a power law of time, and subtract it.

    Attributes
    ----------
    result : PersistenceResult or None
        After a run on files of NISP or several exposures, what was done with them.
    error_variance : ndarray of float32, shape (ny, nx), or None
        After a run on ramps, the variance of the rate that was subtracted, in squared units of the
        data per second.
    """

    class_alias = "powerlaw_persistence"
    standard_status = "persistence"
    takes = "an exposure of JWST or NISP, or an association"
    other_suffixes = (*CrStep.other_suffixes, "persistence")
    reference_file_types = ["persistence", "gain"]

    spec = """
        persistence_file = string(default=None)  # Reference file (ASDF) with amplitude and slope; default: CRDS, then a packaged example
        history = force_list(default=None)  # Earlier exposures, or associations of them, in any order
        history_file = string(default=None)  # File (ASDF) with earlier exposures; read if it exists
        save_history = boolean(default=True)  # Add the exposures to history_file
        forget_history = boolean(default=False)  # Drop from history_file what is too weak for later exposures
        combine = option('sum', 'max', default='sum')  # Persistence of several exposures in a pixel adds, or the strongest counts
        minimum_significance = float(min=0, default=1.0)  # Predicted rate over its error below which nothing is subtracted
        systematic = float(min=0, default=None)  # Error of the model as a fraction of the prediction; default: that of the reference
        flag_significance = float(min=0, default=None)  # Significance above which pixels are flagged PERSISTENCE; default: not by significance
        flag_rate = float(min=0, default=0.01)  # Predicted rate (e-/s) above which pixels are flagged PERSISTENCE
        bad_significance = float(min=0, default=None)  # Significance above which pixels are flagged DO_NOT_USE; default: not by significance
        bad_rate = float(min=0, default=None)  # Predicted rate (e-/s) above which pixels are flagged DO_NOT_USE; default: none are
        saturated_as = option('level', 'extrapolated', default='level')  # Fluence of saturated pixels: saturation level of the reference, or by the time of saturation
        gain = float(min=1e-6, default=None)  # Electrons in a unit of the data (DN, ADU); default: from references, the header or the instrument
        offset = float(default=1024.0)  # Value (ADU) of NISP images without signal
        update_variance = boolean(default=True)  # Add the variance of what was subtracted
        jobs = integer(min=1, default=1)  # Processes that work at the same time, one detector of NISP each
        save_persistence = boolean(default=False)  # Write the predicted persistence, its error and flags
        save_figures = boolean(default=False)  # Draw images before and after
        skip = boolean(default=True)  # In a pipeline, do without this step; alone it always runs
    """  # noqa: E501

    result = error_variance = None
    # Set by pipelines: where to write a corrected file of NISP that is not a product.
    scratch_path = None
    n_wanted = 1

    def process(self, given):
        """
        Correct one exposure, or all science exposures of an association.

        Parameters
        ----------
        given : path, JwstDataModel, list, ModelContainer or ModelLibrary
            Ramps, rates of integrations or a rate image of JWST, a file of NISP, or a set of them,
            which are corrected in the order of time, each with those before it.

        Returns
        -------
        JwstDataModel or PersistenceResult
            For one exposure of JWST the corrected model; else what was done.
        """
        self.result, self.error_variance, self.measurements = None, None, {}
        found = exposures.find_exposures(given, self.history or [], name_of=self._name_of)
        wanted = [exposure for exposure in found if exposure.wanted]
        self.n_wanted = len(wanted)
        self._used, self._last_start = {}, found[-1].start
        self._options()  # are told to be wrong before any work
        summaries, models, paths = [], [], []
        with Histories(self.history_file) as histories:
            histories.check_detectors({d for exposure in wanted for d in exposure.detectors})
            correct = self._nisp if found[0].kind == "nisp" else self._jwst
            for exposure in found:
                done = correct(exposure, histories)
                if not exposure.wanted:
                    continue
                summaries += done.detectors
                paths += done.products
                models += done.models
            if self.save_history:
                histories.save(forget=self._forget if self.forget_history else None)
        if self.n_wanted == 1 and models:
            return models[0]
        self.result = products.PersistenceResult(tuple(summaries), tuple(paths), tuple(models))
        return self.result

    def _name_of(self, name):
        return self.remove_suffix(name)[0]

    def _options(self):
        if self.forget_history and not self.history_file:
            raise CrstepsInputError("forget_history needs a history: set history_file.")
        return CorrectionOptions(
            combine=self.combine,
            systematic=self.systematic or 0.0,
            minimum_significance=self.minimum_significance,
            flag_significance=self.flag_significance,
            flag_rate=self.flag_rate,
            bad_significance=self.bad_significance,
            bad_rate=self.bad_rate,
        )

    def _reference(self, model, instrument):
        """Path of the reference file."""
        found = find_reference(
            self,
            model,
            "persistence",
            parameter="persistence_file",
            packaged=_PACKAGED.get(instrument),
        )
        if found.source == "packaged":
            log.warning(
                "%s is an example and no calibration: set persistence_file to a reference of your "
                "detectors",
                found.path.name,
            )
        return found.path

    def _forget(self, history):
        """History without what is too weak after the last exposure."""
        path, instrument = self._used[history.detector]
        known = read_model(
            path, detector=history.detector, instrument=instrument, shape=history.shape
        )
        with naming(history.detector):
            return history.forgotten(known.model, self._last_start, channels=known.channels)

    # --- exposures of JWST ------------------------------------------------------------------

    def _jwst(self, exposure, histories):
        """Correct an exposure if that is wanted, and add its stimulus to the history."""
        with self._opened(exposure) as model:
            source = exposure.source
            done = exposure.wanted and read_records(model).get(self.class_alias, {}).get("status")
            exposures.check_jwst(model, source, corrected=done == "COMPLETE")
            if exposure.wanted:
                products.check_products(self, model)
            timing, times = exposures.timing_of(model)
            place = exposures.placement_of(model, source)
            known = self._model(model, place)
            gain = exposures.gain_of(
                model, source, given=self.gain, reference=lambda: self._gain_reference(model)
            )
            history = histories.of(place.detector, place.shape)
            with naming(source):
                fluence = exposures.jwst_fluence(
                    model, timing, times, gain=gain, saturated_as=self.saturated_as
                )
                stimulus = stimulus_of(
                    fluence,
                    model=known.model,
                    source=source,
                    end=timing.end,
                    duration=timing.duration,
                    channels=known.channels,
                )
                if exposure.wanted:
                    earlier = history.before(timing.start)
                    if earlier:
                        cut = replace(
                            history,
                            shape=tuple(model.data.shape[-2:]),
                            stimuli=tuple(place.cut(each) for each in earlier),
                        )
                        summary = self._correct(model, exposure, cut, known, timing, times, gain)
                    else:
                        summary = self._skip(model, exposure)
            if not exposure.wanted:
                histories.add(place.detector, place.spread(stimulus))
                return None
            histories.record(place.detector, source, timing.start)
            histories.add(place.detector, place.spread(stimulus))
            return self._finished(model, summary)

    @contextmanager
    def _opened(self, exposure):
        """Model of an exposure; one that is history alone is closed again."""
        given = exposure.given
        if exposure.wanted:
            yield self.prepare_output(given)
        elif isinstance(given, str | Path):
            with self.prepare_output(str(given)) as model:
                yield model
        else:
            yield given

    def _model(self, model, place):
        """Model of the pixels that the exposure shows."""
        instrument = str(model.meta.instrument.name or "").upper()
        if place.detector not in self._used:
            self._used[place.detector] = self._reference(model, instrument), instrument
        path, _ = self._used[place.detector]
        return read_model(
            path,
            detector=place.detector,
            instrument=instrument,
            shape=place.shape,
            window=place.window,
        )

    def _gain_reference(self, model):
        """Path of the gain reference that is given or that CRDS has; None for neither."""
        if not (getattr(self, "override_gain", None) or crds_configured()):
            return None
        try:
            return find_reference(self, model, "gain").path
        except CrstepsInputError:
            if getattr(self, "override_gain", None):
                raise
            return None

    def _correct(self, model, exposure, history, known, timing, times, gain):
        """Correct ramps or rates in place, and record it."""
        systematic = known.systematic if self.systematic is None else self.systematic
        options = replace(self._options(), systematic=systematic)
        scaled_model, scaled = in_data_units(known.model, options, gain)
        data = _writable(model)
        is_ramp = data.ndim == 4
        before = _mean_rate(data, times) * np.float32(gain) if self.save_figures else None
        what = {
            "decays": history.decays(scaled_model, timing.start, channels=known.channels),
            "times": times,
            "resets": timing.resets,
            "usable": _usable(model),
            "options": scaled,
        }
        if is_ramp:
            result = correct_ramp(data, **what)
            variance = result.added_variance
            self.error_variance = variance
        else:
            rates = data if data.ndim == 3 else data[np.newaxis]
            variance = np.zeros(rates.shape, np.float32)
            result = correct_rates(rates, variances=variance, noise=_noise(model), **what)
            variance = variance.reshape(data.shape)
        model.data = data
        result = in_electrons(result, options, gain)
        if self.update_variance:
            unit = exposures.unit_of(model) + ("/s" if is_ramp else "")
            add_variance(model, variance, extension=ERROR_HDU, unit=unit, comment="for a slope")
        products.set_flags(model, result)
        n_earlier = len(history.stimuli)
        log.info(correction_line(exposure.source, result, n_earlier=n_earlier))
        self.measurements = correction_measurements(result, n_earlier=n_earlier)
        self.record_status(model)
        if self.save_persistence:
            products.save_prediction(self, model, result)
        if self.save_figures:
            products.save_figure(self, model, before, result)
        return self._summary(exposure, "COMPLETE")

    def _skip(self, model, exposure):
        log.warning(
            "%s is skipped, the data are unchanged: no earlier exposure of %s is known; give "
            "history or history_file",
            exposure.source,
            exposure.detectors[0],
        )
        self.measurements = {}
        self.record_status(model, "SKIPPED")
        return self._summary(exposure, "SKIPPED")

    def _summary(self, exposure, status):
        values = {name: measured["value"] for name, measured in self.measurements.items()}
        return products.CorrectedDetector(exposure.source, exposure.detectors[0], status, values)

    def _finished(self, model, summary):
        """Result for an exposure; one of several is written and closed, if that is wanted."""
        if self.n_wanted == 1 or not self.save_results:
            return products.PersistenceResult((summary,), models=(model,))
        self.finalize_result(model, [])
        self.output_use_model = True
        path = self.save_model(model, suffix=self.suffix)
        model.close()
        return products.PersistenceResult((summary,), products=(Path(path),))

    # --- files of NISP ----------------------------------------------------------------------

    def _nisp(self, exposure, histories):
        """Correct the detectors if that is wanted, and add their stimuli to the history."""
        dark = exposure.given
        timing, _ = exposures.timing_of(dark)
        path = next(iter(self._used.values()), (None,))[0] or self._reference(None, "NISP")
        tasks, corrected = [], []
        for detector in exposure.detectors:
            history = histories.of(detector, dark.shape(detector))
            self._used[detector] = path, "NISP"
            with naming(f"{exposure.source} {detector}"):
                if exposure.wanted and history.before(timing.start):
                    corrected.append(detector)
            tasks.append(
                DetectorTask(
                    exposure=replace(dark, planes={detector: dark.planes[detector]}),
                    detector=detector,
                    source=exposure.source,
                    timing=timing,
                    reference=path,
                    options=self._options(),
                    systematic=self.systematic,
                    electrons_per_adu=self.gain or dark.gain_header or nisp.ELECTRONS_PER_ADU,
                    offset=self.offset,
                    history=history if exposure.wanted else None,
                )
            )
        if not exposure.wanted:
            for outcome in map_in_processes(
                process_detector, tasks, jobs=self.jobs, describe=lambda task: task.detector
            ):
                histories.add(outcome.detector, outcome.stimulus)
            return None
        writer = products.NispProducts(self, exposure, corrected)
        if not corrected:
            log.warning(
                "%s is skipped, the data are unchanged: no earlier exposure is known; give "
                "history or history_file",
                exposure.source,
            )
        done = writer.make(tasks)
        for detector, (stimulus, _) in done.items():
            histories.record(detector, exposure.source, timing.start)
            histories.add(detector, stimulus)
        summaries = tuple(summary for _, summary in done.values())
        return products.PersistenceResult(summaries, products=tuple(writer.paths()))


def _writable(model):
    """Data of a model as an array that can be changed in place, in the machine's byte order."""
    data = model.data
    usual = data.dtype in (np.float32, np.float64) and data.dtype.isnative
    if usual and data.flags.c_contiguous and data.flags.writeable:
        return data
    return np.array(data, np.float32, order="C")


def _usable(model):
    """Pixels that are to be corrected: all but reference pixels and those not to be used."""
    name = "pixeldq" if model.data.ndim == 4 else "dq"
    shape = model.data.shape[-2:]
    if not model.hasattr(name):
        return np.ones(shape, bool)
    flags = np.asarray(getattr(model, name))
    unusable = (flags & np.uint32(products.DO_NOT_USE | products.REFERENCE_PIXEL)) != 0
    return ~(unusable.all(axis=0) if unusable.ndim == 3 else unusable)


def _noise(model):
    """Noise of the mean rate, for flags by significance; 0 where it is not known."""
    if not model.hasattr("err"):
        return 0.0
    error = np.asarray(model.err, np.float32)
    if error.ndim == 3:
        error = np.sqrt(np.nanmean(np.square(error), axis=0) / len(error))
    return np.where(np.isfinite(error), error, np.float32(0))


def _mean_rate(data, times):
    """Mean rate of ramps or rates in units of the data per second."""
    if data.ndim == 2:
        return data.copy()
    if data.ndim == 3:
        return data.mean(axis=0)
    if data.shape[1] == 1:
        return data[:, 0].mean(axis=0) / np.float32(times.mean_times[0])
    return (data[:, -1] - data[:, 0]).mean(axis=0) / np.float32(times.integration_time)
