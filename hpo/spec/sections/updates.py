"""What a spec says about updates: what happens to gradients on their way to the optimizer."""

from __future__ import annotations

from hpo.spec.marks import Count, Knob, Positive, Spec


class Updates(Spec):
    """Clipping and accumulation of gradients, the same for every optimizer; all off by default."""

    clip_value: Knob[Positive | None] = None
    """Clip each number of the gradient to this size."""
    clip_layer_norm: Knob[Positive | None] = None
    """Clip the gradient of each array of weights to this Euclidean norm."""
    accumulate: Knob[Count | None] = None
    """Average the gradients of this many batches, then update once."""
