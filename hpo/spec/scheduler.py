"""What a spec says about the scheduler: which trials are given more epochs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Spec


class NoScheduler(Spec):
    """Every trial trains to `train.epochs`."""

    name: Literal["none"]


class Median(Spec):
    """Prunes a trial that is worse than the median of the others (Golovin et al. 2017)."""

    name: Literal["median"]
    min_epochs: Count = 1
    startup_trials: Count = 5


class SuccessiveHalving(Spec):
    """Brackets of trials of which the best 1/eta go on at each rung (Jamieson et al. 2016)."""

    name: Literal["successive_halving"]
    min_epochs: Count = 1
    eta: Annotated[int, Field(ge=2)] = 3


class Asha(Spec):
    """Asynchronous successive halving (Li et al. 2020)."""

    name: Literal["asha"]
    min_epochs: Count = 1
    eta: Annotated[int, Field(ge=2)] = 3


class Hyperband(Spec):
    """Successive halving at several ratios of trials to budget (Li et al. 2018)."""

    name: Literal["hyperband"]
    min_epochs: Count = 1
    eta: Annotated[int, Field(ge=2)] = 3


SchedulerSpec = Annotated[
    NoScheduler | Median | SuccessiveHalving | Asha | Hyperband, Field(discriminator="name")
]
