"""What a spec says about population based training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Positive, Spec


class Pbt(Spec):
    """Population based training: the worst go on from the best (Jaderberg et al. 2017)."""

    name: Literal["pbt"]
    population: Annotated[int, Field(ge=2)] = 20
    interval: Count = 2  # epochs from one comparison to the next
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.2  # the share replaced, and that copied
    factors: Annotated[tuple[Positive, ...], Field(min_length=1, strict=False)] = (0.8, 1.2)
    resample: Annotated[float, Field(ge=0, le=1)] = 0.0  # the chance that a knob is drawn again
