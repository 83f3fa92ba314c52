"""The trained models from which trials start: `model.from`, each folder read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from hpo.data.dataset import DataSet
from hpo.engine.training.pretrained import Start
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.marks import Spec, with_leaves
from hpo.spec.sections.compression.teacher import leaves_of_models
from hpo.spec.sections.models.pretrained import FROM, folder_of
from hpo.spec.words import shown
from hpo.study.loop.replicas import Replicas, training_of
from hpo.trained.load import weights_hash
from hpo.trained.remote import named_model
from hpo.trained.weights import read_weights

S = TypeVar("S", bound=Spec)


def with_start(training: S, data: DataSet, folder: Path) -> S:
    """A training whose model has the weights to start from, in place of the name of their folder.

    Relative names start at `folder`. From a model of several runs, each run starts where that of
    its own fold and seed ended.

    Raises:
        HpoError: for a folder that holds no trained model, or that of other folds or seeds.
    """
    name = folder_of(getattr(training, "model", None))
    if name is None:
        return training
    there = named_model(name, folder, FROM)
    weights = read_weights(there, name)
    keeps_head = weights.classes in (None, data.classes)
    start = Start(f"model.from: {shown(name)}", weights.runs, keeps_head)
    _check_folds(start, data, is_same=weights.fingerprint == data.fingerprint)
    _check_runs(start, training)
    return with_leaves(training, {FROM: start})


def _check_runs(start: Start, training: Any) -> None:
    """Refuse a model of other seeds."""
    for run in Replicas.of(training).runs_of(0):
        start.arrays_of(training_of(run, training).train.seed, run.fold)


def _check_folds(start: Start, data: DataSet, *, is_same: bool) -> None:
    """Refuse a model that has seen, or may have seen, rows that validate here.

    `is_same` says that it was trained on these data.
    """
    folds = {name.rpartition("fold-")[2] for name in start.runs if "fold-" in name}
    if folds and not (is_same and len(folds) == len(data.folds)):
        raise HpoError(
            f"{start.where} has {len(folds)} folds, and they are not those of this spec: give the "
            "section data of that model, or a model of other data without folds."
        )
    # Of data with folds, only --refit gives a model without any.
    if is_same and data.folds and not folds:
        raise HpoError(
            f"{start.where} was trained with --refit, and so has seen the validation rows of every "
            "fold: train it without, or name a model of other data."
        )


def weights_of(experiment: Experiment) -> dict[str, str]:
    """The hash of the weights in each folder that the spec names, by its name.

    Trials start from them, or learn the answers of that model.

    Raises:
        HpoError: for a folder that holds no trained model.
    """
    found = {}
    for name, leaf in leaves_of_models(experiment.training, experiment.space).items():
        place = named_model(name, experiment.folder, leaf)
        found[name] = read_weights(place, name).sha256 if leaf == FROM else weights_hash(place)
    return found
