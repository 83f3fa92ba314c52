"""An experiment: a complete training configuration, a space over its leaves, and a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from hpo.space import SearchSpace
from hpo.spec.code.own_code import Own
from hpo.spec.code.own_command import CommandTraining
from hpo.spec.code.own_functions import OwnAugment
from hpo.spec.marks import Spec
from hpo.spec.sections.compression.section import Compression
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.loss import LossSpec
from hpo.spec.sections.models.parts import ModelSpec
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.scheduler import settled
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.study import StudySpec
from hpo.spec.sections.techniques.attack import Attack
from hpo.spec.sections.techniques.augment import Augment
from hpo.spec.sections.techniques.privacy import Privacy
from hpo.spec.sections.techniques.sampling import Sampling
from hpo.spec.sections.train import TrainSpec
from hpo.spec.sections.updates import Updates

_LONGEST_NAME = 100


class Training(Spec):
    """Everything that the engine needs to train one configuration; each trial is one.

    `own_metrics` are the metrics of the user's own, by the references that name them.
    """

    own_metrics: ClassVar[Mapping[str, Own]] = {}

    data: DataSpec
    """The data set, its splits, and how examples reach the model."""
    model: ModelSpec
    """The model to train."""
    loss: LossSpec = None
    """The loss that training minimises; the task's own by default."""
    sampling: Sampling = Sampling()
    """Which training rows an epoch reads."""
    augment: Augment | OwnAugment = Augment()
    """How the examples of each training batch are changed; not at all by default."""
    attack: Attack = Attack()
    """Small changes of examples that raise the loss, in training and to judge; none by default."""
    privacy: Privacy = Privacy()
    """Clipped gradients of rows and noise, which bound what weights tell of a row; off by
    default."""
    optimizer: OptimizerSpec
    """The optimizer and its learning-rate schedule."""
    updates: Updates = Updates()
    """What happens to gradients on their way to the optimizer."""
    compression: Compression = Compression()
    """What makes the model small while it trains; nothing by default."""
    train: TrainSpec
    """How long, from which random numbers and in which precision a trial trains."""


def folds_of(training: Any) -> int:
    """How many folds a training of any kind has; 1 without `data.folds`."""
    return getattr(getattr(training, "data", None), "folds", None) or 1


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

    @property
    def are_processes(self) -> bool:
        """Whether its trials are processes, which compile no programs."""
        return isinstance(self.training, CommandTraining)

    @property
    def runs_each(self) -> int:
        """How many times each trial trains: on each of its seeds and folds."""
        seeds: int = self.training.train.seeds
        return seeds * folds_of(self.training)

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
