"""The augment section of a spec: how the examples of each training batch are changed at random."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.spec.marks import Knob, NonNegative, Share, Spec

_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Angle = Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)]
_Slope = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]

# The numbers that move the pixels of an image, which one gather does for all of them.
GEOMETRY = ("flip", "shift", "rotate", "scale", "shear")


class Augment(Spec):
    """How the examples of each training batch are changed at random; not at all by default.

    Examples that are evaluated stay as they are.
    """

    flip: Knob[_Probability] = 0.0
    """The chance that an image is mirrored, left to right."""
    shift: Knob[NonNegative] = 0.0
    """Move an image by up to this many pixels along each axis."""
    rotate: Knob[_Angle] = 0.0
    """Turn an image by up to this many degrees, to either side."""
    scale: Knob[Share] = 0.0
    """Enlarge or shrink an image by up to this share of its size."""
    shear: Knob[_Slope] = 0.0
    """Slant an image by up to this many pixels a row, to either side."""
    cutout: Knob[_Probability] = 0.0
    """Blank a square of an image, of this share of its sides (DeVries and Taylor 2017)."""
    gaussian_noise: Knob[NonNegative] = 0.0
    """Add normal noise of this standard deviation to the numbers of an example, as scaled."""
    column_dropout: Knob[Share] = 0.0
    """The chance that a number of a table's row becomes 0, which is the mean of its column."""

    swap_noise: Knob[_Probability] = 0.0
    """The chance that a number of a table's row becomes that of another row of the batch."""
    same_class: Knob[_Probability] = 0.0
    """The chance that an example is mixed with one of its own class in the batch."""
    word_dropout: Knob[Share] = 0.0
    """The chance that a token of a text is left out."""
