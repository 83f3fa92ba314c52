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
    """Trials that complete before any is stopped."""
    n_warmup_steps: Steps = 0
    """Epochs of each trial before it may be stopped."""
    interval_steps: Count = 1
    """Epochs from one check to the next."""
    n_min_trials: Count = 1
    """Trials that must have reported an epoch before it is judged."""


class PercentilePruner(Spec):
    """The same with another share than a half: 25.0 keeps the best quarter."""

    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)]
    """The share of trials to keep, in percent."""
    n_startup_trials: Steps = 5
    """Trials that complete before any is stopped."""
    n_warmup_steps: Steps = 0
    """Epochs of each trial before it may be stopped."""
    interval_steps: Count = 1
    """Epochs from one check to the next."""
    n_min_trials: Count = 1
    """Trials that must have reported an epoch before it is judged."""


class SuccessiveHalvingPruner(Spec):
    """Asynchronous halving that stops instead of pausing; "auto" is a hundredth of the epochs."""

    name: Literal["successive_halving"]
    min_resource: Literal["auto"] | Count = "auto"
    """Epochs before the first comparison; `auto`: a hundredth of the epochs."""
    reduction_factor: Factor = 4
    """One trial in this many goes on at each rung."""
    min_early_stopping_rate: Steps = 0
    """Rungs to leave out at the start."""
    bootstrap_count: Steps = 0
    """Trials that must reach a rung before any goes on."""


class HyperbandPruner(Spec):
    """Brackets of such halving, a trial's by a hash of its number; "auto" is `train.epochs`."""

    name: Literal["hyperband"]
    min_resource: Count = 1
    """Epochs before the first comparison."""
    max_resource: Literal["auto"] | Count = "auto"
    """Epochs of a full training; `auto`: `train.epochs`."""
    reduction_factor: Factor = 3
    """One trial in this many goes on at each rung."""
    bootstrap_count: Steps = 0
    """Trials that must reach a rung before any goes on."""

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
    """Stop a trial whose metric falls below this."""
    upper: float | None = None
    """Stop a trial whose metric rises above this."""
    n_warmup_steps: Steps = 0
    """Epochs of each trial before it may be stopped."""
    interval_steps: Count = 1
    """Epochs from one check to the next."""

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
    """The p-value below which a trial counts as worse."""
    n_startup_steps: Steps = 2
    """Epochs of each trial before it may be stopped."""


class NopPruner(Spec):
    """Stops no trial."""

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
    """Epochs without progress before a trial may be stopped."""
    min_delta: NonNegative = 0.0
    """The least decrease of the loss that counts as progress."""
    wrapped_pruner: Annotated[_SINGLE | None, Field(discriminator="name")] = None
    """The pruner that decides after that; without one, the trial stops."""


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
