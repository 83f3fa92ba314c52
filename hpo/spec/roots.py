"""The spec class of a document's training: another class where code of the user's is named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import create_model

from hpo.spec.code.own_model import OwnModel, own_mistakes, own_model
from hpo.spec.experiment import Experiment, FileSections, SpecFile, Training
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Spec
from hpo.spec.schema import variants_of

# A training's spec class. Its leaves may vary; `train` says how long a trial trains.
Root: TypeAlias = type[Spec]


def root_of(values: Any, folder: Path) -> Root:
    """The class of the training that a document describes; relative paths start at `folder`.

    No code of the user's runs.
    """
    if not isinstance(values, Mapping):
        return Training
    model = values.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("python"), str):
        return _with_model(own_model(model, _space(values), folder))
    return Training


def code_mistakes(values: Any, root: Root) -> Iterator[Mistake]:
    """What is wrong with code that a document names, and with what it gives the code."""
    variants = variants_of(root, "model") if "model" in root.model_fields else None
    model = next(iter(variants.specs.values())) if variants else None
    if model is not None and issubclass(model, OwnModel):
        for path, text in own_mistakes(values["model"], _space(values), model):
            yield Mistake(path, text)


@cache
def _with_model(model: type[OwnModel]) -> Root:
    """The class of a training with a model of the user's own."""
    doc = Training.__doc__
    return create_model("Training", __base__=Training, __doc__=doc, model=(model, ...))


def _space(values: Mapping[str, Any]) -> Mapping[str, Any]:
    space = values.get("space")
    return space if isinstance(space, Mapping) else {}


def with_static(experiment: Experiment, names: Collection[str]) -> Experiment:
    """An experiment in which these numbers of its own model are static."""
    training = experiment.training
    if not names or not isinstance(training.model, OwnModel):
        return experiment
    values = training.model_dump(exclude_unset=True)
    values["model"]["static"] = [*dict.fromkeys((*training.model.static, *names))]
    space = experiment.document.get("space", {})
    root = root_of({**values, "space": space}, experiment.folder)
    decided: Any = root.model_validate(values)
    return replace(experiment, training=decided)


@cache
def file_of(root: Root) -> type[Any]:
    """The class of a whole spec file with such a training."""
    if root is Training:
        return SpecFile
    return create_model("SpecFile", __base__=(FileSections, root), __doc__=SpecFile.__doc__)


def train_of(root: Root) -> Root:
    """The class of its section `train`, which has at least epochs, seed, seeds and stream."""
    variants = variants_of(root, "train")
    assert variants is not None, "every training has a section train"
    return next(iter(variants.specs.values()))
