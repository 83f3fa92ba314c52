"""The spec of every model: the leaves that YAML may give it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from hpo.registry import DATASETS, READERS
from hpo.spec.marks import (
    Count,
    Host,
    Knob,
    Merge,
    NeedsWhere,
    Positive,
    ReadWhere,
    Share,
    Sizes,
    Spec,
    Static,
)
from hpo.spec.registered import Registered, needs_of

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu", "sigmoid", "softplus"]
Init = Literal[
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
    "normal",
    "uniform",
    "zeros",
]
Norm = Literal["none", "batch", "layer"]
# Its statistics are those of a whole batch, and of layers that are there.
_BATCH_NORM = NeedsWhere("batch", ("whole batch", "same depth"))
_NOT_ZEROS = ReadWhere("init", tuple(name for name in get_args(Init) if name != "zeros"))


class Mlp(Spec):
    """A multi-layer perceptron: linear, norm, activation, dropout for each width."""

    name: Literal["mlp"]
    widths: Annotated[Static[tuple[Count, ...]], Field(strict=False), Merge.SIZE] = (128, 128)
    """Units of each hidden layer."""
    activation: Annotated[Static[Activation], Merge.BRANCH] = "relu"
    """The function after each hidden layer."""
    norm: Annotated[Static[Norm], _BATCH_NORM] = "none"
    """The normalisation before each activation."""
    bias: Static[bool] = True
    """Whether the layers before the head add a bias."""
    slope: Annotated[Knob[Share | None], ReadWhere("activation", ("leaky_relu",))] = None
    """The slope of `leaky_relu` below zero; 0.01 if left out."""
    init: Host[Init] = "he_normal"
    """The distribution of the first weights."""
    init_scale: Annotated[Host[Positive | None], _NOT_ZEROS] = None
    """A factor on that distribution; for `normal` the deviation, for `uniform` the bound (0.05)."""
    init_gain: Annotated[Host[Literal["none", "auto"]], _NOT_ZEROS] = "none"
    """`auto` scales the first weights by the activation's gain: tanh 5/3, relu the root of 2."""
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
    norm: Annotated[Static[Norm], _BATCH_NORM] = "none"
    """The normalisation before each activation."""
    bias: Static[bool] = True
    """Whether the layers before the head add a bias."""
    slope: Annotated[Knob[Share | None], ReadWhere("activation", ("leaky_relu",))] = None
    """The slope of `leaky_relu` below zero; 0.01 if left out."""
    init: Host[Init] = "he_normal"
    """The distribution of the first weights."""
    init_scale: Annotated[Host[Positive | None], _NOT_ZEROS] = None
    """A factor on that distribution; for `normal` the deviation, for `uniform` the bound (0.05)."""
    init_gain: Annotated[Host[Literal["none", "auto"]], _NOT_ZEROS] = "none"
    """`auto` scales the first weights by the activation's gain: tanh 5/3, relu the root of 2."""
    dropout: Knob[Share] = 0.0
    """The chance that a unit of the dense layer is dropped in training."""


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


def model_mistakes(model: Any, dataset: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a model cannot take of a data set's examples, as (key path, sentence).

    Examples whose shape only the data can tell are left to the model itself.
    """
    known = READERS if isinstance(dataset, Spec) else DATASETS
    name = next(iter(type(dataset).model_fields)) if isinstance(dataset, Spec) else dataset
    if "images" in needs_of("model", model) and name in known and known[name].is_table:
        yield ("model", "name"), f"{model.name} needs images, and {name} is a table: use mlp"


ModelSpec = Annotated[Any, Registered("model")]
