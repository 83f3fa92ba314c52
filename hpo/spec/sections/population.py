"""The spec of population based training: `pbt`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Positive, Spec


class Pbt(Spec):
    """Population based training: the worst go on from the best (Jaderberg et al. 2017)."""

    name: Literal["pbt"]
    population: Annotated[int, Field(ge=2)] = 20
    """Trials that train and are compared together."""
    interval: Count = 2
    """Epochs from one comparison to the next."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    """The share of the population that is replaced, and the share that is copied."""
    factors: Annotated[tuple[Positive, ...], Field(min_length=1, strict=False)] = (0.8, 1.2)
    """What a copied knob is multiplied by, drawn from these."""
    resample: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The chance that a copied knob is drawn again instead."""
