"""The schedulers: they decide which trials train for more epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.marks import Count, NonNegative, Positive, Share, Spec
from hpo.spec.registered import Registered
from hpo.spec.sections.pruner import PrunerSpec, for_losses


class AutoScheduler(Spec):
    """Successive halving, 1 in 4 going on from 1/16 of `train.epochs`; none below 4 epochs."""

    name: Literal["auto"]


class NoScheduler(Spec):
    """Every trial trains to `train.epochs`."""

    name: Literal["none"]


class Median(Spec):
    """Prunes a trial that is worse than the median of the others (Golovin et al. 2017).

    `min_epochs`, by default an eighth of `train.epochs`, is where trials are first compared.
    """

    name: Literal["median"]
    min_epochs: Count | None = None
    """Epochs before the first comparison; by default an eighth of `train.epochs`."""
    startup_trials: Count = 5
    """Trials that train in full before any is pruned."""

    def first_comparison(self, epochs: int) -> int:
        """`min_epochs` where trainings have `epochs`."""
        return self.min_epochs or max(1, epochs // 8)


Budget = Literal["epochs", "share", "size"]


class Rungs(Spec):
    """What schedulers that compare trials at rungs have in common."""

    name: str
    budget: Budget = "epochs"
    """What a rung has more of: `epochs`, a larger `share` of the training rows, or images of a
    larger `size`."""
    min_epochs: Count = 1
    """Epochs before the first comparison; with `share` or `size`, epochs of all rows or pixels."""
    eta: Annotated[int, Field(ge=2)] = 3
    """One trial in this many goes on at each rung."""


class SuccessiveHalving(Rungs):
    """Brackets of trials of which the best 1/eta go on at each rung (Jamieson et al. 2016)."""

    name: Literal["successive_halving"]


class Asha(Rungs):
    """Asynchronous successive halving (Li et al. 2020)."""

    name: Literal["asha"]


class Hyperband(Rungs):
    """Successive halving at several ratios of trials to budget (Li et al. 2018)."""

    name: Literal["hyperband"]


class Bohb(Rungs):
    """Hyperband whose sampler fits the results of one budget (Falkner et al. 2018).

    `random_share` of the trials are random draws. A budget is fitted from `min_points` + 2 results
    on; by default `min_points` is one more than the space has dimensions.
    """

    name: Literal["bohb"]
    random_share: Share = 1 / 3
    """The share of trials that are random draws."""
    min_points: Count | None = None
    """A budget is fitted from this many results and two more on; by default the number of
    dimensions and one."""


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


class Patience(Spec):
    """Stops a trial that has made too little progress in `epochs` epochs to become the best.

    `epochs` is by default a tenth of `train.epochs`, but 3 at least. A trial whose loss has not
    improved by more than `min_delta` in them halts, even where it is the best so far.
    """

    name: Literal["patience"]
    epochs: Count | None = None
    """Epochs without enough progress after which a trial stops; by default a tenth of
    `train.epochs`, at least 3."""
    min_delta: NonNegative = 0.0
    """The least decrease of the loss that counts as progress."""
    min_epochs: Count = 1
    """Epochs of each trial before it may be stopped."""

    def patience(self, epochs: int) -> int:
        """The epochs of patience where trainings have `epochs`."""
        return self.epochs or max(1, min(max(3, epochs // 10), epochs - 1))


class OptunaPruner(Spec):
    """A pruner of Optuna's, which only stops trials."""

    name: Literal["optuna"]
    pruner: PrunerSpec
    """The pruner by its name in Optuna, with Optuna's arguments."""

    def in_losses(self) -> OptunaPruner:
        """The same with the bounds of a maximized metric as bounds of its negated values."""
        return self.model_copy(update={"pruner": for_losses(self.pruner)})


SchedulerSpec = Annotated[Any, Registered("scheduler")]


def settled(spec: SchedulerSpec, epochs: int) -> SchedulerSpec:
    """The scheduler with the numbers in place that follow from how long trainings are."""
    match spec:
        case Median():
            return spec.model_copy(update={"min_epochs": spec.first_comparison(epochs)})
        case Patience():
            return spec.model_copy(update={"epochs": spec.patience(epochs)})
        case _:
            return spec


def budget_of(spec: SchedulerSpec | None) -> Budget:
    """What a rung of a scheduler has more of.

    Where it is no epochs, a rung of b epochs is a whole training: on b / `train.epochs` of the
    rows, or on images with that share of the pixels. Either costs as much as b epochs.
    """
    return spec.budget if isinstance(spec, Rungs) else "epochs"


def anew_mistakes(spec: SchedulerSpec) -> Iterator[Mistake]:
    """What a scheduler asks of a training that is no model on a data set."""
    of = {"share": "the rows", "size": "the images"}.get(budget_of(spec))
    if of is not None:
        text = f"{budget_of(spec)} is of {of} that a model trains on, and the spec has no model"
        yield Mistake(("search", "scheduler", "budget"), f"{text}: use epochs")


def budget_mistakes(spec: SchedulerSpec, epochs: int) -> Iterator[Mistake]:
    """The budgets of a scheduler that exceed `train.epochs`."""
    at: KeyPath = ("search", "scheduler")
    least = getattr(getattr(spec, "pruner", None), "min_resource", 1)
    wanted: list[tuple[tuple[str, ...], int]] = [
        (("min_epochs",), getattr(spec, "min_epochs", None) or 1),
        (("pruner", "min_resource"), 1 if least == "auto" else least),
    ]
    if isinstance(spec, Patience) and spec.epochs is not None and spec.epochs >= epochs:
        text = f"{spec.epochs} is not less than train.epochs ({epochs}), so it stops no trial"
        yield Mistake((*at, "epochs"), f"{text}: lower it or train longer")
        return
    for path, least in wanted:
        if least > epochs:
            text = f"{least} is more than train.epochs ({epochs}): lower it or train longer"
            yield Mistake((*at, *path), text)
