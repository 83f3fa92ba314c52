"""The augment section of a spec: how the examples of each training batch are changed at random."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.spec.marks import Knob, NonNegative, Share, Spec

_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Angle = Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)]
_Hue = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]
# The series of the distribution function loses its digits beyond.
_Beta = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]
_Slope = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
_Operations = Annotated[int, Field(ge=0, le=4)]

# The numbers that move the pixels of an image, which one gather does for all of them.
GEOMETRY = ("flip", "shift", "rotate", "scale", "shear", "crop")
# Those that change its pixels as read, from the darkest to the brightest one.
COLOURS = ("brightness", "contrast", "saturation", "hue", "shot_noise", "salt_pepper")
# Those that draw some of both for each image.
POLICIES = ("rand_augment", "trivial_augment")


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
    crop: Knob[Share] = 0.0
    """Show a part of an image at full size: up to this share of its sides is cut away."""
    brightness: Knob[_Probability] = 0.0
    """Multiply the pixels of an image, as read, by 1 plus or minus up to this."""
    contrast: Knob[_Probability] = 0.0
    """Multiply each pixel's difference from the mean grey of its image by 1 plus or minus up to
    this."""
    saturation: Knob[_Probability] = 0.0
    """Multiply each pixel's difference from its own grey by 1 plus or minus up to this."""
    hue: Knob[_Hue] = 0.0
    """Turn the colours of an image by up to this share of the colour circle, to either side."""
    shot_noise: Knob[NonNegative] = 0.0
    """Add normal noise of this variance at white, and less in proportion for darker pixels."""
    salt_pepper: Knob[_Probability] = 0.0
    """The chance that a pixel becomes black or white."""
    cutout: Knob[_Probability] = 0.0
    """Blank a square of an image, of this share of its sides (DeVries and Taylor 2017)."""
    rand_augment: Knob[_Operations] = 0
    """Draw this many different operations for each image, all of one strength (RandAugment)."""
    rand_strength: Knob[_Probability | None] = None
    """The strength of these operations, as a share of the largest one; 0.3 if left out."""
    trivial_augment: Knob[_Probability] = 0.0
    """The chance that an image gets one drawn operation of a drawn strength (TrivialAugment, where
    it is 1)."""
    gaussian_noise: Knob[NonNegative] = 0.0
    """Add normal noise of this standard deviation to the numbers of an example, as scaled."""
    column_dropout: Knob[Share] = 0.0
    """The chance that a number of a table's row becomes 0, which is the mean of its column."""

    swap_noise: Knob[_Probability] = 0.0
    """The chance that a number of a table's row becomes that of another row of the batch."""
    same_class: Knob[_Probability] = 0.0
    """The chance that an example is mixed with one of its own class in the batch."""
    magnitude: Knob[_Probability] = 0.0
    """Multiply all numbers of an example, as scaled, by 1 plus or minus up to this."""
    time_warp: Knob[Share] = 0.0
    """Let the time of a series run faster at one end by up to this share, and slower at the
    other."""
    window_warp: Knob[_Probability] = 0.0
    """The chance that a tenth of a series runs half or twice as fast."""
    mixup: Knob[_Beta] = 0.0
    """Mix each example, and its loss, with another one of the batch: the weight is drawn for each
    batch by the beta distribution with this number as both parameters. 1 is uniform, less is near
    0 or 1."""
    cutmix: Knob[_Beta] = 0.0
    """Paste a box of another image of the batch. The beta distribution with this number as both
    parameters draws its share of the area, by which losses mix."""
    synonyms: Knob[_Probability] = 0.0
    """The chance that a token of a text becomes one of those that `data.text.synonyms` lists for
    it."""
    homophones: Knob[_Probability] = 0.0
    """The same by `data.text.homophones`."""
    word_dropout: Knob[Share] = 0.0
    """The chance that a token of a text is left out."""
