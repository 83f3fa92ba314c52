"""An experiment: a complete training configuration, a space over its leaves, and a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hpo.errors import cut
from hpo.registry import METRICS
from hpo.space import SearchSpace
from hpo.spec.code.own_loss import OwnLoss
from hpo.spec.marks import Count, Names, Positive, Spec, Static
from hpo.spec.merging import Merged
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.model import ModelSpec
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.scheduler import settled
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.updates import Updates
from hpo.spec.words import unknown_name

_LONGEST_NAME = 100


class Change(Spec):
    """Numbers that are others from the epoch after `after` on, by the paths of their leaves."""

    after: Count
    """The last epoch with the old numbers."""
    hparams: Annotated[dict[str, int | float], Field(min_length=1)]
    """The new numbers by the paths of their leaves."""


def _further_metrics() -> list[str]:
    return [name for name, entry in METRICS.items() if entry.function]


def _scored(names: tuple[str, ...]) -> tuple[str, ...]:
    known = _further_metrics()
    for name in names:
        if name in METRICS and name not in known:
            raise ValueError(f"names {name}, which is always reported: take it out")
        if name not in known:
            raise ValueError(f"names the {unknown_name(name, known, 'metric')}")
    return tuple(sorted(set(names)))


class TrainSpec(Spec):
    """How long, from which random numbers and in which precision a trial trains."""

    epochs: Count
    """Epochs of a full training."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the study: order of the data, proposals, first weights."""
    seeds: Count = 1
    """How many seeds each trial trains on, from `seed` on; the mean judges it."""
    stream: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The random stream of a trial: its number."""
    precision: Static[Literal["float32", "bfloat16"]] = "float32"
    """The type of the numbers that forward and backward passes use; weights stay float32."""
    lanes: Literal["auto"] | Count = "auto"
    """How many trials one program trains together."""
    form: Literal["auto", "map", "vmap"] = "auto"
    """Whether a device trains lanes one after the other (`map`) or side by side (`vmap`)."""
    metrics: Annotated[
        tuple[Annotated[str, Names(_further_metrics)], ...],
        Field(strict=False),
        AfterValidator(_scored),
    ] = ()
    """Metrics to report beside those of the task, such as auroc; a search adds those it names."""
    changes: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    """Numbers that change while it trains; `pbt` finds these."""
    varying: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Leaves that are 0 here and that the program computes with all the same, as its study did."""
    merged: Literal["auto", "none"] | Merged = "auto"
    """Which values of static leaves one program serves; `auto` compares the costs of compiling and
    running."""


def _storage_url(value: str) -> str:
    if re.fullmatch(r"[\w./\\~-]+", value):
        raise ValueError(f"is not a database URL: write sqlite:///{cut(value)}")
    if not re.match(r"[\w+]+://", value):
        raise ValueError("is not a database URL: write one such as sqlite:///hpo.db")
    if re.match(r"sqlite\b", value) and not re.match(r"[\w+]+:///(?!:memory:)[^?]", value):
        raise ValueError("names no file: write one such as sqlite:///hpo.db")
    return value


class StudySpec(Spec):
    """Where the study is kept."""

    storage: Annotated[str, AfterValidator(_storage_url)] = "sqlite:///hpo.db"
    """The database of the study, such as sqlite:///hpo.db."""
    checkpoint_seconds: Positive = 10.0
    """Seconds of training that a killed process may have to repeat."""


class Training(Spec):
    """Everything that the engine needs to train one configuration; each trial is one."""

    data: DataSpec
    """The data set, its splits, and how examples reach the model."""
    model: ModelSpec
    """The model to train."""
    loss: OwnLoss | None = None
    """The loss that training minimises; the task's own by default."""
    optimizer: OptimizerSpec
    """The optimizer and its learning-rate schedule."""
    updates: Updates = Updates()
    """What happens to gradients on their way to the optimizer."""
    train: TrainSpec
    """How long, from which random numbers and in which precision a trial trains."""


def _study_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value) or len(value) > _LONGEST_NAME:
        raise ValueError("is not a name: write letters, digits, - _ . only, at most 100 of them")
    return value


class FileSections(Spec):
    """The sections of a spec file beside those of a training."""

    name: Annotated[str, AfterValidator(_study_name)]
    """The name of the study and of its files."""
    space: dict[str, Any] = Field(default_factory=dict)
    """What varies: leaf paths with distributions."""
    search: SearchSpec | None = None
    """How the space is searched, for what, and for how long."""
    study: StudySpec = StudySpec()
    """Where the study is kept."""


class SpecFile(FileSections, Training):
    """A spec file as it is written; `space` holds distributions and names of included spaces."""


@dataclass(frozen=True)
class Experiment:
    """A validated spec file.

    `document` is the YAML document as plain values, includes resolved and overrides applied: it is
    what a study keeps, so that `hpo resume` needs no file. `folder` is where relative data paths
    start. `is_stored` says that the spec comes from a database rather than from its user's hands.
    """

    name: str
    training: Training
    space: SearchSpace
    search: SearchSpec | None
    study: StudySpec
    document: Mapping[str, Any]
    folder: Path
    is_stored: bool = False

    def written_out(self) -> dict[str, Any]:
        """The experiment as plain values with every default written out, to compare two specs."""
        search = self.search
        if search is not None:
            scheduler = settled(search.scheduler, self.training.train.epochs)
            search = search.model_copy(update={"scheduler": scheduler})
        parts = {"search": search, "study": self.study}
        return {
            **self.training.model_dump(mode="json"),
            "space": self.document.get("space", {}),
            **{name: part.model_dump(mode="json") for name, part in parts.items() if part},
        }
