"""Trains one configuration in full and saves the trained model in a folder: `hpo train`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hpo.data.cache import DataCache
from hpo.data.class_weights import imbalance
from hpo.data.dataset import DataSet
from hpo.data.load import load_whole
from hpo.engine.devices import describe, local_devices
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program, split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.programs.plans import Plan, Plans, choose_plans
from hpo.engine.task_program import AnyProgram, split_task
from hpo.engine.training.ensemble import mean_on_test
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import Progress
from hpo.engine.training.techniques.sampling import check_sampling
from hpo.engine.training.techniques.updates import check_updates
from hpo.errors import HpoError
from hpo.spec.changes import changing, stages
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment, Training, folds_of
from hpo.spec.fill import with_rows
from hpo.spec.marks import with_leaves
from hpo.spec.sections.goal import GRADIENT_NORM, Objective
from hpo.spec.words import count_text
from hpo.study.backends.datasets import DataSets, check_metrics, check_threshold
from hpo.study.backends.own_numbers import decide, decided
from hpo.study.backends.precision import settled_precision
from hpo.study.backends.pretrained import weights_of, with_start
from hpo.study.backends.tasks import check_task, data_of
from hpo.study.log.judging import Judging
from hpo.study.loop.replicas import Replicas, deviation_of, training_of
from hpo.study.refit import Refit, best_epochs, refit
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import check_exported, code_of, tell_code
from hpo.study.surroundings import Surroundings
from hpo.trained.calibration import calibrated
from hpo.trained.card import card_of
from hpo.trained.description import Description
from hpo.trained.save import (
    CARD_FILE,
    MODEL_FILE,
    RunKey,
    SplitMetrics,
    Trained,
    Transforms,
    check_free,
    save_trained,
)
from hpo.trial import Run, is_finite


def train_to_folder(
    experiment: Experiment,
    folder: Path,
    around: Surroundings,
    watch: Callable[[EpochReport], None],
    say: Callable[[str], None],
    stop: StopRequest,
    is_replaced: bool = False,
    is_refit: bool = False,
) -> Trained:
    """Train the configuration of a spec and save the model in `folder` (see `save_trained`).

    With `is_refit`, one model trains on the rows of all folds after the members, for the mean of
    their best epochs, and is saved instead of them.

    `watch` gets every epoch, `say` gets messages for the user. The folder appears when the training
    is over. One that exists is replaced only if `is_replaced` is set.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for a folder in the way, and for data or a model that do not fit.
        DeviceError: where a single lane is too much for the memory.
    """
    check_free(folder, is_replaced)
    if is_refit and folds_of(experiment.training) == 1:
        raise HpoError("--refit: the spec has no data.folds: leave --refit out.")
    start = time.monotonic()
    device = local_devices(around.device)[0]
    use_jax_cache(around.cache)
    training, data = _made_ready(experiment, around, device, say)
    if isinstance(training, Training):
        experiment = settled_precision(experiment, data, device, around.cache, None, say)
        precision = experiment.training.train.precision
        training = with_leaves(training, {"train.precision": precision})
    runs = _Runs(training, data, device.platform, _objective_of(experiment))
    compiler = Compiler(around.cache)
    pool, wanted = Pool(device, compiler), _plan_of(training, device.platform)
    plan = pool.load(runs.program, Plans(_as_kept(wanted, training, compiler, runs.program)), data)
    if plan.lanes < wanted.lanes:
        say(_fewer(plan))
    stop.begin()
    _train(runs, pool, watch, say, lambda epochs: _check_going(stop, epochs, folder))
    model = runs.model(time.monotonic() - start)
    if is_refit:
        whole = load_whole(experiment.training.data, experiment.folder, around.data_home)
        epochs = best_epochs(list(runs.curves))
        one = refit(training, whole, epochs, pool, lambda: _check_going(stop, 0, folder))
        model = _refitted(model, one, whole, time.monotonic() - start)
    _check_going(stop, training.train.epochs, folder)
    stop.end()  # the model is saved whole
    provenance = Provenance(
        library_versions(),
        describe([device]),
        data.fingerprint,
        code_of(training),
        weights_of(experiment),
    )
    return _saved(folder, experiment, model, provenance)


class _Model(NamedTuple):
    """What a training leaves: its result, weights and fitted transforms by run, and its data."""

    trained: Trained
    weights: Mapping[RunKey, Mapping[str, Any]]
    transforms: Transforms
    data: DataSet


def _saved(folder: Path, experiment: Experiment, model: _Model, provenance: Provenance) -> Trained:
    """The result of a training, once its folder is written."""
    trained, weights, transforms, data = model
    # The outputs of a task of one's own mean something to its code alone.
    texts = {}
    if not isinstance(experiment.training, TaskTraining):
        told = Description.of(data)
        card = card_of(experiment.name, told, trained, data.fingerprint)
        texts = {MODEL_FILE: json.dumps(told.to_plain()) + "\n", CARD_FILE: card}
    document = provenance.to_document()
    save_trained(folder, experiment, weights, trained, document, transforms, texts)
    return trained


def _refitted(members: _Model, one: Refit, whole: DataSet, seconds: float) -> _Model:
    """The model that trained on all rows, with what its members tell of validation rows."""
    trained = replace(
        members.trained,
        metrics={**members.trained.metrics, "test": one.test},
        deviations={**members.trained.deviations, "test": None},
        refit_epochs=one.epochs,
        seconds=seconds,
    )
    return _Model(trained, {"all": one.weights}, {"all": whole.transform.to_arrays()}, whole)


def _made_ready(
    experiment: Experiment, around: Surroundings, device: Any, say: Callable[[str], None]
) -> tuple[Any, DataSet]:
    """The training of a spec and its data, once both are known to fit."""
    training: Any = experiment.training
    check_exported(training, is_trusted=around.trusts_code)
    tell_code(training, say)
    datasets = DataSets(experiment.folder, around.data_home, DataCache(around.data_cache))
    if isinstance(training, TaskTraining):
        data = data_of(training, datasets)
        check_task(training, data, device)
        training = with_rows(training, data.train_rows)
    else:
        data = datasets.load(training.data)
        check_metrics("train.metrics", training.train.metrics, data, training.own_metrics)
        check_threshold(training.train.threshold, data)
        numbers = decide(training, data, device.platform, say)
        if numbers is not None and numbers.static:
            say(str(numbers))
        if text := imbalance(data, training.data):
            say(text)
        training = with_rows(decided(experiment, numbers).training, data.train_rows)
        check_sampling(training, data)
        check_updates(training, data)
        training = with_start(training, data, experiment.folder)
    for note in data.notes:
        say(note)
    return training, data


def _train(
    runs: _Runs,
    pool: Pool,
    watch: Callable[[EpochReport], None],
    say: Callable[[str], None],
    check_going: Callable[[int], None],
) -> None:
    """Train all runs, as many at once as there are lanes; fewer lanes where memory runs out."""
    shown = 0
    while runs.waiting:
        try:
            runs.enter(pool)
            while pool.has_work and not runs.have_stopped:
                check_going(shown)
                runs.note(pool.round())
                for report in runs.curve()[shown:]:
                    watch(report)
                    shown = report.epoch
            runs.leave(pool)
        except jax.errors.JaxRuntimeError as error:
            if not is_exhausted(error):
                raise
            say(_fewer(pool.halve()))
            runs.start_over()
    kept = runs.kept_epoch
    if not runs.are_at(kept):
        say(f"Epoch {kept} of {shown} is kept: the weights train again up to it.")
        runs.start_again(kept)
        _train(runs, pool, lambda _: None, say, check_going)


def _objective_of(experiment: Experiment) -> Objective:
    """What judges the epochs: the first objective of a search, else the validation loss."""
    search = experiment.search
    return Objective(minimize="loss") if search is None else search.goal.first


class _Runs:
    """The runs of a training, one for each seed and fold: their reports and final weights."""

    def __init__(self, training: Any, data: DataSet, platform: str, objective: Objective) -> None:
        varying = changing(training)

        def divided(stage: Any) -> tuple[AnyProgram, np.ndarray]:
            if isinstance(stage, TaskTraining):
                return split_task(stage, data, platform)
            return split(stage, data, platform, varying)

        self.program, self._knobs = divided(training)
        self._changes = tuple((after, divided(changed)[1]) for after, changed in stages(training))
        self._replicas = Replicas.of(training)
        runs = self._replicas.runs_of(0)
        self._curves: dict[Run, list[EpochReport]] = {run: [] for run in runs}
        self._weights: dict[Run, Mapping[str, Any]] = {}
        self._tested: dict[Run, Mapping[str, float] | None] = {}
        self._thresholds: dict[RunKey, list[float]] = {}
        self._training, self._data, self._objective = training, data, objective
        self._judging = Judging.of(training.train, objective)
        self._to_epoch: int = getattr(training.train, "until", None) or training.train.epochs
        self._reached: dict[Run, Progress] = {}

    @property
    def have_stopped(self) -> bool:
        """Whether the runs together have stopped by their own rule."""
        return self._judging.has_rule and self._judging.stop_epoch(self._losses()) is not None

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights are kept."""
        if not self._judging.has_rule:
            return self._to_epoch
        losses = self._losses()
        return self._judging.kept_epoch(losses[: self._judging.stop_epoch(losses)])

    def are_at(self, epoch: int) -> bool:
        """Whether the weights of all runs are those after an epoch, or no rule asks for one."""
        return not self._judging.has_rule or {*self._reached.values()} == {Progress(epoch, 0)}

    def start_again(self, to_epoch: int) -> None:
        """Forget all runs, which then train up to an epoch."""
        self._judging, self._to_epoch = Judging(), to_epoch
        self._weights.clear()
        self._reached.clear()
        self.start_over()

    def _losses(self) -> list[float]:
        """The finite losses at the start of the curve."""
        curve = takewhile(lambda report: is_finite(report.metrics), self.curve())
        return [self._objective.loss(one.metrics[self._objective.metric]) for one in curve]

    @property
    def waiting(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self._curves if run not in self._weights]

    @property
    def curves(self) -> Collection[Sequence[EpochReport]]:
        """The reports of each run."""
        return self._curves.values()

    @property
    def transforms(self) -> Transforms:
        """What makes the features: one fit for all runs, or that of the fold of each."""
        if not isinstance(self.program, Program):
            return {}
        if not self._data.folds:
            return {"all": self._data.transform.to_arrays()}
        return {
            self._key(run): self._data.folds[run.fold].transform.to_arrays() for run in self._curves
        }

    def enter(self, pool: Pool) -> None:
        """Put a waiting run into each lane of a pool, which is empty."""
        for index, run in zip(range(pool.lane_count), self.waiting, strict=False):
            own = training_of(run, self._training)
            pool.put(index, run, own, self._knobs, None, self._to_epoch, self._changes)

    def note(self, reports: Sequence[EpochReport]) -> None:
        """Keep the reports of a round.

        Raises:
            CodeError: for a metric of the user's own that fails.
        """
        for report in reports:
            if report.trouble is not None:
                raise report.trouble
            self._curves[report.run].append(report)

    def leave(self, pool: Pool) -> None:
        """Take the runs, which have ended, out of a pool."""
        for index in pool.occupied():
            run, progress = pool.occupant(index)
            self._reached[run] = progress
            self._weights[run] = _kept(pool.program, self._training, pool.take(index))
            test = self._data.members[run.fold].test
            thresholds = pool.thresholds(index)
            self._tested[run] = None if test is None else pool.evaluate(index, test, thresholds)
            if thresholds is not None:
                self._thresholds[self._key(run)] = thresholds.tolist()
            pool.clear(index)

    def start_over(self) -> None:
        """Forget the reports of all runs that have not ended: their lanes are lost."""
        for run in self.waiting:
            self._curves[run].clear()

    def curve(self) -> list[EpochReport]:
        """What judges all runs together, epoch by epoch, as far as each of them is."""
        summary = self._replicas.summary
        return [
            EpochReport(Run(0), epoch, summary([report.metrics for report in reports]))
            for epoch, reports in enumerate(zip(*self._curves.values(), strict=False), start=1)
        ]

    def model(self, seconds: float) -> _Model:
        """What the training leaves, once all runs have ended."""
        by_run = {self._key(run): self._metrics(run) for run in self._curves}
        runs = list(by_run.values())
        deviations = _over_runs(deviation_of, runs) if len(runs) > 1 else {}
        found = _over_runs(self._replicas.summary, runs)
        weights = {self._key(run): self._weights[run] for run in self._curves}
        if self._data.folds and isinstance(self.program, Program):
            members = [self._data.folds[run.fold] for run in self._curves]
            kept = list(weights.values())
            of_mean = mean_on_test(self.program, self._training, kept, members, self._data)
            found = {**found, "test": of_mean or found["test"]}
        calibration = None
        if isinstance(self.program, Program):
            kept = list(weights.values())
            calibration = calibrated(self.program, self._training, kept, self._data)
        trained = Trained(
            found,
            tuple(self.curve()),
            seconds,
            by_run,
            deviations,
            thresholds=self._thresholds,
            classes=self._data.classes,
            temperature=calibration and calibration.temperature,
            calibration=calibration.errors if calibration else {},
        )
        return _Model(trained, weights, self.transforms, self._data)

    def _key(self, run: Run) -> RunKey:
        """The seed of a run, or with folds the name of its files."""
        seed: int = training_of(run, self._training).train.seed
        if not self._data.folds:
            return seed
        return f"fold-{run.fold}" if self._replicas.seeds == 1 else f"seed-{seed}-fold-{run.fold}"

    def _metrics(self, run: Run) -> SplitMetrics:
        last = self._curves[run][-1].metrics
        # Norms of the gradient are those of training, as its loss is.
        validation = {
            name: value
            for name, value in last.items()
            if name != "train_loss" and not name.startswith(GRADIENT_NORM)
        }
        return {"validation": validation, "test": self._tested[run]}


def _kept(program: AnyProgram, training: Any, lane: Any) -> Mapping[str, Any]:
    """What of a lane is kept of a trained model."""
    if not isinstance(program, Program):
        return {"state": lane.state}
    params, variables = own_weights(program, training, lane)
    return {"params": params, "variables": variables}


def _plan_of(training: Training, platform: str) -> Plan:
    """How the runs train: as the spec says, or by the usual plan.

    Plans are not measured here, because the last bits depend on the form.
    """
    runs, form, lanes = Replicas.of(training).count, training.train.form, training.train.lanes
    if form == "auto" or lanes == "auto":
        lanes = runs
    # A spec that gives a form gives its lanes too: bits depend on how many train at once.
    return choose_plans(platform, lanes, runs, 1, is_learning=False, form=form).usual


def _as_kept(plan: Plan, training: Training, compiler: Compiler, program: AnyProgram) -> Plan:
    """The plan with more lanes where the study has compiled the program for more.

    Its code is then in the cache. Under `map` the lanes beside change no bit. A spec that says how
    many lanes train has that many.
    """
    is_free = "auto" in (training.train.form, training.train.lanes)
    kept = compiler.kept_lanes(program) if plan.form == "map" and is_free else 0
    return replace(plan, lanes=max(plan.lanes, kept))


def _fewer(plan: Plan) -> str:
    count = count_text(plan.lanes, "lane")
    bits = ", so the last bits may differ from those of its study" if plan.form == "vmap" else ""
    return f"The memory has run out: training goes on with {count}{bits}."


def _over_runs(
    summary: Callable[[Sequence[Mapping[str, float]]], dict[str, float]],
    by_run: Sequence[SplitMetrics],
) -> SplitMetrics:
    """A summary over the runs of each metric of each split."""
    found: dict[str, Mapping[str, float] | None] = {}
    for name in by_run[0]:
        reports = [report for metrics in by_run if (report := metrics[name]) is not None]
        found[name] = summary(reports) if reports else None
    return found


def _check_going(stop: StopRequest, epochs: int, folder: Path) -> None:
    if stop.obey():
        text = f"stopped after {count_text(epochs, 'epoch')}: {folder} was not written."
        raise StoppedError(text, stop.signal or signal.SIGINT)
