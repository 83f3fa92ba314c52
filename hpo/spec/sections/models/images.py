"""Models for images."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from hpo.spec.marks import Count, Knob, Merge, ReadWhere, Share, Sizes, Spec, Static
from hpo.spec.sections.models.parts import (
    Activated,
    Biased,
    InitGain,
    Initial,
    InitScale,
    Normalised,
    Slope,
)
from hpo.spec.sections.models.pretrained import Pretrained

T = TypeVar("T")
Padding = Literal["same", "valid"]
Window = Annotated[int, Field(ge=1, le=11)]
_LISTED = Field(min_length=1, strict=False)


class Pooling(Spec):
    """The largest value or the mean of each window of an image."""

    name: Static[Literal["max", "avg", "none"]] = "max"
    """The largest value of a window, its mean, or no pooling."""
    size: Annotated[Static[Window], ReadWhere("name", ("max", "avg"))] = 2
    """Height and width of the window."""
    stride: Annotated[Static[Count | None], ReadWhere("name", ("max", "avg"))] = None
    """Pixels from one window to the next; its size if left out, so that windows do not overlap."""
    padding: Annotated[Static[Padding], ReadWhere("name", ("max", "avg"))] = "valid"
    """`valid` drops rows and columns that fill no window, `same` pads the image for them."""

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return self.size if self.stride is None else self.stride


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
    pooling: Static[Pooling | Annotated[tuple[Pooling, ...], _LISTED]] = Pooling()
    """The pooling after each convolution, or a list."""
    dense: Annotated[
        Static[Count | Annotated[tuple[Count, ...], Field(strict=False)]], Merge.SIZE
    ] = 128
    """Units of the dense layer, or a list with those of several."""
    activation: Activated = "relu"
    norm: Normalised = "none"
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a unit of a dense layer is dropped in training."""

    @property
    def convolutions(self) -> int:
        """The number of convolutions."""
        return len(self.filters)


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
    activation: Activated = "relu"
    norm: Normalised = "none"
    bias: Biased = True
    slope: Slope = None
    init: Initial = "he_normal"
    init_scale: InitScale = None
    init_gain: InitGain = "none"
    dropout: Knob[Share] = 0.0
    """The chance that a number of the lowest level is dropped in training."""


def of_layer(values: T | tuple[T, ...], index: int) -> T:
    """The value of a layer, from one for all layers or a list whose last value repeats."""
    return values[min(index, len(values) - 1)] if isinstance(values, tuple) else values
