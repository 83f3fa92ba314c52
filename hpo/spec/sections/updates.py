"""What a spec says about updates: what happens to gradients on their way to the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpo.spec.marks import Count, Knob, NonNegative, Positive, Spec
from hpo.spec.registered import needs_of


class Updates(Spec):
    """Clipping, accumulation and sharpness of gradients, the same for every optimizer; all off by
    default.
    """

    clip_value: Knob[Positive | None] = None
    """Clip each number of the gradient to this size."""
    clip_layer_norm: Knob[Positive | None] = None
    """Clip the gradient of each array of weights to this Euclidean norm."""
    clip_norm: Knob[Positive | None] = None
    """Clip the whole gradient to this Euclidean norm."""
    accumulate: Knob[Count | None] = None
    """Average the gradients of this many batches, then update once."""
    sam_radius: Knob[NonNegative] = 0.0
    """Take the gradient this far uphill (SAM), towards flat minima; a step costs twice as much."""

    @property
    def gradients(self) -> int:
        """How many gradients a step takes."""
        return 1 if self.sam_radius == 0 else 2


def update_mistakes(updates: Updates, optimizer: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """What does not go together in the updates and the optimizer, as (key path, sentence)."""
    if updates.clip_norm is not None and getattr(optimizer, "clip_norm", None) is not None:
        text = "does what optimizer.clip_norm does too: remove optimizer.clip_norm"
        yield ("updates", "clip_norm"), text
    if updates.accumulate is not None and "gradient" in needs_of("optimizer", optimizer):
        text = f"averages batches, and {optimizer.name} needs the gradient function of one batch"
        cure = "remove updates.accumulate, or use another optimizer"
        yield ("updates", "accumulate"), f"{text}: {cure}"
