"""The scheduler `optuna`: after each epoch, a pruner of Optuna's decides whether a trial stops."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hpo.search.memory import Remembered
from hpo.search.optuna_view import ShownTrials
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import in_priority, one_rung, starts
from hpo.spec.sections import pruner as specs
from hpo.spec.sections.scheduler import OptunaPruner
from hpo.trial import Job, Trial, Trials, TrialState

if TYPE_CHECKING:
    import optuna

# HyperbandPruner hashes it.
_STUDY_NAME = "hpo"


def make_optuna(spec: OptunaPruner, epochs: int, trials: int) -> PrunerRule:
    """The scheduler `optuna` of a study."""
    return PrunerRule(spec.pruner, epochs, trials)


@dataclass(frozen=True)
class PrunerRule:
    """Stops a trial once Optuna's pruner says so after its last epoch.

    The pruner is asked again with the present trials. Optuna's storage would hold the rungs that
    they completed; here these follow from their losses. Each
    trial is compared with those that have reached its epoch, so the outcome may depend on the order
    in which results arrive. A pruner may stop every trial; then the study has no winner.

    `HyperbandPruner` gives a trial its bracket by a hash of the study's name and the trial's
    number. The name is always the same here, so that a trial's bracket follows from its number.
    """

    spec: specs.PrunerSpec
    epochs: int
    total: int

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket of one rung: any trial may train in full."""
        return one_rung(self.total, self.epochs)

    @cached_property
    def _asked(self) -> Remembered[_Asked]:
        return Remembered(lambda: _Asked(self.spec, self.epochs))

    @cached_property
    def _rungs(self) -> tuple[int, ...] | None:
        return _rungs(self.spec, self.epochs)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, up to the next epoch that is judged, then starts."""
        stopped = self.eliminated(trials)
        begun = (
            Job(trial.number, self._next_judged(trial.epochs))
            for trial in Trials.of(trials).unfinished
            if trial.epochs < self.epochs and trial.number not in stopped
        )
        first = self._next_judged(0)
        return (*in_priority((), begun), *starts(len(trials), self.total, window, first))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that the pruner would stop."""
        asked = self._asked.of(trials)
        return frozenset(
            trial.number
            for trial in Trials.of(trials).unfinished
            if 0 < trial.epochs < self.epochs and asked.is_stopped(trial)
        )

    def _next_judged(self, epochs: int) -> int:
        later = (rung for rung in self._rungs or (epochs + 1,) if rung > epochs)
        return min(self.epochs, next(later, self.epochs))


class _Asked:
    """A pruner, and the trials as it is shown them.

    Answers are kept while nothing has changed that a pruner compares other trials with: those that
    are complete, and what it has noted.
    """

    def __init__(self, spec: specs.PrunerSpec, epochs: int) -> None:
        import optuna

        self._rungs = _rungs(spec, epochs)
        self._pruner = _make_pruner(spec, epochs)
        self._storage = _JudgedTrials()
        self._study = optuna.load_study(
            study_name=_STUDY_NAME,
            storage=cast("optuna.storages.BaseStorage", self._storage),
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=self._pruner,
        )
        self._shown: list[optuna.trial.FrozenTrial] = []
        self._notes: list[list[_Note]] = []
        self._answers: dict[int, tuple[tuple[float, ...], bool]] = {}

    def see(self, before: Trial | None, after: Trial) -> None:
        number, complete = after.number, TrialState.COMPLETE
        old = self._notes[number] if before else []
        notes = self._noted(after, before.epochs if before else 0, old)
        if notes != old or complete in (before and before.state, after.state):
            self._answers.clear()
        self._notes[number : number + 1] = [notes]
        self._shown[number : number + 1] = [_as_frozen(after, notes)]

    def is_stopped(self, trial: Trial) -> bool:
        """The pruner's answer to the last epoch of one of the trials seen."""
        known = self._answers.get(trial.number)
        if known is None or known[0] != trial.losses:
            known = self._answers[trial.number] = trial.losses, self._ask(trial)
        return known[1]

    def _ask(self, trial: Trial) -> bool:
        """The pruner's answer to the trial's last epoch, as if it were asked for the first time."""
        if self._rungs and trial.epochs not in self._rungs:
            return False
        earlier = [note for note in self._notes[trial.number] if note.epoch < trial.epochs]
        asked = _as_frozen(trial, earlier)
        shown = list(self._shown)
        shown[trial.number] = asked
        self._storage.trials = shown
        return bool(self._pruner.prune(self._study, asked))

    def _noted(self, trial: Trial, begin: int, notes: Sequence[_Note]) -> list[_Note]:
        """What the pruner notes about a trial up to its last epoch, `notes` being those to `begin`.

        Notes follow from the trial's losses alone: the pruner takes them before it compares. So it
        is shown the trial without any other.
        """
        noted = list(notes)
        for epoch in range(begin + 1, trial.epochs + 1):
            if self._rungs is None or epoch in self._rungs:
                asked = _as_frozen(replace(trial, losses=trial.losses[:epoch]), noted)
                self._storage.trials, self._storage.noted = [asked], {}
                self._pruner.prune(self._study, asked)
                noted += [_Note(epoch, key, value) for key, value in self._storage.noted.items()]
        return noted


class _Note(NamedTuple):
    """What a pruner keeps about a trial at an epoch: the rungs that it has completed."""

    epoch: int
    key: str
    value: float


class _JudgedTrials(ShownTrials):
    """What pruners need besides; their notes about a trial are kept until the next trial."""

    def __init__(self) -> None:
        super().__init__([], objectives=1)
        self.noted: dict[str, float] = {}

    def get_best_trial(self, study_id: int) -> optuna.trial.FrozenTrial:
        complete = [trial for trial in self.trials if trial.value is not None]
        if not complete:
            raise ValueError("no trial is complete")  # as Optuna's storages do
        return min(complete, key=lambda trial: (trial.value, trial.number))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.noted[key] = value


def _as_frozen(trial: Trial, notes: Sequence[_Note]) -> optuna.trial.FrozenTrial:
    import optuna

    states = {
        TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
        TrialState.PAUSED: optuna.trial.TrialState.RUNNING,
        TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    }
    return optuna.trial.FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=states.get(trial.state, optuna.trial.TrialState.PRUNED),
        value=trial.losses[-1] if trial.state is TrialState.COMPLETE else None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={note.key: note.value for note in notes},
        intermediate_values=dict(enumerate(trial.losses, start=1)),
    )


def _make_pruner(spec: specs.PrunerSpec, epochs: int) -> optuna.pruners.BasePruner:
    """The pruner of Optuna's that a spec describes, for trials of `epochs`."""
    import optuna

    arguments = spec.model_dump(exclude={"name", "wrapped_pruner"})
    match spec:
        case specs.PatientPruner(wrapped_pruner=wrapped):
            arguments["wrapped_pruner"] = None if wrapped is None else _make_pruner(wrapped, epochs)
        case specs.SuccessiveHalvingPruner():
            arguments["min_resource"] = _least(spec, epochs)
        case specs.HyperbandPruner(max_resource="auto"):
            arguments["max_resource"] = epochs
    with warnings.catch_warnings():
        # Some are still experimental; the user has chosen one.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return cast(
            "optuna.pruners.BasePruner", getattr(optuna.pruners, type(spec).__name__)(**arguments)
        )


def _rungs(spec: specs.PrunerSpec, epochs: int) -> tuple[int, ...] | None:
    """The epochs at which a pruner takes notes: () for none, None where any is possible."""
    if isinstance(spec, specs.PatientPruner):
        wrapped = spec.wrapped_pruner
        return () if wrapped is None or _rungs(wrapped, epochs) == () else None
    if not isinstance(spec, specs.SuccessiveHalvingPruner | specs.HyperbandPruner):
        return ()
    rungs = [_least(spec, epochs)]
    while rungs[-1] < epochs:
        rungs.append(rungs[-1] * spec.reduction_factor)
    return tuple(rungs)


def _least(spec: specs.SuccessiveHalvingPruner | specs.HyperbandPruner, epochs: int) -> int:
    # By default a hundredth of what the first complete trial reports, which is `epochs` here.
    return max(epochs // 100, 1) if spec.min_resource == "auto" else spec.min_resource
