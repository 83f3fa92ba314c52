"""Models for images."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from hpo.spec.marks import Count, Knob, Merge, ReadWhere, Share, Sizes, Spec, Static, with_leaves
from hpo.spec.sections.models.parts import (
    Activated,
    Biased,
    InitGain,
    Initial,
    InitScale,
    Normalised,
    NormMomentum,
    Rank,
    Remat,
    Slope,
    StochasticDepth,
)
from hpo.spec.sections.models.pretrained import Pretrained

T = TypeVar("T")
Kind = Literal["max", "avg", "none"]
Padding = Literal["same", "valid"]
Window = Annotated[int, Field(ge=1, le=11)]
_LISTED = Field(min_length=1, strict=False)


def of_layer(values: T | tuple[T, ...], index: int) -> T:
    """The value of a layer, from one for all layers or a list whose last value repeats."""
    return values[min(index, len(values) - 1)] if isinstance(values, tuple) else values


class Pooling(Spec):
    """The largest value or the mean of each window of an image."""

    name: Static[Kind | Annotated[tuple[Kind, ...], _LISTED]] = "max"
    """The largest value of a window, its mean, or no pooling; or a list."""
    size: Static[Window | Annotated[tuple[Window, ...], _LISTED]] = 2
    """Height and width of the window, or a list."""
    stride: Static[Count | Sizes | None] = None
    """Pixels from one window to the next, or a list; the size if left out, so that windows do not
    overlap."""
    padding: Static[Padding] = "valid"
    """`valid` drops rows and columns that fill no window, `same` pads the image for them."""

    def of_layer(self, index: int) -> Pooling:
        """The pooling of a layer, without lists."""
        leaves = {name: of_layer(getattr(self, name), index) for name in ("name", "size", "stride")}
        return with_leaves(self, leaves)


class Cnn(Pretrained):
    """Convolutions, each with pooling, then dense layers with dropout.

    A list has a value for each convolution. Where it is shorter, the rest have its last value.
    """

    name: Literal["cnn"]
    filters: Static[Sizes] = (32, 64)
    """Filters of each convolution."""
    kernel: Static[Window | Annotated[tuple[Window, ...], _LISTED]] = 3
    """Height and width of each filter, or a list."""
    stride: Static[Count | Sizes] = 1
    """Pixels from one place of a filter to the next, or a list."""
    padding: Static[Padding] = "same"
    """`same` pads the image so that stride 1 keeps its size; `valid` pads nothing."""
    groups: Static[Count | Sizes] = 1
    """Groups of channels that are convolved apart, or a list; at most as many as divide both the
    channels and the filters."""
    pooling: Pooling = Pooling()
    """The pooling after each convolution, whose leaves may be lists, too."""
    dense: Annotated[
        Static[Count | Annotated[tuple[Count, ...], Field(strict=False)]], Merge.SIZE
    ] = 128
    """Units of the dense layer, or a list with those of several."""
    rank: Rank = None
    activation: Activated = "relu"
    norm: Normalised = "none"
    norm_momentum: NormMomentum = None
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a unit of a dense layer is dropped in training."""

    @property
    def convolution_count(self) -> int:
        """The number of convolutions, for the estimated time to compile."""
        return len(self.filters)


class ResNet(Pretrained):
    """A residual network: stages of blocks around which a shortcut leads, then a linear head.

    Each stage but the first halves height and width. `blocks: 3` on images of 32x32 is ResNet-20.
    """

    name: Literal["resnet"]
    filters: Static[Sizes] = (16, 32, 64)
    """Filters of each stage; those of the first are also the filters of the first convolution."""
    blocks: Static[Count | Sizes] = 2
    """Blocks of a stage, or a list with those of each."""
    block: Static[Literal["basic", "bottleneck", "depthwise"]] = "basic"
    """`basic` has two 3x3 convolutions; `bottleneck` a 3x3 between two 1x1, the last with 4 times
    the filters; `depthwise` two 3x3, each split into a depthwise and a 1x1 one."""
    widening: Static[Count] = 1
    """A factor on the filters of all blocks, as in wide residual networks."""
    groups: Annotated[Static[Count], ReadWhere("block", ("basic", "bottleneck"))] = 1
    """Groups of channels that the 3x3 convolutions of the blocks treat apart; at most as many as
    divide both the channels and the filters."""
    rank: Rank = None
    activation: Activated = "relu"
    norm: Normalised = "batch"
    norm_momentum: NormMomentum = None
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a value before the last convolution of a block is dropped in training."""
    stochastic_depth: StochasticDepth = 0.0
    remat: Remat = False

    @property
    def convolution_count(self) -> int:
        """The number of convolutions, for the estimated time to compile."""
        each = {"basic": 2, "bottleneck": 3, "depthwise": 4}[self.block]
        return 1 + each * sum(of_layer(self.blocks, i) for i in range(len(self.filters)))


class Unet(Pretrained):
    """A U-Net: convolutions down to fewer pixels and up again, for a class of each pixel."""

    name: Literal["unet"]
    filters: Static[Count] = 16
    """Filters of each convolution at the first level; each level below has twice as many."""
    depth: Static[Annotated[int, Field(ge=1, le=8)]] = 3
    """How many times height and width are halved."""
    convolutions: Static[Count] = 2
    """Convolutions of each level, on the way down and on the way up."""
    kernel: Static[Window] = 3
    """Height and width of each filter."""
    rank: Rank = None
    activation: Activated = "relu"
    norm: Normalised = "none"
    norm_momentum: NormMomentum = None
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a number of the lowest level is dropped in training."""

    @property
    def convolution_count(self) -> int:
        """The number of convolutions, for the estimated time to compile."""
        return self.convolutions * (2 * self.depth + 1) + self.depth
