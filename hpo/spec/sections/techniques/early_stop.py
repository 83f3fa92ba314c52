"""The part `train.early_stop`: when a trial stops by its own rule before its last epoch."""

from __future__ import annotations

from pydantic import model_validator

from hpo.spec.marks import Count, NonNegative, Spec
from hpo.spec.sections.goal import Finite


class EarlyStop(Spec):
    """Ends a trial that improves no more, or is good enough; it is then trained in full.

    It follows the first objective of the search, and the validation loss in `hpo train`.
    """

    patience: Count | None = None
    """Stop after this many epochs in a row without an improvement."""
    min_delta: NonNegative = 0.0
    """An improvement is more than this beyond the best value before it."""
    target: Finite | None = None
    """Stop once the metric reaches this value."""

    @model_validator(mode="after")
    def _stops(self) -> EarlyStop:
        if self.patience is None and self.target is None:
            raise ValueError("needs patience or target: write {patience: 10}")
        return self
