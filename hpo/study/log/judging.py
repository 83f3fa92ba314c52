"""Which epoch of a training judges it, and when it stops by its own rule.

Both follow from the curve of losses alone, so that a study decides the same after any resume, and
`hpo train` decides as the study did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

from hpo.search.schedulers.patience import halted_at
from hpo.spec.sections.goal import Objective
from hpo.spec.sections.techniques.early_stop import EarlyStop


@dataclass(frozen=True)
class Judging:
    """How a training is judged: `train.keep` and `train.early_stop` of its spec.

    `target` is a loss, smaller is better. The default judges by the last epoch and never stops.
    """

    epochs: int = 0
    keeps_best: bool = False
    patience: int | None = None
    min_delta: float = 0.0
    target: float = -math.inf

    @classmethod
    def of(cls, train: Any, objective: Objective) -> Self:
        """That of a section `train`, as a spec or as a document, for this objective."""
        values = train if isinstance(train, Mapping) else dict(train)
        stop, epochs = values.get("early_stop"), int(values["epochs"])
        keeps_best = values.get("keep") == "best"
        if stop is None:
            return cls(epochs, keeps_best)
        stop = EarlyStop.model_validate(stop)
        target = -math.inf if stop.target is None else objective.loss(stop.target)
        return cls(epochs, keeps_best, stop.patience, stop.min_delta, target)

    @property
    def has_rule(self) -> bool:
        """Whether a training may be judged by another epoch than its last one."""
        return self.keeps_best or self.patience is not None or self.target > -math.inf

    def stop_epoch(self, losses: Sequence[float]) -> int | None:
        """The epoch after which a training stops by its own rule; None if it goes on."""
        stops = [epoch for epoch, loss in enumerate(losses, start=1) if loss <= self.target][:1]
        if self.patience is not None:
            halt = halted_at(losses, self.patience, self.min_delta, min_epochs=1)
            stops += [] if halt is None else [halt]
        return min(stops, default=None)

    def kept_epoch(self, losses: Sequence[float]) -> int:
        """The epoch whose weights are kept: the first of the best ones, or the last; 0 for none."""
        if not self.keeps_best or not losses:
            return len(losses)
        return 1 + min(range(len(losses)), key=losses.__getitem__)

    def judged(self, losses: Sequence[float], is_full: bool) -> tuple[tuple[float, ...], int]:
        """The losses as samplers and schedulers see them, and how many of them were held.

        A training that stopped early keeps its loss up to the last epoch, so it is compared with
        the others wherever they are. With `keep: best` each is the best so far.
        """
        seen = tuple(accumulate(losses, min) if self.keeps_best else losses)
        held = max(0, self.epochs - len(seen)) if is_full and seen else 0
        return seen + seen[-1:] * held, held
