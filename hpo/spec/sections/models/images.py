"""Models for images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, Merge, Share, Sizes, Spec, Static
from hpo.spec.sections.models.parts import (
    Activated,
    Biased,
    InitGain,
    Initial,
    InitScale,
    Normalised,
    Slope,
)


class Cnn(Spec):
    """Convolutions with 2x2 max pooling after each, then one dense layer with dropout."""

    name: Literal["cnn"]
    filters: Static[Sizes] = (32, 64)
    """Filters of each convolution."""
    kernel: Static[Annotated[int, Field(ge=1, le=11)]] = 3
    """Height and width of each filter."""
    dense: Annotated[Static[Count], Merge.SIZE] = 128
    """Units of the dense layer."""
    activation: Activated = "relu"
    norm: Normalised = "none"
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a unit of the dense layer is dropped in training."""
