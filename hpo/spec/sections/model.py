"""The spec of every model: the leaves that YAML may give it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hpo.spec.marks import Count, Host, Knob, Merge, Share, Sizes, Spec, Static
from hpo.spec.registered import Registered

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
    widths: Annotated[Static[Sizes], Merge.SIZE] = (128, 128)
    """Units of each hidden layer."""
    activation: Annotated[Static[Activation], Merge.BRANCH] = "relu"
    """The function after each hidden layer."""
    norm: Static[Norm] = "none"
    """The normalisation before each activation."""
    init: Host[Init] = "he_normal"
    """The distribution of the first weights."""
    dropout: Knob[Share] = 0.0
    """The chance that a unit is dropped in training."""


class Cnn(Spec):
    """Convolutions with 2x2 max pooling after each, then one dense layer with dropout."""

    name: Literal["cnn"]
    filters: Static[Sizes] = (32, 64)
    """Filters of each convolution."""
    kernel: Static[Annotated[int, Field(ge=1, le=11)]] = 3
    """Height and width of each filter."""
    dense: Annotated[Static[Count], Merge.SIZE] = 128
    """Units of the dense layer."""
    activation: Annotated[Static[Activation], Merge.BRANCH] = "relu"
    """The function after each layer."""
    norm: Static[Norm] = "none"
    """The normalisation before each activation."""
    init: Host[Init] = "he_normal"
    """The distribution of the first weights."""
    dropout: Knob[Share] = 0.0
    """The chance that a unit of the dense layer is dropped in training."""


ModelSpec = Annotated[Any, Registered("model")]
