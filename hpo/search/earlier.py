"""What a sampler is shown of trials that its space did not bring forth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from hpo.search.comparing import comparable_losses
from hpo.trial import HParam, HParams, Trial, TrialState

if TYPE_CHECKING:
    from hpo.search.sampler import Sampler

# Results of a study before its losses have a scale.
_FEWEST = 3


class InThisSpace:
    """A sampler that is shown every trial as it is in the space of now.

    `changed` holds what has become of the hparams of trials that are from an earlier space, by
    number. One that lies outside now (None) is shown as pruned, without hparams or losses: it
    keeps its number and tells nothing.
    """

    def __init__(self, sampler: Sampler, changed: Mapping[int, HParams | None]) -> None:
        self._sampler = sampler
        self._changed = changed
        self._shown: dict[int, tuple[Trial, Trial]] = {}

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals, from the trials as they are now."""
        return self._sampler.ask([self._as_now(trial) for trial in trials], n)

    def _as_now(self, trial: Trial) -> Trial:
        if trial.number not in self._changed:
            return trial
        before, shown = self._shown.get(trial.number, (None, trial))
        if before is not trial:
            hparams = self._changed[trial.number]
            if hparams is None:
                shown = Trial(trial.number, {}, TrialState.PRUNED)
            else:
                shown = replace(trial, hparams=hparams)
            self._shown[trial.number] = (trial, shown)
        return shown


@dataclass(frozen=True)
class Lesson:
    """Trials of another study, in the terms of this one's space and epochs.

    Their losses stand beside this study's where `is_comparable`.
    """

    trials: tuple[Trial, ...]
    is_comparable: bool


class Informed:
    """A sampler that is shown trials of earlier studies before those of its own.

    Losses of another problem are moved to the mean and the deviation of this study's, as soon as
    three trials have any.

    Source: Yogatama and Mann 2014, "Efficient transfer learning method for automatic hyperparameter
    tuning" (AISTATS; responses are standardised within each data set).
    """

    def __init__(self, sampler: Sampler, lessons: Sequence[Lesson]) -> None:
        self._sampler = sampler
        self._lessons = lessons
        self._count = sum(len(lesson.trials) for lesson in lessons)
        self._shown: dict[int, tuple[Trial, Trial]] = {}

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals, from the earlier trials and these."""
        target = _spread(trials)
        known = [
            trial
            for lesson in self._lessons
            for trial in (
                lesson.trials if lesson.is_comparable else _on_scale(lesson.trials, target)
            )
        ]
        earlier = [replace(trial, number=number) for number, trial in enumerate(known)]
        return self._sampler.ask([*earlier, *(self._renumbered(trial) for trial in trials)], n)

    def _renumbered(self, trial: Trial) -> Trial:
        before, shown = self._shown.get(trial.number, (None, trial))
        if before is not trial:
            shown = replace(trial, number=trial.number + self._count)
            self._shown[trial.number] = (trial, shown)
        return shown


def _spread(trials: Sequence[Trial]) -> tuple[float, float] | None:
    """Mean and deviation of the losses to expect of trials, None for fewer than three.

    As `comparable_losses` has them: neither an early stop nor one loss of 1e9 makes a scale.
    """
    alive = [trial for trial in trials if trial.state is not TrialState.DIVERGED]
    losses = list(comparable_losses(alive).values())
    return (fmean(losses), pstdev(losses)) if len(losses) >= _FEWEST else None


def _on_scale(trials: Sequence[Trial], target: tuple[float, float] | None) -> list[Trial]:
    own = _spread(trials)
    if target is None or own is None or own[1] == 0:
        return list(trials)
    factor = target[1] / own[1]
    return [
        replace(t, losses=tuple(target[0] + (loss - own[0]) * factor for loss in t.losses))
        for t in trials
    ]
