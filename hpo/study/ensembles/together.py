"""Trains the members of an ensemble together, as the trials of a study of their own.

So they are lanes of the programs that they share, on all devices, and what is done survives a stop.
The study lies in the unfinished folder of the ensemble.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hpo.data.dataset import DataSet
from hpo.engine.devices import describe, local_devices
from hpo.engine.mesh import places
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans, choose_plans
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import in_priority, one_rung
from hpo.spec.changes import changing, stages
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.executors.local import local_executor
from hpo.study.executors.messages import DataReference, Executor
from hpo.study.kept.files import KeptTrial, kept_folder
from hpo.study.log.events import End, Pin, Start, Stop, StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver
from hpo.study.loop.keeping import Keeper
from hpo.study.loop.replicas import Replicas
from hpo.study.loop.states import States
from hpo.study.loop.work import Work
from hpo.study.progress import Progress
from hpo.study.signals import StopRequest, stopping_text
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.study.storage.journal import Journal, StudyJournal
from hpo.study.storage.lease import acquire
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.tables import Storage
from hpo.study.surroundings import Surroundings
from hpo.study.train import Ready, fewer_text, plan_of
from hpo.trial import HParam, HParams, Job, Trial, Trials, TrialState

_NAME = "members"
_FILE = "members.db"
# Every training reports it.
_LOSS = Objective(minimize="loss")
_LOOK_SECONDS = 0.1
# The hparams of a trial: the number of its candidate, and a hash of all that its bits depend on.
_TRIAL, _ABOUT = "trial", "about"


@dataclass(frozen=True, eq=False)
class Member:
    """A candidate that is to train, by its number."""

    number: int
    ready: Ready

    @cached_property
    def hparams(self) -> HParams:
        """What names it among the trials."""
        text = json.dumps(self.ready.about(), sort_keys=True)
        return {_TRIAL: self.number, _ABOUT: hashlib.sha256(text.encode()).hexdigest()[:16]}

    @property
    def to_epoch(self) -> int:
        """The epoch after which it ends."""
        train = self.ready.training.train
        return int(train.until or train.epochs)


@dataclass(frozen=True)
class Ended:
    """Where the end of a member is, and the seconds that its training took."""

    kept: KeptTrial
    seconds: float


def can_train_together(members: Sequence[Member]) -> list[Member]:
    """Those that can be trials of one study: of as many runs each, and without a rule to stop.

    Answers of a teacher lie in a data set, of which the reference does not tell. So of data sets
    with the same reference, one is read.
    """
    alike = [one for one in members if not Judging.of(one.ready.training.train, _LOSS).has_rule]
    datas: dict[DataReference, DataSet] = {}
    return [
        one
        for one in alike
        if Replicas.of(one.ready.training) == Replicas.of(alike[0].ready.training)
        and datas.setdefault(one.ready.reference, one.ready.data) is one.ready.data
    ]


def is_begun(folder: Path) -> bool:
    """Whether members have trained together in the unfinished folder of an ensemble."""
    return (folder / _FILE).exists()


def train_together(
    members: Sequence[Member],
    folder: Path,
    around: Surroundings,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
    stop: StopRequest,
) -> dict[int, Ended]:
    """Train members in full; gives the ends of those that did not diverge, by their numbers.

    `folder` is the unfinished one of the ensemble. Once `stop` is set, all states are written, and
    the next call goes on from there.

    Raises:
        HpoError: where another process trains them, or their own code fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder.absolute() / _FILE}"
    with ExitStack() as stack:
        storage = stack.enter_context(Storage.create(url))
        study = storage.find(_NAME) or storage.create_study(_NAME, {"name": _NAME}, 0, {}, "")
        lease = stack.enter_context(acquire(storage, study.id, say=say))
        state = fold(storage.events(study.id), Goal((_LOSS,)), study.where)
        journal = StudyJournal(storage, study.id, state, lease, lambda: None)
        journal.record(Start({"pid": os.getpid()}))
        wanted = {trial.number for _, trial in _trials_of(members, state)}
        for number in sorted(state.unfinished - wanted):
            journal.record(End(TrialState.PRUNED), number)
        crew = _Crew(members, around)
        crew.pin(journal)
        executor = local_executor(crew.places, around.cache, crew.data_of)
        stack.callback(executor.close)
        stop.announce = lambda: stopping_text(executor.compiling(), executor.pools)
        checkpoints = CheckpointFolder.beside(url, _NAME)
        checkpoints.sweep(one.file for one in state.checkpoints.values())
        writer = stack.enter_context(CheckpointWriter(checkpoints))
        count = len(state) + len(members)
        keeper = stack.enter_context(Keeper(kept_folder(url, _NAME), count, crew.provenance))
        every = min(one.ready.experiment.study.checkpoint_seconds for one in members)
        driver = Driver(
            _rules(members, state),
            journal,
            executor,
            States(writer),
            crew.prepare,
            crew.plans,
            every,
            keeper,
        )
        watcher = _Watcher(members, state, driver, executor, watch)
        journal.record(Stop(driver.run(stop.obey, watcher.look)))
        journal.flush()
        watcher.tell()
        crew.tell(state, say)
    return _ends(members, state, url)


def _member_of(members: Sequence[Member], hparams: HParams) -> Member:
    """The member that a trial trains."""
    return next(one for one in members if one.hparams == hparams)


def _trials_of(members: Sequence[Member], state: StudyState) -> list[tuple[Member, Trial]]:
    """The members that have a trial, and that trial; other trials are those of an earlier call."""
    return [
        (one, trial) for trial in state.trials for one in members if one.hparams == trial.hparams
    ]


def _ends(members: Sequence[Member], state: StudyState, url: str) -> dict[int, Ended]:
    """The ends of the members that have trained in full, by their numbers."""
    return {
        one.number: Ended(
            KeptTrial(url, _NAME, trial.number, state.metrics[trial.number]),
            state.costs[trial.number].get("train_seconds", 0.0),
        )
        for one, trial in _trials_of(members, state)
        if trial.is_full
    }


def _rules(members: Sequence[Member], state: StudyState) -> Rules:
    """The rules of the study: each member is a trial, and trains to its own last epoch."""
    scheduler = _ToOwnEnds(members)
    return Rules(
        sampler=scheduler.sampler,
        scheduler_for=lambda _: scheduler,
        trials=len(state) + len(scheduler.sampler.ask(state.trials, len(members))),
        epochs=max(one.to_epoch for one in members),
        is_learning=False,
        replicas=Replicas.of(members[0].ready.training),
        last_epoch=scheduler.last_epoch,
    )


@dataclass(frozen=True)
class _InOrder:
    """The sampler of the study: it proposes the members that have no trial, in their order."""

    members: Sequence[Member]

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        known = [trial.hparams for trial in trials]
        return [dict(one.hparams) for one in self.members if one.hparams not in known][:n]


@dataclass(frozen=True)
class _ToOwnEnds:
    """The scheduler of the study: each trial trains to the last epoch of its member."""

    members: Sequence[Member]

    @property
    def sampler(self) -> _InOrder:
        """What proposes the trials."""
        return _InOrder(self.members)

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket of one rung: no trial is compared with another."""
        return one_rung(len(self.members), max(one.to_epoch for one in self.members))

    def last_epoch(self, hparams: HParams) -> int:
        """The epoch after which the trial of these hparams ends."""
        return _member_of(self.members, hparams).to_epoch

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, then starts."""
        begun = (
            Job(trial.number, self.last_epoch(trial.hparams))
            for trial in Trials.of(trials).unfinished
        )
        new = enumerate(self.sampler.ask(trials, window), start=len(trials))
        later = (Job(number, self.last_epoch(hparams)) for number, hparams in new)
        return (*in_priority((), begun), *later)

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """None, ever."""
        return frozenset()


class _Crew:
    """Makes the work of the members, by the plans with which each would train alone."""

    def __init__(self, members: Sequence[Member], around: Surroundings) -> None:
        devices = local_devices(around.device)
        # `hpo train` takes one device, and bits depend on the lanes that train at once on each.
        self.places = places(devices, is_meshed=False)
        self._platform = str(devices[0].platform)
        self._members, self._compiler = members, Compiler(around.cache)
        known = [one.ready.provenance for one in members]
        self.provenance = Provenance(
            library_versions(),
            describe(devices),
            "",
            {name: sha256 for one in known for name, sha256 in one.code.items()},
            {name: sha256 for one in known for name, sha256 in one.weights.items()},
        )
        self._data = {one.ready.reference: one.ready.data for one in members}
        self._wanted: dict[str, Plan] = {}
        for one in members:
            program = self._work(one).program
            self._wanted.setdefault(program.label, self._plan(one, program))
        self.plans = Plans(next(iter(self._wanted.values())))

    def data_of(self, reference: DataReference) -> DataSet:
        """The data of a member."""
        return self._data[reference]

    def prepare(self, hparams: HParams, number: int) -> Work:
        """The work of a trial."""
        return self._work(_member_of(self._members, hparams))

    def pin(self, journal: Journal) -> None:
        """Note the plan of each program that has none."""
        for label, plan in self._wanted.items():
            if label not in journal.state.pins:
                journal.record(Pin(label, plan.pin()))

    def tell(self, state: StudyState, say: Callable[[str], None]) -> None:
        """Say where the memory was too small for the plan of a program."""
        for label, wanted in self._wanted.items():
            plan = Plan.from_pin(state.pins[label])
            if plan.lanes < wanted.lanes:
                say(fewer_text(plan))

    def _work(self, member: Member) -> Work:
        training, data = member.ready.training, member.ready.data
        of = partial(split, data=data, platform=self._platform, varying=changing(training))
        program, knobs = of(training)
        changes = tuple((after, of(changed)[1]) for after, changed in stages(training))
        return Work(training, program, knobs, member.ready.reference, changes)

    def _plan(self, member: Member, program: Any) -> Plan:
        """The plan of the member alone; lanes that train one after the other may be more."""
        training, pools = member.ready.training, len(self.places)
        plan = plan_of(training, self._platform)
        if plan.form != "map" or training.train.lanes != "auto":
            return plan
        runs = Replicas.of(training).count * len(self._members)
        usual = choose_plans(self._platform, "auto", runs, pools, is_learning=False)
        known = self._compiler.kept_lanes(program)
        return replace(plan, lanes=max(plan.lanes, known or usual.usual.lanes))


class _Watcher:
    """Calls `watch` with the progress of the members, about ten times a second."""

    def __init__(
        self,
        members: Sequence[Member],
        state: StudyState,
        driver: Driver,
        executor: Executor,
        watch: Callable[[Progress], None],
    ) -> None:
        self._members, self._state, self._watch = members, state, watch
        self._driver, self._executor = driver, executor
        self._start, self._due = time.monotonic(), 0.0

    def look(self) -> None:
        """Call `watch`, unless the last call was a moment ago."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _LOOK_SECONDS
            self.tell()

    def tell(self) -> None:
        """Call `watch`."""
        self._watch(self._progress(time.monotonic() - self._start))

    def _progress(self, seconds: float) -> Progress:
        members, found = self._members, _trials_of(self._members, self._state)
        runs = Replicas.of(members[0].ready.training).count
        named = [
            replace(trial, number=one.number, hparams={}) for one, trial in found if trial.epochs
        ]
        return Progress(
            study=f"{members[0].ready.experiment.name}, to join",
            metric=_LOSS.metric,
            trials=len(members),
            states=Counter(trial.state for _, trial in found if trial.epochs),
            epochs=runs * sum(trial.epochs for _, trial in found),
            epochs_total=runs * sum(one.to_epoch for one in members),
            epochs_are_bound=False,
            epochs_a_second=self._driver.epochs_trained / seconds if seconds else 0.0,
            programs=self._executor.program_times().compiled,
            seconds=seconds,
            best=None,
            leader=min(named, key=lambda trial: trial.losses[-1], default=None),
            is_stopping=self._driver.is_stopping,
        )
