"""Models for tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.spec.marks import (
    Count,
    Host,
    Knob,
    Merge,
    Positive,
    ReadWhere,
    Share,
    Shorthand,
    Sizes,
    Static,
)
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
    NormMomentum,
    Output,
    Rank,
    Slope,
)
from hpo.spec.sections.models.pretrained import Pretrained

_WIDTHS = (128, 128)


class Mlp(Pretrained):
    """A multi-layer perceptron: linear, norm, activation, dropout for each width."""

    name: Literal["mlp"]
    widths: Annotated[Static[tuple[Count, ...]], Field(strict=False), Merge.SIZE] = _WIDTHS
    """Units of each hidden layer."""
    depth: Shorthand[Count | None] = None
    """Hidden layers of `width` units each, instead of `widths`; 2 beside `width` alone."""
    width: Shorthand[Count | None] = None
    """Units of each of these layers; 128 beside `depth` alone."""
    rank: Rank = None
    activation: Activated = "relu"
    norm: Normalised = "none"
    norm_momentum: NormMomentum = None
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Dropped = 0.0
    embedding: Embedding = "auto"
    output: Output = "linear"

    @model_validator(mode="after")
    def _written_out(self) -> Self:
        """Write depth and width out as widths, which alone a program knows."""
        if self.depth is None and self.width is None:
            return self
        width, depth = self.width or _WIDTHS[0], self.depth or len(_WIDTHS)
        if "widths" in self.model_fields_set and self.widths != (width,) * depth:
            raise ValueError(
                f"widths {list(self.widths)} are not {depth} layers of {width}: write widths, or "
                "depth and width"
            )
        self.__dict__["widths"] = (width,) * depth
        return self


class Fourier(Pretrained):
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
    output: Output = "linear"


Numbers = Annotated[
    Static[Literal["periodic", "none"]],
    Field(
        description="What columns of numbers become: `periodic`, four features each from trained "
        "waves; `none`, themselves."
    ),
]
Frequency = Annotated[
    Knob[Positive],
    ReadWhere("numbers", ("periodic",)),
    Field(description="The deviation of the first frequencies, in waves per unit of a column."),
]


class RealMlp(Pretrained):
    """RealMLP (Holzmueller et al. 2024): a perceptron with good defaults for tables.

    Numbers become periodic features, and each input and each activation has a trained factor.
    Layers have the NTK scaling, so that rates near 0.04 suit all widths.
    """

    name: Literal["realmlp"]
    widths: Annotated[Static[Sizes], Merge.SIZE] = (256, 256, 256)
    """Units of each hidden layer."""
    activation: Activated = "selu"
    slope: Slope = None
    numbers: Numbers = "periodic"
    frequency: Frequency = 0.1
    dropout: Dropped = 0.0
    embedding: Embedding = "auto"
    output: Output = "linear"


class TabM(Pretrained):
    """TabM (Gorishniy et al. 2025): many perceptrons that share their weights, and their mean.

    Each member trains on the same batches by a loss of its own. Probabilities are averaged, or
    values.
    """

    name: Literal["tabm"]
    widths: Annotated[Static[Sizes], Merge.SIZE] = (128, 128)
    """Units of each hidden layer."""
    members: Static[Count] = 32
    """How many perceptrons there are."""
    factors: Static[Literal["all", "first"]] = "all"
    """Which layers have factors of each member: `all`, or with `first` (TabM-mini) the inputs of
    the first one alone. Each member has a head of its own."""
    activation: Activated = "relu"
    slope: Slope = None
    numbers: Numbers = "none"
    frequency: Frequency = 0.1
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Dropped = 0.0
    embedding: Embedding = "auto"
    output: Output = "linear"
