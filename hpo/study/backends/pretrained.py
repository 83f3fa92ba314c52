"""The trained models from which trials start: `model.from`, each folder read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from hpo.data.dataset import DataSet
from hpo.engine.training.pretrained import Start
from hpo.spec.experiment import Experiment
from hpo.spec.marks import Spec, with_leaves
from hpo.spec.sections.compression.teacher import teacher_of
from hpo.spec.sections.models.pretrained import FROM, TEACHER_FROM, folder_of, named_folders
from hpo.spec.words import shown
from hpo.trained.remote import named_model
from hpo.trained.weights import Weights, read_weights, weights_hash

S = TypeVar("S", bound=Spec)


def with_start(training: S, data: DataSet, folder: Path) -> S:
    """A training whose model has the weights to start from, in place of the name of their folder.

    Relative names start at `folder`.

    Raises:
        HpoError: for a folder that holds no trained model.
    """
    name = folder_of(getattr(training, "model", None))
    if name is None:
        return training
    weights = _read(name, folder)
    keeps_head = weights.classes in (None, data.classes)
    start = Start(f"model.from: {shown(name)}", weights.arrays, keeps_head)
    return with_leaves(training, {FROM: start})


def weights_of(experiment: Experiment) -> dict[str, str]:
    """The hash of the weights in each folder that the spec names, by its name.

    Trials start from them, or learn the answers of that model.

    Raises:
        HpoError: for a folder that holds no trained model.
    """
    training: Any = experiment.training
    names = named_folders(getattr(training, "model", None), experiment.space)
    found = {name: _read(name, experiment.folder).sha256 for name in names}
    if (teacher := teacher_of(training)) is not None:
        found[teacher] = weights_hash(named_model(teacher, experiment.folder, TEACHER_FROM))
    return found


def _read(name: str, folder: Path) -> Weights:
    return read_weights(named_model(name, folder, FROM), name)
