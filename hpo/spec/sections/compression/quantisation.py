"""The part `compression.weights` of a spec: how many bits a weight of a model has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Knob, ReadWhere, Spec, Static

_Bits = Annotated[int, Field(ge=2, le=8)]
_Time = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Bases = Annotated[int, Field(ge=1, le=4)]
# The bits and the bases of a weight where a spec does not say.
BITS, BASES = 8, 2


_WHOLE = ("integer", "learned")
_ROUNDED = ("integer", "ternary", "bases")
_NAMES = (*_WHOLE, "ternary", "bases")


class LayerBits(Spec):
    """The bits of weights by their layer; those that are left out have `bits`."""

    first: Knob[_Bits | None] = None
    """Those of the layer that reads the examples, or of embeddings."""
    middle: Knob[_Bits | None] = None
    """Those of all layers between the first and the last."""
    last: Knob[_Bits | None] = None
    """Those of the layer that answers."""


class Weights(Spec):
    """Weights between units in few bits; biases and factors of norms keep theirs.

    Training sees the rounded weights from `begin` on. A trial is always judged and saved with them.
    """

    name: Static[Literal["none", "integer", "learned", "ternary", "bases"]] = "none"
    """`integer`: whole numbers, the same on both sides of 0, times a scale. `learned`: the same,
    and the scale is trained. `ternary`: -1, 0 and 1 times a scale. `bases`: a sum of scales, each
    with a sign of its own."""
    bits: Annotated[Knob[_Bits | None], ReadWhere("name", _WHOLE)] = None
    """The bits of each whole number; 8 if left out."""
    layers: LayerBits = LayerBits()
    """Other bits for the first, the middle and the last layers."""
    bases: Annotated[Knob[_Bases | None], ReadWhere("name", ("bases",))] = None
    """How many scales are in the sum of each weight, which has as many bits; 2 if left out."""
    scales: Annotated[Static[Literal["tensor", "channel"]], ReadWhere("name", _NAMES)] = "tensor"
    """`tensor`: one scale for each array of weights. `channel`: one for each unit."""
    begin: Annotated[Knob[_Time | None], ReadWhere("name", _ROUNDED)] = None
    """The share of the training after which it sees the rounded weights; at once if left out. With
    1 only the trained weights are rounded."""


def quantisation_mistakes(weights: Weights) -> Iterator[tuple[tuple[str, ...], str]]:
    """Bits of layers where weights are no whole numbers, as (key path, sentence)."""
    if weights.name not in ("none", *_WHOLE) and weights.layers != LayerBits():
        text = f"gives bits to whole numbers, and the name is {weights.name}: remove it"
        yield ("compression", "weights", "layers"), text
