"""What a spec says about Optuna's pruners: their own arguments, by their own names and defaults.

A step of Optuna's is an epoch, counted from 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpo.spec.marks import Count, NonNegative, Spec

Steps = Annotated[int, Field(ge=0)]
Factor = Annotated[int, Field(ge=2)]


class MedianPruner(Spec):
    """Keeps trials whose best loss so far is better than the median of the completed ones now."""

    name: Literal["median"]
    n_startup_trials: Steps = 5
    n_warmup_steps: Steps = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


class PercentilePruner(Spec):
    """The same with another share than a half: 25.0 keeps the best quarter."""

    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)]
    n_startup_trials: Steps = 5
    n_warmup_steps: Steps = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


class SuccessiveHalvingPruner(Spec):
    """Asynchronous halving that stops instead of pausing; "auto" is a hundredth of the epochs."""

    name: Literal["successive_halving"]
    min_resource: Literal["auto"] | Count = "auto"
    reduction_factor: Factor = 4
    min_early_stopping_rate: Steps = 0
    bootstrap_count: Steps = 0


class HyperbandPruner(Spec):
    """Brackets of such halving, a trial's by a hash of its number; "auto" is `train.epochs`."""

    name: Literal["hyperband"]
    min_resource: Count = 1
    max_resource: Literal["auto"] | Count = "auto"
    reduction_factor: Factor = 3
    bootstrap_count: Steps = 0

    @model_validator(mode="after")
    def _resources_are_in_order(self) -> HyperbandPruner:
        if self.max_resource != "auto" and self.max_resource < self.min_resource:
            raise ValueError(
                f"max_resource ({self.max_resource}) is less than min_resource "
                f"({self.min_resource}): raise it"
            )
        return self


class ThresholdPruner(Spec):
    """Keeps trials whose metric, in its own units, lies between bounds."""

    name: Literal["threshold"]
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: Steps = 0
    interval_steps: Count = 1

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> ThresholdPruner:
        if self.lower is None and self.upper is None:
            raise ValueError("needs a bound: write lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower ({self.lower}) is above upper ({self.upper}): exchange them")
        return self


class WilcoxonPruner(Spec):
    """Stops trials that are worse than the best one, epoch against epoch, by a signed-rank test."""

    name: Literal["wilcoxon"]
    p_threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    n_startup_steps: Steps = 2


class NopPruner(Spec):
    """Stops nobody."""

    name: Literal["nop"]


_SINGLE = (
    MedianPruner
    | PercentilePruner
    | SuccessiveHalvingPruner
    | HyperbandPruner
    | ThresholdPruner
    | WilcoxonPruner
    | NopPruner
)


class PatientPruner(Spec):
    """Lets another pruner stop only trials without progress; without another, stops all these."""

    name: Literal["patient"]
    patience: Steps
    min_delta: NonNegative = 0.0
    wrapped_pruner: Annotated[_SINGLE | None, Field(discriminator="name")] = None


PrunerSpec = Annotated[
    MedianPruner
    | PercentilePruner
    | SuccessiveHalvingPruner
    | HyperbandPruner
    | ThresholdPruner
    | WilcoxonPruner
    | NopPruner
    | PatientPruner,
    Field(discriminator="name"),
]


def for_losses(spec: PrunerSpec) -> PrunerSpec:
    """The pruner for the losses of a metric that is maximised, which are its negated values."""
    if isinstance(spec, PatientPruner) and spec.wrapped_pruner is not None:
        return spec.model_copy(update={"wrapped_pruner": for_losses(spec.wrapped_pruner)})
    if isinstance(spec, ThresholdPruner):
        lower, upper = (None if b is None else -b for b in (spec.upper, spec.lower))
        return spec.model_copy(update={"lower": lower, "upper": upper})
    return spec
