"""The spec of every model: what the registry's entries may be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Host, Knob, Share, Sizes, Spec, Static

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu"]
Init = Literal[
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
]
Norm = Literal["none", "batch", "layer"]


class Mlp(Spec):
    """A multi-layer perceptron: linear, norm, activation, dropout for each width."""

    name: Literal["mlp"]
    widths: Static[Sizes] = (128, 128)
    activation: Static[Activation] = "relu"
    norm: Static[Norm] = "none"
    init: Host[Init] = "he_normal"
    dropout: Knob[Share] = 0.0


class Cnn(Spec):
    """Convolutions with 2x2 max pooling after each, then one dense layer with dropout."""

    name: Literal["cnn"]
    filters: Static[Sizes] = (32, 64)
    kernel: Static[Annotated[int, Field(ge=1, le=11)]] = 3
    dense: Static[Count] = 128
    activation: Static[Activation] = "relu"
    norm: Static[Norm] = "none"
    init: Host[Init] = "he_normal"
    dropout: Knob[Share] = 0.0


ModelSpec = Annotated[Mlp | Cnn, Field(discriminator="name")]
