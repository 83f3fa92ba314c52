"""Whether the winner of a study under- or overfits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hpo.report.insight.effects import equal_trials
from hpo.trial import Trial

Word: TypeAlias = Literal["overfits", "underfits", "fits"]
# The training and the validation loss after each epoch.
Losses: TypeAlias = Sequence[tuple[float, float]]

# A training loss below this share of the validation loss is that of a model that memorised rows.
_MEMORISED = 0.5
# A validation loss this much above its lowest has risen.
_RISEN = 1.1
# A gap below this share of the validation loss is none.
_NO_GAP = 0.1
# A training loss that falls by this share in the last quarter of the epochs still falls.
_STILL_FALLS = 0.05
# A training loss above this share of the first epoch's has fallen little.
_LITTLE = 0.5


@dataclass(frozen=True)
class Fit:
    """How the winner fits: its losses after its last epoch, and how many of the best trials agree.

    `word` is None where fewer than half of the best quarter of the trials agree, and `skipped` says
    why nothing is known.
    """

    word: Word | None = None
    train_loss: float = math.nan
    loss: float = math.nan
    agree: int = 0
    best: int = 0
    skipped: str | None = None


def fit_of(trials: Sequence[Trial], winner: Trial | None, losses: Mapping[int, Losses]) -> Fit:
    """Whether the winner under- or overfits, as the best quarter of trials of equal epochs do."""
    compared, epochs, reason = equal_trials(trials)
    if reason is not None or winner is None:
        return Fit(skipped=reason or "no trial has trained in full")
    own = word_of(losses.get(winner.number, ()))
    if own is None:
        return Fit(skipped="the training loss is not known")
    ranked = sorted(compared, key=lambda trial: (trial.losses[epochs - 1], trial.number))
    best = ranked[: max(5, len(ranked) // 4)]
    words = [word_of(losses.get(trial.number, ())[:epochs]) for trial in best]
    agree = words.count(own)
    train_loss, loss = losses[winner.number][-1]
    word = own if 2 * agree > len(best) else None
    return Fit(word, train_loss, loss, agree, len(best))


def word_of(losses: Losses) -> Word | None:
    """What the two curves of a training say; None where they cannot be compared.

    It overfits with a training loss below half the validation loss, or if the validation loss has
    risen by a tenth while the training loss fell. It underfits without a gap, while its training
    loss still falls or has fallen little.
    """
    if not losses or not all(map(math.isfinite, losses[-1])) or min(losses[-1]) <= 0:
        return None
    train, validation = losses[-1]
    lowest = min(range(len(losses)), key=lambda epoch: losses[epoch][1])
    has_risen = validation > _RISEN * losses[lowest][1] and train < losses[lowest][0]
    if train < _MEMORISED * validation or has_risen:
        return "overfits"
    before = losses[len(losses) - 1 - len(losses) // 4][0]
    still_falls = train < (1 - _STILL_FALLS) * before
    has_gap = validation - train > _NO_GAP * validation
    if not has_gap and (still_falls or train > _LITTLE * losses[0][0]):
        return "underfits"
    return "fits"
