"""Predict the persistence of earlier exposures by a power law of time, and subtract it."""

import logging
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from crsteps.datamodels.variances import add_variance, unit_of
from crsteps.detector import nisp
from crsteps.errors import CrstepsInputError
from crsteps.framework.crds_access import crds_configured
from crsteps.framework.processes import map_in_processes
from crsteps.framework.provenance import read_records
from crsteps.framework.references import find_reference
from crsteps.framework.step import CrStep
from crsteps.persistence import exposures_step as exposures
from crsteps.persistence import jwst_step as jwst
from crsteps.persistence import products_step as products
from crsteps.persistence.correction import correct_ramp, correct_rates
from crsteps.persistence.correction_result import CorrectionOptions
from crsteps.persistence.history_step import Histories, naming
from crsteps.persistence.model_step import DetectorModel, in_data_units, in_electrons, read_model
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
    prediction : Path or None
        After a run on files of NISP, where the persistence predicted for the last one is.
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

    result = prediction = error_variance = None
    # Set by pipelines: where to write a corrected file of NISP, and the persistence that was
    # predicted for it, that are no products.
    scratch_path = scratch_prediction = None
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
        with Histories(self.history_file, to_be_written=self.save_history) as histories:
            histories.check_detectors({d for exposure in wanted for d in exposure.detectors})
            correct = self._nisp if found[0].kind == "nisp" else self._jwst
            earlier = self._nisp_stimuli if found[0].kind == "nisp" else self._jwst_stimuli
            for is_wanted, group in groupby(found, key=lambda exposure: exposure.wanted):
                if not is_wanted:
                    earlier(list(group), histories)
                    continue
                for exposure in group:
                    done = correct(exposure, histories)
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

    def _jwst_stimuli(self, earlier, histories):
        """Add the stimuli of exposures that are not corrected to the history."""
        for exposure in earlier:
            given = exposure.given
            is_path = isinstance(given, str | Path)
            with self.prepare_output(str(given)) if is_path else nullcontext(given) as model:
                jwst.check(model, exposure.source)
                view = self._view(model, exposure)
                histories.of(view.place.detector, view.place.shape)
                stimulus = self._stimulus(model, exposure.source, view)
            histories.add(view.place.detector, stimulus)

    def _jwst(self, exposure, histories):
        """Correct an exposure, and add it to the history."""
        model, source = self.prepare_output(exposure.given), exposure.source
        jwst.check(model, source)
        if read_records(model).get(self.class_alias, {}).get("status") == "COMPLETE":
            raise CrstepsInputError(exposures.CORRECTED.format(source))
        products.check_names(self, model)
        view = self._view(model, exposure)
        place, start = view.place, view.timing.start
        history = histories.of(place.detector, place.shape)
        stimulus = self._stimulus(model, source, view)  # before anything is subtracted
        histories.check(place.detector, stimulus)
        with naming(source):
            earlier = history.before(start)
            if earlier:
                stimuli = tuple(place.cut(each) for each in earlier)
                shape = model.data.shape[-2:]
                self._correct(model, exposure, view, replace(history, shape=shape, stimuli=stimuli))
            else:
                self._skip(model, exposure)
        histories.record(place.detector, source, start)
        histories.add(place.detector, stimulus)
        return self._finished(model, exposure, "COMPLETE" if earlier else "SKIPPED")

    def _view(self, model, exposure):
        """What is known of the pixels of an exposure."""
        source = exposure.source
        place = jwst.placement_of(model, source)
        gain = jwst.gain_of(
            model, source, given=self.gain, reference=lambda: self._gain_reference(model)
        )
        return _View(exposure.timing, exposure.times(), place, gain, self._model(model, place))

    def _stimulus(self, model, source, view):
        """Stimulus of the whole detector that an exposure is."""
        with naming(source):
            fluence = jwst.fluence_of(
                model, view.timing, view.times, gain=view.gain, saturated_as=self.saturated_as
            )
            stimulus = stimulus_of(
                fluence,
                model=view.known.model,
                source=source,
                end=view.timing.end,
                duration=view.timing.duration,
                channels=view.known.channels,
            )
        return view.place.spread(stimulus)

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

    def _correct(self, model, exposure, view, history):
        """Correct ramps or rates in place, and record it."""
        known, gain = view.known, view.gain
        systematic = known.systematic if self.systematic is None else self.systematic
        options = replace(self._options(), systematic=systematic)
        scaled_model, scaled = in_data_units(known.model, options, gain)
        data = jwst.writable(model)
        before = jwst.mean_rate(data, view.times) * np.float32(gain) if self.save_figures else None
        result, variance = _corrected(
            model,
            data,
            decays=history.decays(scaled_model, view.timing.start, channels=known.channels),
            times=view.times,
            resets=view.timing.resets,
            options=scaled,
        )
        model.data = data
        result = in_electrons(result, options, gain)
        if data.ndim == 4:
            self.error_variance = variance
        if self.update_variance:
            unit = f"{unit_of(model)}/s"  # of ramps; rates have their own arrays
            add_variance(model, variance, extension=ERROR_HDU, unit=unit, comment="of a slope")
        products.set_flags(model, result)
        n_earlier = len(history.stimuli)
        log.info(correction_line(exposure.source, result, n_earlier=n_earlier))
        self.measurements = correction_measurements(result, n_earlier=n_earlier)
        self.record_status(model)
        if self.save_persistence:
            products.save_prediction(self, model, result)
        if self.save_figures:
            products.save_figure(self, model, before, result)

    def _skip(self, model, exposure):
        self._tell_skipped(exposure)
        self.measurements = {}
        self.record_status(model, "SKIPPED")

    def _tell_skipped(self, exposure):
        log.warning(
            "%s is skipped, the data are unchanged: no earlier exposure of %s is known; give "
            "history or history_file",
            exposure.source,
            ", ".join(exposure.detectors),
        )

    def _finished(self, model, exposure, status):
        """Result for an exposure; one of several is written and closed, if that is wanted."""
        values = {name: measured["value"] for name, measured in self.measurements.items()}
        summary = products.CorrectedDetector(exposure.source, exposure.detectors[0], status, values)
        if self.n_wanted == 1 or not self.save_results:
            return products.PersistenceResult((summary,), models=(model,))
        self.finalize_result(model, [])
        path = self.save_model(model, suffix=self.suffix, output_file=model.meta.filename)
        model.close()
        return products.PersistenceResult((summary,), products=(Path(path),))

    # --- files of NISP ----------------------------------------------------------------------

    def _nisp_stimuli(self, earlier, histories):
        """Add the stimuli of exposures that are not corrected to the history."""
        tasks = [task for exposure in earlier for task in self._tasks(exposure, histories)]
        outcomes = map_in_processes(
            process_detector, tasks, jobs=self.jobs, describe=lambda t: f"{t.source} {t.detector}"
        )
        with closing(outcomes):  # whatever fails ends the processes
            for outcome in outcomes:
                histories.add(outcome.detector, outcome.stimulus)

    def _nisp(self, exposure, histories):
        """Correct the detectors of an exposure, and add it to the history."""
        tasks = self._tasks(exposure, histories)
        corrected = [task.detector for task in tasks if task.history.before(task.timing.start)]
        writer = products.NispProducts(self, exposure, corrected)
        self.prediction = writer.prediction
        if not corrected:
            self._tell_skipped(exposure)
        done = writer.make(tasks)
        for detector, (stimulus, _) in done.items():
            histories.record(detector, exposure.source, tasks[0].timing.start)
            histories.add(detector, stimulus)
        summaries = tuple(summary for _, summary in done.values())
        return products.PersistenceResult(summaries, products=tuple(writer.paths()))

    def _tasks(self, exposure, histories):
        """One task for each detector of an exposure."""
        dark = exposure.given
        exposure.times()  # logs what was assumed
        if not self._used:
            path = self._reference(None, "NISP")
            self._used = {name: (path, "NISP") for name in nisp.DETECTORS}
        tasks = []
        for detector in exposure.detectors:
            history = histories.of(detector, dark.shape(detector))
            if exposure.wanted:
                with naming(f"{exposure.source} {detector}"):
                    history.before(exposure.start)  # refused if it is not complete
                histories.check_order(detector, exposure.source, exposure.timing)
            tasks.append(
                DetectorTask(
                    exposure=replace(dark, planes={detector: dark.planes[detector]}),
                    detector=detector,
                    source=exposure.source,
                    timing=exposure.timing,
                    reference=self._used[detector][0],
                    options=self._options(),
                    systematic=self.systematic,
                    electrons_per_adu=self.gain or dark.gain_header or nisp.ELECTRONS_PER_ADU,
                    offset=self.offset,
                    history=history if exposure.wanted else None,
                )
            )
        return tasks


@dataclass(frozen=True)
class _View:
    """What is known of the pixels of an exposure of JWST."""

    timing: object
    times: object
    place: jwst.Placement
    gain: float
    known: DetectorModel


def _corrected(model, data, **what):
    """Correct the data in place; the result and the variance of the rates, in their units."""
    what["usable"] = jwst.usable(model)
    if data.ndim == 4:
        result = correct_ramp(data, **what)
        return result, result.added_variance
    rates = data if data.ndim == 3 else data[np.newaxis]
    variance = np.zeros(rates.shape, np.float32)
    result = correct_rates(rates, variances=variance, noise=jwst.noise(model), **what)
    return result, variance.reshape(data.shape)
