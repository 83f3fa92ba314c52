"""What decides in a study: its sampler, its scheduler, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hpo.search.sampler import Sampler
from hpo.search.scheduler import Scheduler
from hpo.search.schedulers.explore import Explorer
from hpo.spec.sections.goal import StopSpec


@dataclass(frozen=True)
class Rules:
    """What decides in a study. `scheduler_for(trials)` is for a space that runs out early."""

    sampler: Sampler
    scheduler_for: Callable[[int], Scheduler]
    trials: int
    epochs: int
    is_learning: bool
    seeds: int = 1
    explorer: Explorer | None = None  # of a scheduler that has trials replaced
    stop: StopSpec = field(default_factory=StopSpec)
