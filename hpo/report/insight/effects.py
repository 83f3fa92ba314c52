"""Whether trials with a technique were better than trials without it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal, TypeAlias

from hpo.distributions import Choice
from hpo.space import Dimension, SearchSpace
from hpo.spec.sections.goal import Objective
from hpo.spec.words import shown
from hpo.techniques import TECHNIQUES
from hpo.trial import HParam, Trial

if TYPE_CHECKING:
    import numpy as np

FEWEST_TRIALS = 20
# On each side of a comparison.
_FEWEST_EACH = 5
# Where no trial is at 0, those in this part of the range stand for it.
_NEAR_ZERO = 0.25
# Samplers that learn propose better trials later, so that only trials of about the same time are
# compared.
_BLOCK = 10
_SURE = 0.05

Verdict: TypeAlias = Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Side:
    """The trials with a technique, or those without it: medians of the objective and of the gap."""

    trials: int
    value: float
    gap: float | None


@dataclass(frozen=True)
class Effect:
    """What a technique did; `value` is the choice that it is, `without` what it is compared with.

    `verdict` is on the objective and `gap_verdict` on the gap between the validation and the
    training loss, of which a smaller one is better. `p` and `gap_p` are the chances of such a
    difference if there is none, corrected for the number of comparisons.
    """

    path: str
    value: str
    without: str
    on: Side
    off: Side
    verdict: Verdict
    p: float
    gap_verdict: Verdict | None = None
    gap_p: float | None = None

    @property
    def name(self) -> str:
        """The technique: its leaf, and its value where it is one of several."""
        return _name(self.path, self.value)


@dataclass(frozen=True)
class Effects:
    """The effect of each technique in a space, from `trials` trials after `epochs` epochs.

    `few` are the techniques that too few trials had or lacked. `skipped` says why there are none.
    """

    effects: tuple[Effect, ...] = ()
    few: tuple[str, ...] = ()
    trials: int = 0
    epochs: int = 0
    skipped: str | None = None


def effects_of(
    trials: Sequence[Trial],
    space: SearchSpace,
    goal: Objective,
    gaps: Mapping[int, Sequence[float]],
) -> Effects:
    """The effect of each technique of a space on the objective, and on the gap to training.

    `gaps` are those of each trial, epoch by epoch. Trials are compared after the same number of
    epochs, by the rank sum test of Wilcoxon in blocks of trials proposed one after the other. The
    correction for several comparisons is that of Holm.

    Sources: van Elteren 1960, "On the combination of independent two-sample tests of Wilcoxon";
    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    techniques = [one for dimension in space.dimensions for one in _techniques(dimension)]
    if not techniques:
        return Effects()
    compared, epochs, reason = equal_trials(trials)
    if reason is not None:
        return Effects(skipped=reason)
    found = [_effect(technique, compared, epochs, goal, gaps) for technique in techniques]
    effects = [one for one in found if isinstance(one, Effect)]
    few = tuple(one for one in found if isinstance(one, str))
    return Effects(tuple(_corrected(effects)), few, len(compared), epochs)


def equal_trials(trials: Sequence[Trial]) -> tuple[list[Trial], int, str | None]:
    """The trials to compare, the epochs after which they are compared, and why there are none.

    The epochs are the most that 20 trials have had.
    """
    if any(trial.exploited for trial in trials):
        return [], 0, "hparams changed while trials trained"
    lengths = sorted((trial.epochs for trial in trials if trial.epochs), reverse=True)
    if len(lengths) < FEWEST_TRIALS:
        has = f"{len(lengths)} {'has' if len(lengths) == 1 else 'have'}"
        return [], 0, f"needs {FEWEST_TRIALS} trials with a result; {has} one"
    epochs = lengths[FEWEST_TRIALS - 1]
    return [trial for trial in trials if trial.epochs >= epochs], epochs, None


def rank_sum(values: Sequence[float], has_it: Sequence[bool]) -> tuple[float, float]:
    """By how much the ranks of the values with exceed those without, and its two-sided p-value.

    The values of about ten trials that follow each other make a block. Within it, all assignments
    to the two sides are equally likely if there is no difference. The sum over blocks is close to
    normal.
    """
    import numpy as np

    excess = variance = 0.0
    for part in np.array_split(np.arange(len(values)), max(1, len(values) // _BLOCK)):
        ranks = _ranks(np.asarray([values[place] for place in part]))
        on = np.asarray([has_it[place] for place in part])
        count, with_it = len(part), int(on.sum())
        spread = float(((ranks - ranks.mean()) ** 2).sum()) / (count * (count - 1))
        # Blocks differ in size by one at most, so that their rank sums may be added.
        excess += float((ranks[on] - ranks.mean()).sum())
        variance += with_it * (count - with_it) * spread
    return excess, math.erfc(abs(excess) / math.sqrt(2 * variance)) if variance else 1.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """The ranks from 1 on; equal values share the mean of theirs."""
    import numpy as np

    below = np.sum(values[:, None] > values, axis=1)
    return np.asarray(below + (np.sum(values[:, None] == values, axis=1) + 1) / 2)


@dataclass(frozen=True)
class _Technique:
    """A comparison: `has_it` says of a value whether it is with, without (False), or neither."""

    path: str
    value: str
    without: str
    on: tuple[HParam, ...] | None  # None: all values that are not off
    off: tuple[HParam, ...]
    near: float = 0.0

    def has_it(self, value: HParam, is_near: bool) -> bool | None:
        if _is_among(value, self.off):
            return False
        if is_near and isinstance(value, int | float) and abs(value) <= self.near:
            return False
        return True if self.on is None or _is_among(value, self.on) else None


def _techniques(dimension: Dimension) -> Iterator[_Technique]:
    """The comparisons of a dimension that has a value without the technique."""
    path, distribution = dimension.path, dimension.distribution
    if not isinstance(distribution, Choice):
        if distribution.low == 0:
            near = _NEAR_ZERO * distribution.high
            yield _Technique(path, "", "0", None, (0,), near)
        return
    values = distribution.values
    named = [line.value for line in TECHNIQUES.values() if line.place == path and line.value]
    if named:
        off = tuple(value for value in values if value not in named)
        for value in values if off else ():
            if value in named:
                yield _Technique(path, str(value), ", ".join(map(str, off)), (value,), off)
        return
    off = tuple(value for value in values if value is None or value == 0)  # False is 0, too
    if off and len(off) < len(values):
        yield _Technique(path, "", shown(off[0]), None, off)


def _name(path: str, value: str) -> str:
    return f"{path}: {value}" if value else path


def _is_among(value: HParam, values: Sequence[HParam]) -> bool:
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def _effect(
    technique: _Technique,
    trials: Sequence[Trial],
    epochs: int,
    goal: Objective,
    gaps: Mapping[int, Sequence[float]],
) -> Effect | str:
    """The effect of a technique, its p-values not yet corrected; its name with too few trials."""
    present = [trial for trial in trials if technique.path in trial.hparams]
    at_zero = [t for t in present if _is_among(t.hparams[technique.path], technique.off)]
    is_near = technique.near > 0 and len(at_zero) < _FEWEST_EACH
    sides = [(t, technique.has_it(t.hparams[technique.path], is_near)) for t in present]
    judged = [(trial, side) for trial, side in sides if side is not None]
    has_it = [side for _, side in judged]
    if min(sum(has_it), len(has_it) - sum(has_it)) < _FEWEST_EACH:
        return _name(technique.path, technique.value)
    losses = [trial.losses[epochs - 1] for trial, _ in judged]
    known = [_gap(gaps.get(trial.number, ()), epochs) for trial, _ in judged]
    own = [gap for gap in known if gap is not None]
    on, off = (
        Side(
            has_it.count(side),
            # Adding zero turns -0, the loss of a maximized 0, into 0.
            goal.loss(_median(losses, has_it, side)) + 0.0,
            _median(own, has_it, side) if len(own) == len(known) else None,
        )
        for side in (True, False)
    )
    without = f"[0, {technique.near:.3g}]" if is_near else technique.without
    verdict, p = _compared(losses, has_it)
    found = Effect(technique.path, technique.value, without, on, off, verdict, p)
    if len(own) < len(known):
        return found
    verdict, p = _compared(own, has_it)
    return replace(found, gap_verdict=verdict, gap_p=p)


def _compared(values: Sequence[float], has_it: Sequence[bool]) -> tuple[Verdict, float]:
    """Which side has the smaller values, and the p-value."""
    excess, p = rank_sum(values, has_it)
    return ("better" if excess < 0 else "worse"), p


def _gap(gaps: Sequence[float], epochs: int) -> float | None:
    """The gap after some epochs; of a trial that stopped by its own rule the last one."""
    found = gaps[min(epochs, len(gaps)) - 1] if gaps else math.nan
    return found if math.isfinite(found) else None


def _median(values: Sequence[float], has_it: Sequence[bool], side: bool) -> float:
    return median(value for value, has in zip(values, has_it, strict=True) if has is side)


def _corrected(effects: Sequence[Effect]) -> Iterator[Effect]:
    """The effects with p-values for all comparisons together, by Holm's procedure."""
    every = [(one.p, number, "p") for number, one in enumerate(effects)]
    every += [(p, n, "gap_p") for n, one in enumerate(effects) if (p := one.gap_p) is not None]
    found: dict[tuple[int, str], float] = {}
    least = 0.0
    for place, (p, number, name) in enumerate(sorted(every)):
        least = max(least, min(1.0, p * (len(every) - place)))
        found[number, name] = least
    for number, one in enumerate(effects):
        p, gap_p = found[number, "p"], found.get((number, "gap_p"))
        verdict = one.verdict if p < _SURE else "no difference"
        gap = one.gap_verdict if gap_p is not None and gap_p < _SURE else "no difference"
        gap_verdict = None if gap_p is None else gap
        yield replace(one, verdict=verdict, p=p, gap_verdict=gap_verdict, gap_p=gap_p)
