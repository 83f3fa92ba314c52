"""The part `compression.sparsity` of a spec: which weights of a model are 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, ReadWhere, Share, Spec, Static

_Time = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# When the share of zeros starts to grow, when it is reached, and the part of the kept weights that
# is replaced, if left out.
BEGIN, END, DROP = 0.2, 0.7, 0.3
# Those whose first zeros are drawn at random, and those that move them.
RANDOM, MOVING = ("fixed", "set", "rigl"), ("set", "rigl")
# The zeros of a trained model; those that read the share of zeros, and those that have zeros
# without one.
KEPT = "kept"
_SHARED, WITHOUT_SHARE = ("magnitude", *RANDOM), ("n_of_m", KEPT)


class Sparsity(Spec):
    """Zeros among the weights between units; biases and factors of norms are left out."""

    name: Static[Literal["none", "magnitude", "fixed", "set", "rigl", "n_of_m", "kept"]] = "none"
    """`magnitude`: the smallest weights become 0, more of them after each epoch. `fixed`: weights
    drawn at random are 0 from the start. `set`: after each epoch the smallest of the others become
    0, and as many weights drawn at random grow from 0. `rigl`: those with the largest gradients
    grow. `n_of_m`: the largest weights of each small group are kept, as 2 of 4. `kept`: those that
    are 0 in the model of `model.from` stay 0."""
    share: Annotated[Knob[Share], ReadWhere("name", _SHARED)] = 0.0
    """The share of the weights that are 0 in the end."""
    begin: Annotated[Knob[_Time | None], ReadWhere("name", ("magnitude", "n_of_m"))] = None
    """The share of the training after which zeros begin; 0.2 if left out."""
    end: Annotated[Knob[_Time | None], ReadWhere("name", ("magnitude", *MOVING))] = None
    """The share of the training after which `share` is reached, or zeros move no more; 0.7 if left
    out. One that is not after `begin` brings all zeros at once."""
    rewind: Annotated[Knob[_Time | None], ReadWhere("name", ("magnitude",))] = None
    """The share of the training to whose weights the kept ones go back when all zeros are there;
    they do not if left out."""
    scope: Annotated[Static[Literal["global", "layer"]], ReadWhere("name", ("magnitude",))] = (
        "global"
    )
    """Whether weights of all layers are compared, or each layer has the share. With units and with
    other names each layer has it."""
    unit: Annotated[Static[Literal["weight", "unit"]], ReadWhere("name", ("magnitude",))] = "weight"
    """Whether single weights are cut, or all that a unit or a filter reads, with its bias; never
    the outputs. Each layer then has the share, and keeps one unit at least."""
    drop: Annotated[Knob[Share | None], ReadWhere("name", MOVING)] = None
    """The part of the weights that is replaced after the first epoch; it falls to 0 until `end`.
    0.3 if left out."""
    n: Annotated[Static[Count], ReadWhere("name", ("n_of_m",))] = 2
    """How many weights of a group are kept."""
    m: Annotated[Static[Count], ReadWhere("name", ("n_of_m",))] = 4
    """How many consecutive inputs of a unit are a group."""


def sparsity_mistakes(
    sparsity: Sparsity, start: object = None
) -> Iterator[tuple[tuple[str, ...], str]]:
    """A group of which all weights are kept, weights that go back to no use, zeros of no model.

    They are (key path, sentence). `start` is the trained model from which a training starts.
    """
    if sparsity.name == KEPT and start is None:
        text = "names no trained model, whose zeros compression.sparsity keeps"
        yield ("model", "from"), f"{text}: name one, or write sparsity: {{name: fixed}}"
    if sparsity.n >= sparsity.m:
        text = f"{sparsity.n} of {sparsity.m} weights cuts none: write a smaller n, or a larger m"
        yield ("compression", "sparsity", "n"), text
    if sparsity.rewind is None:
        return
    begin = BEGIN if sparsity.begin is None else sparsity.begin
    last = max(begin, END if sparsity.end is None else sparsity.end)
    if last == 1:
        text = "leaves no training after the weights have gone back (rewind): write less than 1"
        yield ("compression", "sparsity", "begin" if begin == 1 else "end"), text
    elif sparsity.rewind >= last:
        text = f"{sparsity.rewind} is not before all zeros are there, at {last}: write less"
        yield ("compression", "sparsity", "rewind"), text
