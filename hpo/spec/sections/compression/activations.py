"""The part `compression.activations` of a spec: what layers read and answer while they train."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.spec.marks import Knob, Spec

_Bits = Annotated[int, Field(ge=2, le=8)]


class Activations(Spec):
    """The numbers between the layers of a model; as they are by default."""

    bits: Knob[_Bits | None] = None
    """The bits of what dense layers and convolutions read, in training and in answers; float32 if
    left out."""
