"""Leaves that several models have, and what a model cannot take of a data set."""

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
    Spec,
    Static,
)
from hpo.spec.registered import Registered, needs_of

Activation = Literal[
    "relu",
    "gelu",
    "silu",
    "tanh",
    "elu",
    "leaky_relu",
    "sigmoid",
    "softplus",
    "selu",
    "mish",
]
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
_BATCH_NORM = NeedsWhere("batch", ("whole batch", "same depth", "statistics"))
_NOT_ZEROS = ReadWhere("init", tuple(name for name in get_args(Init) if name != "zeros"))

Activated = Annotated[
    Static[Activation], Merge.BRANCH, Field(description="The function after each hidden layer.")
]
Normalised = Annotated[
    Static[Norm], _BATCH_NORM, Field(description="The normalisation before each activation.")
]
NormMomentum = Annotated[
    Knob[Share | None],
    ReadWhere("norm", ("batch",)),
    Field(description="The share of the running statistics that a step keeps; 0.9 if left out."),
]
StochasticDepth = Annotated[
    Knob[Share],
    Field(
        description="The chance that a row skips the last block in training; earlier blocks are "
        "skipped less, in proportion to their number."
    ),
]
Rank = Annotated[
    Static[Count | None],
    Field(
        description="Writes the weights of layers before the head as a product of two arrays, with "
        "that many columns and rows."
    ),
]
Remat = Annotated[
    Static[bool],
    Field(
        description="Whether the backward pass computes each block again, to keep less in memory."
    ),
]
Biased = Annotated[
    Static[bool], Field(description="Whether the layers before the head add a bias.")
]
Slope = Annotated[
    Knob[Share | None],
    ReadWhere("activation", ("leaky_relu",)),
    Field(description="The slope of `leaky_relu` below zero; 0.01 if left out."),
]
Initial = Annotated[Host[Init], Field(description="The distribution of the first weights.")]
InitScale = Annotated[
    Host[Positive | None],
    _NOT_ZEROS,
    Field(
        description="A factor on that distribution; for `normal` the deviation, for `uniform` the "
        "bound (0.05)."
    ),
]
InitGain = Annotated[
    Host[Literal["none", "auto"]],
    _NOT_ZEROS,
    Field(
        description="`auto` scales the first weights by the activation's gain: tanh 5/3, relu the "
        "root of 2."
    ),
]
Embedding = Annotated[
    Static[Count | Literal["auto"]],
    Field(
        description="The size of the learned vector of a category, in columns with `encode: "
        "embed`. `auto`: 1.6 n^0.56 for n categories."
    ),
]
Output = Annotated[
    Static[Literal["linear", "sigmoid", "tanh"]],
    Field(
        description="The function after the last layer. `sigmoid` and `tanh`, which is twice as "
        "steep, keep predictions between the ends of `data.target_range`."
    ),
]
Dropped = Annotated[
    Knob[Share], Field(description="The chance that a unit is dropped in training.")
]


def output_mistakes(model: Any, target_range: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """A bounded output without bounds, as (key path, sentence)."""
    output = getattr(model, "output", "linear")
    if output != "linear" and target_range is None:
        text = f"{output} keeps predictions in data.target_range: write data.target_range, such as"
        yield ("model", "output"), f"{text} [0, 100], or linear"


def model_mistakes(model: Any, dataset: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a model cannot take of a data set's examples, as (key path, sentence).

    Examples whose shape only the data can tell are left to the model itself.
    """
    known = READERS if isinstance(dataset, Spec) else DATASETS
    name = next(iter(type(dataset).model_fields)) if isinstance(dataset, Spec) else dataset
    if "images" in needs_of("model", model) and name in known and known[name].is_table:
        yield ("model", "name"), f"{model.name} needs images, and {name} is a table: use mlp"


ModelSpec = Annotated[Any, Registered("model")]
