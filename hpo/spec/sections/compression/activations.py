"""The part `compression.activations` of a spec: what layers read and answer while they train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Knob, NonNegative, Spec, Static

_Bits = Annotated[int, Field(ge=2, le=8)]
_Part = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Activations(Spec):
    """The numbers between the layers of a model; as they are by default."""

    name: Static[Literal["integer", "learned"]] = "integer"
    """What decides the levels of `bits`. `integer`: the range of what a layer has read in training.
    `learned`: a step between them, which is trained. Either way, 0 is one of them."""
    bits: Knob[_Bits | None] = None
    """The bits of what dense layers and convolutions read, in training and in answers; float32 if
    left out."""
    top: Knob[_Part | None] = None
    """The share of the units of a layer that answer at each position, by size; others answer 0.
    All if left out."""
    l1: Knob[NonNegative] = 0.0
    """A penalty on the sizes of all activations of a row, after `model.activation`."""


def activation_mistakes(
    activations: Activations, code: str | None, *, may_round: bool = False
) -> Iterator[tuple[tuple[str, ...], str]]:
    """A step between no levels, and what does not change a user's own model, whose `code` is named.

    They are (key path, sentence). With `may_round` bits may come from somewhere else.
    """
    if code is None:
        if activations.name == "learned" and activations.bits is None and not may_round:
            text = "learned trains the step between levels, and bits are left out: give 2 to 8"
            yield ("compression", "activations", "name"), text
        return
    for name, field in Activations.model_fields.items():
        if getattr(activations, name) != field.default:
            text = f"does not work with a model of your own ({code}): remove it"
            yield ("compression", "activations", name), text
