"""Warm start: trials of earlier studies and of an earlier space, as a sampler sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from statistics import fmean, pstdev
from typing import TypeAlias

from hpo.search.memory import Converted
from hpo.search.results.comparing import comparable_losses
from hpo.search.sampler import Sampler
from hpo.space import RangeMove
from hpo.trial import HParam, HParams, Trial, TrialState

# Mean and deviation.
Scale: TypeAlias = tuple[float, float]

# The fewest results from which a scale is taken.
_FEWEST = 3


@dataclass(frozen=True)
class EarlierStudy:
    """Trials of an earlier study, translated to this one's space and epochs.

    They have as many values as this study has objectives, if it has several. Where the study
    `is_comparable`, its losses and values mean the same as this study's.
    """

    trials: tuple[Trial, ...]
    is_comparable: bool


@dataclass(frozen=True)
class WarmStart:
    """What a study's sampler starts with.

    `points` are known points, tried first; `studies` are earlier ones. `translated` holds, by
    number, the hparams in the present space of trials from an earlier space; None for a trial that
    lies outside it. `moves` gives the moves of ranges so far, and `record` stores another.
    """

    points: tuple[HParams, ...] = ()
    studies: tuple[EarlierStudy, ...] = ()
    translated: Mapping[int, HParams | None] = field(default_factory=dict)
    moves: Callable[[], Sequence[RangeMove]] = tuple
    record: Callable[[RangeMove], None] = lambda _: None


class Translated:
    """A sampler that sees every trial in the terms of the present space.

    `hparams_of` translates the hparams of a trial. A trial that lies outside the present space
    (None) appears as pruned, without hparams or losses: it keeps its number, and the sampler learns
    nothing from it.
    """

    def __init__(self, sampler: Sampler, hparams_of: Callable[[Trial], HParams | None]) -> None:
        self._sampler = sampler
        self._hparams_of = hparams_of
        self._translated = Converted(self._translate)

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals, from the translated trials."""
        return self._sampler.ask(list(self._translated.of(trials)), n)

    def _translate(self, trial: Trial) -> Trial:
        hparams = self._hparams_of(trial)
        if hparams is None:
            return Trial(trial.number, {}, TrialState.PRUNED)
        return trial if hparams is trial.hparams else replace(trial, hparams=hparams)


class WarmStarted:
    """A sampler that sees trials of earlier studies before those of its own.

    Losses of another problem are moved to the mean and the deviation of this study's, as soon as
    three trials have any. The values of each of several objectives are moved alike.

    Source: Yogatama and Mann 2014, "Efficient transfer learning method for automatic hyperparameter
    tuning" (AISTATS; responses are standardised within each data set).
    """

    def __init__(self, sampler: Sampler, studies: Sequence[EarlierStudy]) -> None:
        self._sampler = sampler
        self._studies = studies
        self._count = sum(len(study.trials) for study in studies)
        self._renumbered = Converted(self._renumber)

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals, from the earlier trials and these."""
        targets = _scales(trials)
        known = [
            trial
            for study in self._studies
            for trial in (study.trials if study.is_comparable else _on_scale(study.trials, targets))
        ]
        earlier = [replace(trial, number=number) for number, trial in enumerate(known)]
        return self._sampler.ask([*earlier, *self._renumbered.of(trials)], n)

    def _renumber(self, trial: Trial) -> Trial:
        return replace(trial, number=trial.number + self._count)


def _scales(trials: Sequence[Trial]) -> list[Scale | None]:
    """The scale of the trials' losses, then that of each objective's values if there are any."""
    alive = [trial for trial in trials if trial.state is not TrialState.DIVERGED]
    full = [trial for trial in trials if trial.is_full and trial.values]
    # A broken constraint says nothing about how good a trial is in one objective.
    columns = zip(
        *([replace(t, losses=(value,), violation=0.0) for value in t.values] for t in full),
        strict=True,
    )
    return [_scale(alive), *map(_scale, columns)]


def _scale(trials: Sequence[Trial]) -> Scale | None:
    """Mean and deviation of the expected losses of trials, None for fewer than three.

    By `comparable_losses`, so that neither an early stop nor one loss of 1e9 sets the scale.
    """
    losses = list(comparable_losses(trials).values())
    return (fmean(losses), pstdev(losses)) if len(losses) >= _FEWEST else None


def _on_scale(trials: Sequence[Trial], targets: Sequence[Scale | None]) -> list[Trial]:
    of_losses, *of_values = zip_longest(_scales(trials), targets)
    return [
        replace(
            trial,
            losses=tuple(_moved(loss, *of_losses) for loss in trial.losses),
            values=tuple(
                _moved(value, *scales)
                for value, scales in zip(trial.values, of_values, strict=False)
            ),
        )
        for trial in trials
    ]


def _moved(value: float, own: Scale | None, target: Scale | None) -> float:
    """A value on another scale: its mean if all values were equal on their own."""
    if own is None or target is None:
        return value
    return target[0] + ((value - own[0]) * target[1] / own[1] if own[1] else 0.0)
