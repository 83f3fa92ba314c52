"""The section `train` of a spec: how long a trial trains, and from which random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from hpo.registry import METRICS
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Count, Fixed, Names, Spec, Static
from hpo.spec.merging import Merged
from hpo.spec.sections.goal import as_written, is_own, reference
from hpo.spec.sections.techniques.average import Average
from hpo.spec.sections.techniques.early_stop import EarlyStop
from hpo.spec.sections.techniques.schedules import Schedules
from hpo.spec.words import unknown_name

Threshold = Literal["accuracy", "f1", "macro_f1"]
JudgedBy = Literal["mean", "worst"]


class Change(Spec):
    """Numbers that are others from the epoch after `after` on, by the paths of their leaves."""

    after: Count
    """The last epoch with the old numbers."""
    hparams: Annotated[dict[str, int | float], Field(min_length=1)]
    """The new numbers by the paths of their leaves."""


def _further_metrics() -> list[str]:
    return [name for name, entry in METRICS.items() if entry.is_named]


def _scored(names: tuple[str, ...]) -> tuple[str, ...]:
    known = _further_metrics()
    for name in names:
        if is_own(name):
            continue
        if name in METRICS and name not in known:
            raise ValueError(f"names {name}, which is always reported: take it out")
        if name not in known:
            raise ValueError(f"names the {unknown_name(name, known, 'metric')}")
    return tuple(sorted(set(names)))


class TrainSpec(Spec):
    """How long, from which random numbers and in which precision a trial trains."""

    epochs: Count
    """Epochs of a full training."""
    until: Count | None = None
    """Stop after this epoch; schedules still span `epochs`. An export says so of its weights."""
    early_stop: EarlyStop | None = None
    """Stop a trial that improves no more; it is then trained in full and can win."""
    keep: Literal["best", "last"] = "last"
    """Whether the best or the last epoch judges a trial and gives its weights."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the study: order of the data, proposals, first weights."""
    seeds: Count = 1
    """How many seeds each trial trains on, from `seed` on; the mean judges it."""
    judged_by: JudgedBy = "mean"
    """Whether the mean or the worst result of a trial's seeds and folds judges it."""
    stream: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The random stream of a trial: its number."""
    precision: Static[Literal["float32", "bfloat16", "float16", "auto"]] = "float32"
    """The type of the numbers that forward and backward passes use; weights stay float32. `auto`:
    the quickest that learns as well in the first epochs, measured once for each program."""
    average: Average = Average()
    """The average of weights that is evaluated and saved; the last weights by default."""
    lanes: Literal["auto"] | Count = "auto"
    """How many trials one program trains together."""
    form: Literal["auto", "map", "vmap"] = "auto"
    """Whether a device trains lanes one after the other (`map`) or side by side (`vmap`)."""
    metrics: Annotated[
        tuple[
            Annotated[
                str,
                BeforeValidator(reference),
                PlainSerializer(as_written),
                Names(_further_metrics, or_code=True),
            ],
            ...,
        ],
        Field(strict=False),
        AfterValidator(_scored),
    ] = ()
    """Metrics to report beside those of the task, such as auroc or `{python: metrics.py:top3}`; a
    search adds those it names."""
    gradient_norms: Static[bool] = False
    """Report the mean norm of the gradient in each epoch as the metric `gradient_norm`, and that of
    each layer."""
    threshold: Static[Threshold | None] = None
    """Choose the threshold of probability for the second of two classes, or for each label: the one
    with the best value of this metric on the validation split. The test split is judged with it."""
    schedules: Schedules = Fixed()
    """Numbers that change from epoch to epoch, by the paths of their leaves."""
    changes: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    """Numbers that change while it trains; `pbt` finds these."""
    varying: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Leaves that are 0 here and that the program computes with all the same, as its study did."""
    merged: Literal["auto", "none"] | Merged = "auto"
    """Which values of static leaves one program serves; `auto` compares the costs of compiling and
    running."""


def stop_mistakes(train: TrainSpec, scheduler: str | None) -> Iterator[Mistake]:
    """What does not go together in the rules of stopping, beside a search's scheduler if any."""
    at, stop = ("train",), train.early_stop
    if train.until is not None and train.until > train.epochs:
        text = f"{train.until} is above train.epochs ({train.epochs}): lower it"
        yield Mistake((*at, "until"), text)
    if train.until is not None and scheduler is not None:
        yield Mistake((*at, "until"), "is for hpo train: remove it, or remove search")
    patience = None if stop is None or stop.target is not None else stop.patience
    if patience is not None and patience >= train.epochs:
        text = f"{patience} is not less than train.epochs ({train.epochs}), so it stops no trial"
        yield Mistake((*at, "early_stop", "patience"), f"{text}: lower it or train longer")
