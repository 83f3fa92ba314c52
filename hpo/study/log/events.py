"""The event log of a study: a value for each event, and the state after all events.

The log is the truth about a study. `fold` turns it into a `StudyState`, and a driver keeps that
state up to date with `StudyState.record`. So a running study and a resumed one decide from the
same values.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias

from hpo.errors import DamagedError
from hpo.spec.sections.goal import KNOWN_COSTS, Goal
from hpo.study.log.baseline import Baseline, BaselineKey
from hpo.study.log.damage import UNREADABLE, said
from hpo.study.log.judging import Judging
from hpo.study.log.lineage import Lineage, Segment, trained_by
from hpo.study.log.notes import Engine, Learn, Move, Note, Numbers, Precision
from hpo.trial import Exploit, HParams, Run, Trial, Trials, TrialState, is_finite

Metrics: TypeAlias = Mapping[str, float]
StopReason: TypeAlias = Literal[
    "finished",
    "exhausted",
    "none_found",
    "target",
    "no_improvement",
    "epochs",
    "interrupted",
    "timeout",
    "failed",
]

# The key of a pin that belongs to no program: it says which leaves the study's programs merge.
MERGING = "merging"
_LAST_EPOCH = Judging()


@dataclass(frozen=True, slots=True)
class Propose:
    """A trial begins with these `hparams`; its sampler saw the log up to `history_seq`."""

    kind: ClassVar[str] = "propose"
    hparams: HParams
    history_seq: int


@dataclass(frozen=True, slots=True)
class Report:
    """A trial's validation metrics after `epoch` (1 is the first), in the metrics' own units."""

    kind: ClassVar[str] = "report"
    epoch: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """The metrics of one run of a trial after `epoch`, where a trial has several.

    The trial's own `Report`, the mean, follows once all its runs have reached the epoch.
    """

    kind: ClassVar[str] = "replica"
    epoch: int
    run: Run
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Pause:
    """A trial waits after `epoch`: at a rung, or because its lane was needed."""

    kind: ClassVar[str] = "pause"
    epoch: int


@dataclass(frozen=True, slots=True)
class Promote:
    """A paused trial runs again, up to and including `to_epoch`."""

    kind: ClassVar[str] = "promote"
    epoch: int
    to_epoch: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run's weights after `epoch` lie in `file`, a name in the study's checkpoint folder."""

    kind: ClassVar[str] = "checkpoint"
    epoch: int
    file: str
    sha256: str
    run: Run


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a trial, by the names of `COSTS`; a later value replaces an earlier one."""

    kind: ClassVar[str] = "cost"
    costs: Metrics


@dataclass(frozen=True, slots=True)
class Draw:
    """A trial drew values that its space lacks, such as those of a conditional objective."""

    kind: ClassVar[str] = "draw"
    values: HParams


@dataclass(frozen=True, slots=True)
class End:
    """A trial has ended. `together` lanes trained at once, its own included; 0 if it had none."""

    kind: ClassVar[str] = "end"
    state: TrialState
    together: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """A driver begins or resumes the study; `differences` are sentences for the report."""

    kind: ClassVar[str] = "start"
    driver: Mapping[str, Any]
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """A driver leaves the study."""

    kind: ClassVar[str] = "stop"
    reason: StopReason

    @property
    def is_final(self) -> bool:
        """Whether the study did all the work that its spec asks for."""
        return self.reason not in ("interrupted", "timeout", "failed")


@dataclass(frozen=True, slots=True)
class Pin:
    """The plan that `program` keeps from now on; a later pin of a program replaces it."""

    kind: ClassVar[str] = "pin"
    program: str
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Times:
    """Where the time of this run went so far: seconds by activity, for each of its threads."""

    kind: ClassVar[str] = "times"
    threads: Mapping[str, Mapping[str, float]]


HappeningToTrial: TypeAlias = (
    Report | ReplicaReport | Pause | Promote | Checkpoint | Cost | Draw | End
)
Happening: TypeAlias = (
    Propose | HappeningToTrial | Exploit | Start | Stop | Pin | Note | Times | Baseline
)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to which trial if any, its number in the log, and when."""

    seq: int
    trial: int | None
    time_ms: int
    what: Happening

    @property
    def kind(self) -> str:
        """The word for what happened: `propose`, `report`, ..."""
        return self.what.kind


@dataclass
class _Life:
    """One trial as far as the log goes; lists, because a frozen `Trial` for each report is slow."""

    hparams: HParams
    state: TrialState = TrialState.RUNNING
    losses: list[float] = field(default_factory=list)
    metrics: list[Metrics] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    lineage: Lineage = ()


@dataclass
class StudyState:
    """The study after all events of its log; it changes with every event that a driver records.

    `metrics[n][e - 1]` are trial n's metrics after epoch e, and `replicas[n][run][e - 1]` those of
    one of its runs where there are several. `checkpoints` are the latest of each run, `pins` the
    plan of each program, `drawn` the values that trials got beside their hparams. `proposed_ms` and
    `ended_ms` are times by trial, in the log's order. `ended` lists the trials that have ended,
    in that order, `unfinished` the others. `epochs` counts all reported epochs, those of every run;
    one on a share of the rows counts as much. `baselines` are the latest result of each,
    `baseline_seconds` the CPU time of all attempts. `stop` says why the last driver stopped; it is
    None while a driver is at work.
    """

    goal: Goal
    judging: Judging = _LAST_EPOCH
    seq: int = 0
    epochs: int = 0
    metrics: dict[int, list[Metrics]] = field(default_factory=dict)
    replicas: dict[int, dict[Run, list[Metrics]]] = field(default_factory=dict)
    costs: dict[int, Metrics] = field(default_factory=dict)
    checkpoints: dict[Run, Checkpoint] = field(default_factory=dict)
    pins: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    drawn: dict[int, HParams] = field(default_factory=dict)
    proposed_ms: dict[int, int] = field(default_factory=dict)
    ended_ms: dict[int, int] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    together: dict[int, int] = field(default_factory=dict)
    history_seq: dict[int, int] = field(default_factory=dict)
    unfinished: set[int] = field(default_factory=set)
    starts: list[Event] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    baselines: dict[BaselineKey, Baseline] = field(default_factory=dict)
    baseline_seconds: float = 0.0
    stop: Stop | None = None
    _lives: dict[int, _Life] = field(default_factory=dict, repr=False)
    _numbers: list[int] = field(default_factory=list, repr=False)
    _trials: list[Trial] = field(default_factory=list, repr=False)
    _by_number: dict[int, Trial] = field(default_factory=dict, repr=False)
    _changed: set[int] = field(default_factory=set, repr=False)

    @property
    def trials(self) -> Trials:
        """All trials, by number."""
        for number in sorted(self._changed):
            position = bisect_left(self._numbers, number)
            trial = self._by_number[number] = self._trial(number, self._lives[number])
            known = position < len(self._trials) and self._trials[position].number == number
            self._trials[position : position + known] = [trial]
        self._changed.clear()
        return Trials(self._trials, (self._by_number[number] for number in sorted(self.unfinished)))

    def trial(self, number: int) -> Trial:
        """The trial with this number.

        Raises:
            KeyError: if there is none.
        """
        if number in self._changed:
            return self._trial(number, self._lives[number])
        return self._by_number[number]

    def results(self, number: int) -> Metrics:
        """A trial's metrics after the epoch that judges it, and its costs."""
        life, epoch = self._lives[number], self.judged_epoch(number)
        return {**(life.metrics[epoch - 1] if epoch else {}), **life.costs}

    def judged_epoch(self, number: int) -> int:
        """The epoch that judges a trial, whose weights it keeps; 0 for none."""
        life = self._lives[number]
        if not self.judging.keeps_best or life.state is TrialState.DIVERGED:
            return len(life.metrics)
        return self.judging.kept_epoch(life.losses)

    def has_stopped(self, number: int) -> bool:
        """Whether a trial's own rule of stopping has ended its training."""
        return self.judging.stop_epoch(self._lives[number].losses) is not None

    def lineage(self, number: int) -> Lineage:
        """The training that led to a trial's weights, from their first epoch on."""
        life = self._lives[number]
        return life.lineage or (Segment(number, 0, life.hparams),)

    def line(self, number: int) -> Sequence[Metrics]:
        """The metrics of a trial's weights, epoch by epoch, whichever trial trained them."""
        life = self._lives[number]
        if not life.lineage:
            return life.metrics
        return [
            self.metrics[trained_by(life.lineage, epoch)][epoch - 1]
            for epoch in range(1, len(life.metrics) + 1)
        ]

    def __len__(self) -> int:
        """How many trials there are."""
        return len(self._lives)

    def record(self, what: Happening, trial: int | None, time_ms: int) -> Event:
        """Number and apply a new event; the caller stores the event that this returns."""
        event = Event(self.seq + 1, trial, time_ms, what)
        self.apply(event)
        return event

    def apply(self, event: Event) -> None:
        """Apply one event.

        Raises:
            ValueError: if the event cannot follow those before it.
        """
        if event.seq <= self.seq:
            raise ValueError(f"event {event.seq} comes after event {self.seq}")
        match event.what:
            case Start():
                self.starts.append(event)
                self.stop = None
            case Stop() as stop:
                self.stop = stop
            case Pin(program=program, plan=plan):
                self.pins[program] = plan
            case Move() | Learn() | Numbers() | Precision() | Engine() as note:
                self.notes.append(note)
            case Baseline() as baseline:
                self.baselines[baseline.key] = baseline
                self.baseline_seconds += baseline.seconds
            case Times():
                pass
            case Propose() as propose:
                self._begin(event, propose)
            case Exploit() as exploit:
                self._exploit(event, exploit)
            case what:
                self._advance(event, what)
        self.seq = event.seq

    def _trial(self, number: int, life: _Life) -> Trial:
        goal, violation = self.goal, 0.0
        values: tuple[float, ...] = ()
        if len(goal.objectives) > 1 or goal.constraints:
            results = self.results(number)
            if life.state is not TrialState.COMPLETE:
                # Its final results are not known yet.
                results = {name: results[name] for name in KNOWN_COSTS & results.keys()}
            elif len(goal.objectives) > 1:
                values = goal.values(results)
            violation = goal.violation(results)
        exploited = life.lineage[-1].after if life.lineage else 0
        is_full = life.state is TrialState.COMPLETE
        losses, held = self.judging.judged(life.losses, is_full)
        return Trial(number, life.hparams, life.state, losses, values, violation, exploited, held)

    def _begin(self, event: Event, what: Propose) -> None:
        number = event.trial
        if number is None or number in self._lives:
            raise ValueError(f"event {event.seq} proposes trial {number} again")
        life = _Life(what.hparams)
        self._lives[number] = life
        self.metrics[number] = life.metrics
        self.costs[number] = life.costs
        self.proposed_ms[number] = event.time_ms
        self.history_seq[number] = what.history_seq
        insort(self._numbers, number)
        self.unfinished.add(number)
        self._changed.add(number)

    def _exploit(self, event: Event, what: Exploit) -> None:
        number, source = event.trial, self._lives.get(what.source)
        life = None if number is None else self._lives.get(number)
        if number is None or life is None or source is None or len(source.losses) < what.epoch:
            raise ValueError(f"event {event.seq}: trial {number} cannot go on from {what.source}")
        life.lineage = (*self.lineage(what.source), Segment(number, what.epoch, what.hparams))
        # The diverged trial is active again. Its missing epochs are filled with NaN.
        missed = what.epoch - len(life.metrics)
        life.metrics += [dict.fromkeys(source.metrics[0], math.nan)] * missed
        life.losses += [math.inf] * (what.epoch - len(life.losses))
        life.hparams, life.state = what.hparams, TrialState.PAUSED
        # These depend on the model's shape, which is now the source's; the seconds stay its own.
        life.costs |= {n: value for n, value in source.costs.items() if n in KNOWN_COSTS}
        if self.ended_ms.pop(number, None) is not None:
            # A new list object tells the objects that follow it that a trial has left the list.
            self.ended = [other for other in self.ended if other != number]
            self.unfinished.add(number)
        # Its own checkpoint holds weights that it gave up. The source's serves both trials.
        self.checkpoints.pop(Run(number), None)
        if Run(what.source) in self.checkpoints:
            checkpoint = self.checkpoints[Run(what.source)]
            self.checkpoints[Run(number)] = replace(checkpoint, run=Run(number))
        self._changed.add(number)

    def _advance(self, event: Event, what: HappeningToTrial) -> None:
        number = event.trial
        life = None if number is None else self._lives.get(number)
        if number is None or life is None or life.state.is_finished:
            raise ValueError(f"event {event.seq} ({event.kind}): trial {number} is not under way")
        match what:
            case Report(epoch=epoch, metrics=metrics):
                if epoch != len(life.metrics) + 1:
                    raise ValueError(f"event {event.seq} reports epoch {epoch} of trial {number}")
                life.metrics.append(metrics)
                self.epochs += number not in self.replicas  # replicas are counted one by one
                loss = self.goal.first.loss(metrics[self.goal.first.metric])
                # A diverged trial keeps its metrics, and its losses stop before that epoch. Its
                # accuracy is finite even then, because NaN logits count as a wrong answer.
                if is_finite(metrics) and len(life.losses) == epoch - 1:
                    life.losses.append(loss)
            case ReplicaReport(epoch=epoch, run=run, metrics=metrics):
                reports = self.replicas.setdefault(number, {}).setdefault(run, [])
                if epoch != len(reports) + 1:
                    raise ValueError(f"event {event.seq} reports epoch {epoch} of run {run.key}")
                reports.append(metrics)
                worth = (run.worth(e, self.judging.epochs) for e in (epoch, epoch - 1))
                self.epochs += operator.sub(*worth)
            case Pause():
                life.state = TrialState.PAUSED
            case Promote():
                life.state = TrialState.RUNNING
            case Checkpoint(run=run):
                self.checkpoints[run] = what
            case Cost(costs=costs):
                life.costs.update(costs)
            case Draw(values=values):
                self.drawn[number] = {**self.drawn.get(number, {}), **values}
            case End(state=state, together=together):
                life.state, self.together[number] = state, together
                self.ended_ms[number] = event.time_ms
                self.ended.append(number)
                self.unfinished.discard(number)
        self._changed.add(number)


def fold(
    events: Iterable[Event],
    goal: Goal,
    where: str = "the log",
    judging: Judging = _LAST_EPOCH,
) -> StudyState:
    """The state after all events of a log, which the database `where` holds.

    Raises:
        DamagedError: for an event that cannot follow those before it.
    """
    state = StudyState(goal, judging)
    follow(state, events, where)
    return state


def follow(state: StudyState, events: Iterable[Event], where: str) -> None:
    """Apply the events that the database `where` holds beyond those of the state.

    Raises:
        DamagedError: for an event that cannot follow those before it.
    """
    for event in events:
        try:
            state.apply(event)
        except UNREADABLE as error:
            raise DamagedError(where, f"hpo_events, event {event.seq}: {said(error)}") from error
