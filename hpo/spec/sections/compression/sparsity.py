"""The part `compression.sparsity` of a spec: which weights of a model are 0."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Knob, ReadWhere, Share, Spec, Static

_Time = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# When the share of zeros starts to grow, and when it is reached, as shares of the training.
BEGIN, END = 0.2, 0.7


class Sparsity(Spec):
    """Zeros among the weights between units; biases and factors of norms are left out."""

    name: Static[Literal["none", "magnitude"]] = "none"
    """`magnitude`: the smallest weights become 0, more of them after each epoch."""
    share: Annotated[Knob[Share], ReadWhere("name", ("magnitude",))] = 0.0
    """The share of the weights that are 0 in the end."""
    begin: Annotated[Knob[_Time | None], ReadWhere("name", ("magnitude",))] = None
    """The share of the training after which zeros begin; 0.2 if left out."""
    end: Annotated[Knob[_Time | None], ReadWhere("name", ("magnitude",))] = None
    """The share of the training after which `share` is reached; 0.7 if left out. One that is
    not after `begin` brings all zeros at once."""
    scope: Annotated[Static[Literal["global", "layer"]], ReadWhere("name", ("magnitude",))] = (
        "global"
    )
    """Whether weights of all layers are compared, or each layer has the share."""
