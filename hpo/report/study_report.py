"""The state of a study, read from its storage: plain values for tables and `--json`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hpo.errors import HpoError, StudyError
from hpo.report.front import Front, front_of
from hpo.report.insight.effects import Effects, effects_of
from hpo.report.insight.fit import Fit, fit_of
from hpo.report.insight.importance import Importance, importance_of
from hpo.report.wording import no_such_trial_text, scheduler_text
from hpo.search.auto import picked
from hpo.spec.experiment import Experiment
from hpo.spec.sections.goal import GRADIENT_NORM, Goal
from hpo.spec.sections.scheduler import budget_of
from hpo.spec.sections.search import SearchSpec
from hpo.study.log.baseline import Baseline
from hpo.study.log.damage import as_damage
from hpo.study.log.events import MERGING, Event, Start, StudyState, fold, follow
from hpo.study.log.judging import Judging
from hpo.study.log.lineage import Lineage, trained_by
from hpo.study.log.ranking import ranking, winner
from hpo.study.log.untrained import Untrained, untrained
from hpo.study.loop.replicas import deviation_of, final_reports
from hpo.study.privacy_spent import Spent, spent
from hpo.study.progress import spent_seconds, state_of, states_of
from hpo.study.storage.lease import driver_of
from hpo.study.storage.stored import (
    as_meant,
    require_names,
    stored_experiment,
    train_as_meant,
)
from hpo.study.storage.tables import Storage, StudyRecord
from hpo.trial import HParams, Trial, Trials, TrialState

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialResult:
    """A trial and its last result.

    `value` is the first objective after `epochs` epochs, in the metric's own units; None without a
    result. `deviation` is its standard deviation among its seeds and folds, if it has several.
    `metrics` are all metrics of the last epoch and the trial's costs; only finite ones.
    `violation` is the sum of what the trial breaks the constraints by.
    """

    number: int
    state: TrialState
    epochs: int
    value: float | None
    hparams: HParams
    deviation: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0


@dataclass(frozen=True)
class Overview:
    """A study in a line; `best` is None until a trial has trained in full.

    `status` is `running`, how the last run ended (`finished`, `exhausted`, `none_found`,
    `interrupted`, `timeout`, `failed`), or `killed` where it recorded no end.
    """

    name: str
    objective: str
    status: str
    trials: int
    trials_total: int
    states: Mapping[TrialState, int]
    epochs: int
    best: TrialResult | None
    created_ms: int


@dataclass(frozen=True)
class Run:
    """One run of a study: start, device, and the `differences` noted when it began."""

    start_ms: int
    device: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class BaselineResult:
    """A baseline in the units of its metrics: those of the goal, on validation and test rows.

    `value` is the first objective on the validation rows. It is None for a baseline that failed,
    because of its `trouble`, or was cut because its time was over. `is_better` says that it beats
    the best trial. It was fitted to `rows` of the `rows_of` training rows.
    """

    name: str
    setting: str
    value: float | None
    metrics: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float
    rows: int
    rows_of: int
    is_better: bool
    is_cut: bool
    trouble: str

    def __str__(self) -> str:
        return f"{self.name} ({self.setting})" if self.setting else self.name


@dataclass(frozen=True)
class StudyReport:
    """All that `hpo show` shows; `curve` is that of the best trial, or of the leading one.

    `curve` and `lineage` follow the weights through the trials that they were copied from.
    `effects` says what techniques did, and `fit` whether the winner under- or overfits.
    `untrained` is set where no trial was trained. `picked` says what `auto` and unset options stand
    for; `notes` tells how ranges moved and what was learnt from other studies. `programs` is None
    where trials are processes, which compile none.
    """

    overview: Overview
    metric: str
    sampler: str
    scheduler: str
    picked: Mapping[str, str]
    epochs_each: int
    constraints: tuple[str, ...]
    stop: str
    untrained: Untrained | None
    baselines: tuple[BaselineResult, ...]
    front: Front | None
    top: tuple[TrialResult, ...]
    curve_of: TrialResult | None
    curve: tuple[float, ...]
    lineage: Lineage
    importance: Importance
    effects: Effects
    fit: Fit
    seconds: float
    joules: float | None
    programs: int | None
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    driver: str | None
    versions: Mapping[str, str]
    privacy: Spent | None = None


@dataclass(frozen=True)
class TrialReport:
    """All that `hpo show --trial` shows: `norms` are those of the gradient, layer by layer, the
    first layer first, after each epoch.
    """

    trial: TrialResult
    metric: str
    curve: tuple[float, ...]
    norms: Mapping[str, tuple[float, ...]]


def overviews(storage: Storage) -> tuple[Overview, ...]:
    """Every study of a storage, oldest first; one that cannot be read is left out and logged."""
    found: list[Overview] = []
    for record in storage.studies():
        try:
            reading = StudyReading(record, storage.events(record.id))
        except StudyError as error:
            _LOG.warning("%s is left out: %s", record.name, error)
        else:
            found.append(overview_of(storage, reading))
    return tuple(found)


def study_report(storage: Storage, name: str, top: int) -> StudyReport:
    """The study of that name, with its `top` best trials.

    Raises:
        StudyError: if there is none; the message lists those that there are.
    """
    record = storage.study(name)
    events = storage.events(record.id)
    reading = StudyReading(record, events)
    experiment = stored_experiment(record, storage.where)
    overview = overview_of(storage, reading)
    ranked = ranking(reading.trials)
    shown = ranked[0] if ranked else None
    lineage = reading.state.lineage(shown.number) if shown else ()
    losses = {trial.number: reading.losses(trial) for trial in reading.trials}
    gaps = {number: [b - a for a, b in epochs] for number, epochs in losses.items()}
    return StudyReport(
        overview=overview,
        metric=reading.search.goal.first.metric,
        sampler=reading.search.sampler.name,
        scheduler=scheduler_text(reading.search.scheduler),
        picked=picked(reading.search, experiment.space, reading.epochs),
        epochs_each=reading.epochs,
        constraints=tuple(map(str, reading.search.constraints)),
        stop=str(reading.search.stop),
        untrained=untrained(reading.state),
        baselines=reading.baselines,
        front=front_of(reading.trials, reading.search.goal),
        top=tuple(reading.result(trial) for trial in ranked[:top]),
        curve_of=reading.result(shown) if shown else None,
        curve=reading.curve(shown, lineage) if shown else (),
        lineage=lineage,
        importance=importance_of(reading.trials, experiment.space),
        effects=effects_of(reading.trials, experiment.space, reading.search.goal.first, gaps),
        fit=fit_of(reading.trials, winner(reading.trials), losses),
        seconds=spent_seconds(events),
        joules=_joules(reading.state),
        programs=None if experiment.are_processes else len(reading.state.pins.keys() - {MERGING}),
        runs=tuple(_runs(reading.state)),
        notes=tuple(str(note) for note in reading.state.notes),
        driver=driver_of(storage, record.id),
        versions=record.provenance.get("versions", {}),
        privacy=_spent(experiment, record, reading.trials),
    )


def trial_report(storage: Storage, name: str, number: int) -> TrialReport:
    """One trial of the study of that name.

    Raises:
        HpoError: if there is no such study, or it has no such trial.
    """
    record = storage.study(name)
    reading = StudyReading(record, storage.events(record.id))
    state = reading.state
    if number not in state.metrics:
        raise HpoError(no_such_trial_text(name, state, number))
    trial, lineage = state.trial(number), state.lineage(number)
    epochs = state.line(number)[: trial.trained]
    prefix = f"{GRADIENT_NORM}/"
    layers = [name for name in (epochs[0] if epochs else {}) if name.startswith(prefix)]
    return TrialReport(
        reading.result(trial),
        reading.search.goal.first.metric,
        reading.curve(trial, lineage),
        {name.removeprefix(prefix): tuple(one[name] for one in epochs) for name in layers},
    )


def _joules(state: StudyState) -> float | None:
    """The energy of all trials; None where nothing counted it."""
    counted = [costs["energy_joules"] for costs in state.costs.values() if "energy_joules" in costs]
    return sum(counted) if counted else None


def _spent(experiment: Experiment, record: StudyRecord, trials: Trials) -> Spent | None:
    return spent(experiment, trials, record.provenance.get("private_rows", 0))


def as_json(report: StudyReport | TrialReport | Overview) -> dict[str, Any]:
    """A report as plain values."""
    return asdict(report)


class StudyReading:
    """A study's record and the state that its log adds up to.

    Raises:
        StudyError: if the spec has names that are unknown here, or this version cannot read it.
    """

    def __init__(self, record: StudyRecord, events: Sequence[Event]) -> None:
        self.record = record
        try:
            self.search = SearchSpec.model_validate(as_meant(record.document)["search"])
            train = train_as_meant(record.document)
            folds = (record.document.get("data") or {}).get("folds") or 1
            self.epochs, self.runs_each = int(train["epochs"]), int(train.get("seeds", 1)) * folds
            judging = Judging.of(train, self.search.goal.first)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            require_names(record)
            raise StudyError(
                f"study '{record.name}' was stored by hpo {record.hpo_version} with a spec that "
                f"this version cannot read: use hpo {record.hpo_version}."
            ) from error
        self.state = fold(events, self.search.goal, record.where, judging)
        with as_damage(record.where, f"hpo_events, study '{record.name}'"):
            _ = self.state.trials  # results that lack a metric of an objective

    def take_in(self, events: Sequence[Event]) -> None:
        """Apply the events that were stored since the last ones."""
        follow(self.state, events, self.record.where)

    @property
    def trials(self) -> Trials:
        """All trials, by number."""
        return self.state.trials

    @property
    def best(self) -> TrialResult | None:
        """The winner so far; None until a trial has trained in full and keeps the constraints."""
        best = winner(self.trials)
        return self.result(best) if best else None

    @property
    def baselines(self) -> tuple[BaselineResult, ...]:
        """The baselines, the best one first."""
        best = winner(self.trials)
        return baseline_results(self.state.baselines.values(), self.search.goal, best)

    def result(self, trial: Trial) -> TrialResult:
        """A trial in the units of its metrics."""
        loss = self.search.goal.first.loss
        # Adding zero turns -0, the loss of a maximized 0, into 0.
        value = loss(trial.losses[-1]) + 0.0 if trial.losses else None
        # A diverged trial that copied another's weights has no result of its own yet.
        value = None if value is not None and math.isinf(value) else value
        of_seeds = final_reports(self.state, trial.number, self.state.judged_epoch(trial.number))
        metric = self.search.goal.first.metric
        results = self.state.results(trial.number)
        return TrialResult(
            trial.number,
            state_of(self.state, trial),
            trial.trained,
            value,
            {**trial.hparams, **self.state.drawn.get(trial.number, {})},
            deviation_of(of_seeds)[metric] if of_seeds else None,
            # Only finite numbers, because JSON has no others.
            {name: number for name, number in results.items() if math.isfinite(number)},
            trial.violation,
        )

    def losses(self, trial: Trial) -> list[tuple[float, float]]:
        """The training and the validation loss after each epoch; NaN where one is not known."""
        line = self.state.line(trial.number)[: self.state.judged_epoch(trial.number)]
        return [(one.get("train_loss", math.nan), one.get("loss", math.nan)) for one in line]

    def curve(self, trial: Trial, lineage: Lineage) -> tuple[float, ...]:
        """The first objective of a trial's weights after each epoch, the first one first."""
        name, metrics = self.search.goal.first.metric, self.state.metrics
        epochs = range(1, trial.trained + 1)
        return tuple(metrics[trained_by(lineage, e)][e - 1][name] + 0.0 for e in epochs)


def baseline_results(
    baselines: Iterable[Baseline], goal: Goal, best: Trial | None
) -> tuple[BaselineResult, ...]:
    """Baselines in the units of the goal's metrics, the best one first; `best` is the winner."""

    def of_goal(metrics: Mapping[str, float]) -> dict[str, float]:
        found = {name: metrics[name] for name in goal.metrics if name in metrics}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def loss(metrics: Mapping[str, float]) -> float:
        value = metrics.get(goal.first.metric, math.nan)
        return goal.first.loss(value) if math.isfinite(value) else math.inf

    return tuple(
        BaselineResult(
            one.name,
            one.setting,
            of_goal(one.metrics).get(goal.first.metric),
            of_goal(one.metrics),
            of_goal(one.test),
            one.seconds,
            one.rows,
            one.rows_of,
            is_better=best is not None and loss(one.metrics) < best.losses[-1],
            is_cut=one.is_cut,
            trouble=one.trouble,
        )
        for one in sorted(baselines, key=lambda one: (loss(one.metrics), one.is_cut))
    )


def overview_of(storage: Storage, reading: StudyReading) -> Overview:
    """A study in a line."""
    record, goal, state = reading.record, reading.search.goal, reading.state
    if state.stop is not None:
        status = str(state.stop.reason)
    else:
        status = "running" if driver_of(storage, record.id) else "killed"
    states = states_of(state)
    return Overview(
        name=record.name,
        objective=", ".join(map(str, goal.objectives)),
        status=status,
        trials=sum(states.values()),
        trials_total=reading.search.trials,
        states=states,
        epochs=_epochs_of(reading),
        best=reading.best,
        created_ms=record.created_ms,
    )


def _epochs_of(reading: StudyReading) -> int:
    """The epochs of all trials and runs; on shares of the rows or pixels, what they are worth."""
    if budget_of(reading.search.scheduler) != "epochs":
        return reading.state.epochs
    return sum(trial.trained for trial in reading.trials) * reading.runs_each


def _runs(state: StudyState) -> list[Run]:
    return [
        Run(event.time_ms, str(event.what.driver.get("device", "")), event.what.differences)
        for event in state.starts
        if isinstance(event.what, Start)
    ]
