"""Models for tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Host, Knob, Merge, Positive, Share, Spec, Static
from hpo.spec.sections.models.parts import (
    Activated,
    Biased,
    Dropped,
    Embedding,
    Init,
    InitGain,
    Initial,
    InitScale,
    Normalised,
    Slope,
)


class Mlp(Spec):
    """A multi-layer perceptron: linear, norm, activation, dropout for each width."""

    name: Literal["mlp"]
    widths: Annotated[Static[tuple[Count, ...]], Field(strict=False), Merge.SIZE] = (128, 128)
    """Units of each hidden layer."""
    activation: Activated = "relu"
    norm: Normalised = "none"
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Dropped = 0.0
    embedding: Embedding = "auto"


class Fourier(Spec):
    """Random Fourier features below a linear model: about a kernel machine with an RBF kernel."""

    name: Literal["fourier"]
    features: Static[Count] = 256
    """Random features; more of them come closer to the kernel."""
    bandwidth: Knob[Positive] = 3.0
    """The distance at which the kernel has fallen to 0.61; inputs are scaled by it."""
    init: Host[Init] = "zeros"
    """The distribution of the first weights of the linear model."""
    dropout: Knob[Share] = 0.0
    """The chance that a feature is dropped in training."""
    embedding: Embedding = "auto"
