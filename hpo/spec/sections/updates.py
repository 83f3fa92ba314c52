"""What a spec says about updates: what happens to gradients on their way to the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model

from hpo.spec.marks import Count, Knob, NonNegative, Positive, Spec, Static


class Rates(Spec):
    """Factors of the learning rate of layers, each below the pattern of their names."""

    no_such_key: ClassVar[str] = "is no pattern of layers: write one such as head or linears/0"


class Updates(Spec):
    """Changes of gradients and weights beside every optimizer; all off by default."""

    clip_value: Knob[Positive | None] = None
    """Clip each number of the gradient to this size."""
    clip_layer_norm: Knob[Positive | None] = None
    """Clip the gradient of each array of weights to this Euclidean norm."""
    clip_norm: Knob[Positive | None] = None
    """Clip the whole gradient to this Euclidean norm."""
    clip_adaptive: Knob[Positive | None] = None
    """Clip the gradient of each unit to this share of the norm of its weights; not the head's."""
    centralize: Static[bool] = False
    """Whether the gradient of each unit's weights loses its mean."""
    noise: Knob[NonNegative] = 0.0
    """Add normal noise to gradients: its variance at the first step, which falls."""
    weight_noise: Knob[NonNegative] = 0.0
    """Take each gradient at weights with normal noise of this standard deviation."""
    accumulate: Knob[Count | None] = None
    """Average the gradients of this many batches, then update once."""
    sam_radius: Knob[NonNegative] = 0.0
    """Take the gradient this far uphill (SAM), towards flat minima; a step costs twice as much."""
    sam_adaptive: Static[bool] = False
    """Whether `sam_radius` counts in sizes of each weight (ASAM)."""
    lookahead: Knob[Count | None] = None
    """After this many updates, go back to a point between the weights then and now."""
    lookahead_share: Knob[Annotated[float, Field(gt=0, le=1)] | None] = None
    """How far from then to now that point is; 0.5 if left out."""
    update_share: Knob[Annotated[float, Field(gt=0, le=1)] | None] = None
    """Change a random share of the units at each step, which is block-coordinate descent."""
    decay_on: Static[Literal["all", "kernels"]] = "all"
    """Which weights `weight_decay` and `l1` shrink: all, or no biases and no factors of norms."""
    l1: Knob[NonNegative] = 0.0
    """An L1 penalty by a proximal step, which makes weights exactly 0."""
    max_norm: Knob[Positive | None] = None
    """Scale the weights into each unit to this norm at most, after each step."""
    spectral_norm: Knob[Positive | None] = None
    """Scale kernels so that their largest singular value is this at most, after each step."""
    freeze: Annotated[Static[tuple[str, ...]], Field(strict=False)] = ()
    """Patterns of the layers that keep their weights and their optimizer state, such as convs or
    linears/0."""
    rates: Rates = Rates()
    """Factors of the learning rate by patterns of layers, such as `{head: 10.0}`; those of several
    patterns are multiplied."""

    @property
    def gradients(self) -> int:
        """How many gradients a step takes."""
        return 1 if self.sam_radius == 0 else 2


def rates_class(names: frozenset[str]) -> type[Updates]:
    """The class of a section `updates` whose `rates` have these patterns of layers."""
    return _rates_class(frozenset(name for name in names if _can_be_field(name)))


@cache
def _rates_class(names: frozenset[str]) -> type[Updates]:
    fields: Any = dict.fromkeys(sorted(names), (Knob[NonNegative], 1.0))
    rates: Any = create_model("Rates", __base__=Rates, __doc__=Rates.__doc__, **fields)
    own: Any = {"rates": (rates, rates())}
    return create_model("Updates", __base__=Updates, __doc__=Updates.__doc__, **own)


def _can_be_field(name: str) -> bool:
    # A space divides paths at dots, and no layer's name has one.
    return "." not in name and not name.startswith("_") and not hasattr(Rates, name)


def update_mistakes(updates: Updates) -> Iterator[tuple[tuple[str, ...], str]]:
    """Numbers of what is off in the updates, as (key path, sentence)."""
    if updates.lookahead_share is not None and updates.lookahead is None:
        text = "is a number of updates.lookahead, which is off: write it, or remove this"
        yield ("updates", "lookahead_share"), text
