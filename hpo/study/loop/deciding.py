"""The rules of a study: its sampler, its scheduler, its totals and when it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hpo.search.sampler import Sampler
from hpo.search.scheduler import Scheduler
from hpo.search.schedulers.explore import Explorer
from hpo.spec.sections.goal import StopSpec
from hpo.study.loop.replicas import Replicas
from hpo.trial import HParams, Trial


@dataclass(frozen=True)
class Rules:
    """How a study decides. `scheduler_for(trials)` gives the scheduler for that many trials.

    The driver asks for another one where a space runs out early. `last_epoch` gives the epoch after
    which a trial of these hparams ends, where that is not `epochs` for all.
    """

    sampler: Sampler
    scheduler_for: Callable[[int], Scheduler]
    trials: int
    epochs: int
    is_learning: bool
    replicas: Replicas = field(default_factory=Replicas)
    explorer: Explorer | None = None  # for a scheduler that replaces trials
    stop: StopSpec = field(default_factory=StopSpec)
    last_epoch: Callable[[HParams], int] | None = None

    def is_full(self, trial: Trial) -> bool:
        """Whether a trial has had its full budget."""
        full = self.epochs if self.last_epoch is None else self.last_epoch(trial.hparams)
        return trial.epochs == full
