"""The spec class of a document's training: another class where code of the user's is named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import create_model

from hpo.spec.code.own_command import command_root
from hpo.spec.code.own_data import OwnData
from hpo.spec.code.own_function import function_class, function_mistakes, names_code
from hpo.spec.code.own_loss import GIVEN, OwnLoss
from hpo.spec.code.own_metric import found_metrics, metric_mistakes, metric_of
from hpo.spec.code.own_model import OwnModel, own_mistakes, own_model
from hpo.spec.code.own_task import TaskTraining, task_mistakes, task_root
from hpo.spec.code.reference import Code
from hpo.spec.experiment import Experiment, FileSections, SpecFile, Training
from hpo.spec.file.document import Document, KeyPath, Mistake, Place
from hpo.spec.marks import Spec
from hpo.spec.schema import variants_of
from hpo.spec.sections.data import DataSpec

# A training's spec class. Its leaves may vary; `train` says how long a trial trains.
Root: TypeAlias = type[Spec]


def root_of(values: Any, folder: Path) -> Root:
    """The class of the training that a document describes; relative paths start at `folder`.

    No code of the user's runs.
    """
    if not isinstance(values, Mapping):
        return Training
    if "command" in values:
        return command_root(values, folder)
    parts: dict[str, type[Spec]] = {}
    if names_code(dataset := _dataset(values)):
        parts["data"] = _data(function_class(OwnData, dataset, {}, folder))
    if "task" in values:
        root = task_root(values, folder)
        return _with_parts(root, tuple(parts.items())) if parts else root
    if names_code(values.get("model")):
        parts["model"] = own_model(values["model"], _space(values), folder)
    if names_code(values.get("loss")):
        varied = _varied(values, "loss")
        parts["loss"] = function_class(
            OwnLoss, values["loss"], varied, folder, GIVEN, is_compiled=True
        )
    metrics = found_metrics(values, folder)
    return _with_parts(Training, tuple(parts.items()), metrics) if parts or metrics else Training


def code_mistakes(values: Any, root: Root) -> Iterator[Mistake]:
    """What is wrong with code that a document names, and with what it gives the code."""
    if issubclass(root, TaskTraining):
        for at, text in task_mistakes(values, root):
            yield Mistake(at, text)
    if not isinstance(values, Mapping):
        return
    if names_code(dataset := _dataset(values)):
        data: Any = root.model_fields["data"].annotation
        kind = data.model_fields["dataset"].annotation
        for path, text in function_mistakes(("data", "dataset"), dataset, {}, kind):
            yield Mistake(path, text)
    if not issubclass(root, Training):
        return
    if names_code(values.get("model")):
        model: Any = root.model_fields["model"].annotation
        for path, text in own_mistakes(values["model"], _space(values), model):
            yield Mistake(path, text)
    if names_code(values.get("loss")):
        loss: Any = root.model_fields["loss"].annotation
        found = function_mistakes(("loss",), values["loss"], _varied(values, "loss"), loss)
        for path, text in found:
            yield Mistake(path, text)
    for at, text in metric_mistakes(values, root.own_metrics):
        yield Mistake(at, text)


@cache
def _with_parts(
    root: Root,
    parts: tuple[tuple[str, type[Spec]], ...],
    metrics: tuple[tuple[str, Code | str], ...] = (),
) -> Root:
    """The class of a training like `root` with these parts and metrics of the user's own.

    A metric is its code, or why that cannot be read.
    """
    fields: Any = {name: (kind, ...) for name, kind in parts}
    if not issubclass(root, Training):
        return create_model(root.__name__, __base__=root, __doc__=root.__doc__, **fields)
    made = create_model("Training", __base__=Training, __doc__=Training.__doc__, **fields)
    made.own_metrics = {text: metric_of(found) for text, found in metrics}
    return made


@cache
def _data(dataset: type[OwnData]) -> type[DataSpec]:
    """The class of a section `data` with a data set of the user's own."""
    fields: Any = {"dataset": (dataset, ...)}
    return create_model("DataSpec", __base__=DataSpec, __doc__=DataSpec.__doc__, **fields)


def with_dataset(document: Document) -> Document:
    """A document whose `data: {python: ...}` is written out as `data: {dataset: {python: ...}}`.

    Keys of `data` stay there; all others are arguments of the function.
    """
    values = document.values
    data: Any = values.get("data") if isinstance(values, Mapping) else None
    if not names_code(data) or "dataset" in data:
        return document
    own = {key: value for key, value in data.items() if key not in DataSpec.model_fields}
    rest = {key: value for key, value in data.items() if key in DataSpec.model_fields}
    places: dict[KeyPath, Place] = {}
    for path, place in document.places.items():
        is_moved = path[:1] == ("data",) and len(path) > 1 and path[1] in own
        places[("data", "dataset", *path[1:]) if is_moved else path] = place
    if (at := document.places.get(("data", "python"))) is not None:
        places["data", "dataset"] = at
    return Document({**values, "data": {"dataset": own, **rest}}, places, document.mistakes)


def _dataset(values: Mapping[str, Any]) -> Any:
    data = values.get("data")
    return data.get("dataset") if isinstance(data, Mapping) else None


def _space(values: Mapping[str, Any]) -> Mapping[str, Any]:
    space = values.get("space")
    return space if isinstance(space, Mapping) else {}


def _varied(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The entries of the space for the leaves of a section, by the names of the leaves."""
    return {
        path.removeprefix(f"{section}."): entry
        for path, entry in _space(values).items()
        if isinstance(path, str) and path.startswith(f"{section}.")
    }


def with_static(experiment: Experiment, names: Collection[str]) -> Experiment:
    """An experiment in which these numbers of its own model, or of its loss, are static.

    Those of its loss are written `loss.gamma`.
    """
    if not isinstance(experiment.training, Training):
        return experiment
    training = experiment.training
    values = training.model_dump(exclude_unset=True)
    of_loss = [name.removeprefix("loss.") for name in names if name.startswith("loss.")]
    of_model = [name for name in names if not name.startswith("loss.")]
    is_changed = False
    for section, own, added in (
        ("model", training.model, of_model),
        ("loss", training.loss, of_loss),
    ):
        if added and isinstance(own, OwnModel | OwnLoss):
            values[section]["static"] = [*dict.fromkeys((*own.static, *added))]
            is_changed = True
    if not is_changed:
        return experiment
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
