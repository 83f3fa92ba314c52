"""The privacy that a whole study has spent: what its trials together tell of a training row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpo.engine.training.techniques.accounting import ORDERS, epsilon, step_divergences
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill, with_rows
from hpo.trial import Trials


@dataclass(frozen=True)
class Spent:
    """The `epsilon` at `delta` of all `trials` with privacy; None if one trained without it."""

    epsilon: float | None
    delta: float
    trials: int

    def __str__(self) -> str:
        if self.epsilon is None:
            return "not bounded: a trial trained without clip and noise"
        each = "1 trial" if self.trials == 1 else f"{self.trials:,} trials together"
        return f"epsilon {self.epsilon:.4g} at delta {self.delta:g}, by {each}"


def spent(experiment: Experiment, trials: Trials, rows: int) -> Spent | None:
    """What the epochs of all trials have spent of `rows` training rows; None without privacy.

    Each of a trial's seeds is a training of its own. Divergences of trainings add up, because each
    draws its own rows and noise, whatever the results of others have led a sampler to try.
    """
    training = experiment.training
    if not isinstance(training, Training) or not rows:
        return None
    total, count, is_bounded = np.zeros(len(ORDERS)), 0, True
    for trial in trials:
        if not trial.trained:
            continue
        own = with_rows(fill(training, trial.hparams, trial.number), rows)
        size, noise = own.data.step_rows, own.privacy.noise
        if noise is None:
            is_bounded = False
            continue
        steps = trial.trained * (rows // size) * own.train.seeds
        total += steps * step_divergences(size / rows, noise)
        count += 1
    if not count:
        return None
    delta = training.privacy.delta
    return Spent(epsilon(total, delta) if is_bounded else None, delta, count)
