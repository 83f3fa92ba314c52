"""The spec class of a document's training: another class where code of the user's is named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import create_model

from hpo.spec.code.own_code import (
    CompiledCode,
    Own,
    OwnCode,
    code_class,
    code_sections,
    names_code,
    section_mistakes,
    varied_in,
)
from hpo.spec.code.own_command import CommandTraining, command_root, function_mistakes
from hpo.spec.code.own_data import OwnData
from hpo.spec.code.own_functions import OwnActivation, OwnAugment, OwnLoss
from hpo.spec.code.own_metric import found_metrics, metric_mistakes
from hpo.spec.code.own_model import OwnModel
from hpo.spec.code.own_task import TaskTraining, task_mistakes, task_root
from hpo.spec.experiment import Experiment, FileSections, SpecFile, Training
from hpo.spec.file.document import Document, KeyPath, Mistake
from hpo.spec.marks import Spec, with_leaves
from hpo.spec.schema import variants_of
from hpo.spec.sections.command import CommandSpec, keys_of_objective
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.updates import rates_class
from hpo.spec.words import unknown_name

# The sections in which a document may name code, and their spec classes.
_CODE: dict[tuple[str, ...], type[OwnCode]] = {
    ("data", "dataset"): OwnData,
    ("model",): OwnModel,
    ("model", "activation"): OwnActivation,
    ("loss",): OwnLoss,
    ("augment",): OwnAugment,
}
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
    root: Root = task_root(values, folder) if "task" in values else Training
    parts: dict[str, type[Spec]] = {}
    for path, parent in _sections(values, root):
        made: type[Spec] = code_class(parent, _at(values, path), varied_in(values, path), folder)
        if len(path) == 2:
            made = _with_field(_holder(values, path), path[1], made)
        parts[path[0]] = made
    if root is Training and (names := _rated(values)):
        parts["updates"] = rates_class(names)
    metrics = found_metrics(values, folder) if root is Training else ()
    return _with_parts(root, tuple(parts.items()), metrics) if parts or metrics else root


def code_mistakes(values: Any, root: Root) -> Iterator[Mistake]:
    """What is wrong with code that a document names, and with what it gives the code."""
    if not isinstance(values, Mapping):
        return
    if issubclass(root, TaskTraining):
        yield from task_mistakes(values, root)
    if issubclass(root, CommandTraining):
        yield from function_mistakes(values, root)
    for path, _ in _sections(values, root):
        kind: Any = root
        for name in path:
            kind = kind.model_fields[name].annotation
        yield from section_mistakes(path, _at(values, path), varied_in(values, path), kind)
    if issubclass(root, Training):
        yield from metric_mistakes(values, root.own_metrics)


def _sections(
    values: Mapping[str, Any], root: Root
) -> Iterator[tuple[tuple[str, ...], type[OwnCode]]]:
    """The sections of a training that name code in a document, and their spec classes."""
    for path, parent in _CODE.items():
        is_there = path == ("data", "dataset") or issubclass(root, Training)
        if is_there and names_code(_at(values, path)) and _has_holder(values, path):
            yield path, parent


def _rated(values: Mapping[str, Any]) -> frozenset[str]:
    """The patterns of layers whose rates a document gives or varies."""
    written = _at(values, ("updates", "rates"))
    names = [*written] if isinstance(written, Mapping) else []
    names += varied_in(values, ("updates", "rates"))
    return frozenset(name for name in names if isinstance(name, str))


def _has_holder(values: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    return len(path) == 1 or path[1] in getattr(_holder(values, path), "model_fields", {})


def _holder(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The spec class of a section of a document that names code below it; None for no such one."""
    if path[0] == "data":
        return DataSpec
    variants, section = variants_of(Training, path[0]), values[path[0]]
    return variants.chosen(section) if variants else None


@cache
def _with_parts(
    root: Root, parts: tuple[tuple[str, type[Spec]], ...], metrics: tuple[tuple[str, Own], ...]
) -> Root:
    """The class of a training like `root` with these parts and metrics of the user's own."""
    fields: Any = {name: (kind, _default(kind)) for name, kind in parts}
    made = create_model(root.__name__, __base__=root, __doc__=root.__doc__, **fields)
    if root is Training:
        made.own_metrics = dict(metrics)  # type: ignore[attr-defined]
    return made


def _default(kind: type[Spec]) -> Any:
    """The default of a section: the class's own where it needs no key, else none."""
    needs_none = not any(field.is_required() for field in kind.model_fields.values())
    return kind() if needs_none else ...


@cache
def _with_field(spec: type[Spec], field: str, kind: type[Spec]) -> type[Spec]:
    """The class of a section like `spec` with this part of the user's own."""
    fields: Any = {field: (kind, ...)}
    return create_model(spec.__name__, __base__=spec, __doc__=spec.__doc__, **fields)


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

    def moved(path: KeyPath) -> KeyPath:
        is_own = len(path) > 1 and path[0] == "data" and path[1] in own
        return ("data", "dataset", *path[1:]) if is_own else path

    found = document.moved({**values, "data": {"dataset": own, **rest}}, moved)
    if (at := document.places.get(("data", "python"))) is not None:
        found.places["data", "dataset"] = at
    return found


def as_command(document: Document) -> Document:
    """A document whose section `objective` is read as the command that calls its function."""
    values = document.values
    section = values.get("objective") if isinstance(values, Mapping) else None
    if not isinstance(section, Mapping) or "command" in values:
        return document
    keys = keys_of_objective()
    unknown = [key for key in section if _is_unknown(key, (*keys, *CommandSpec.model_fields))]
    command = {keys.get(key, key): of for key, of in section.items() if key not in unknown}

    def moved(path: KeyPath) -> KeyPath:
        if path[:1] != ("objective",):
            return path
        return ("command", *(keys.get(str(key), key) for key in path[1:2]), *path[2:])

    renamed = {"command" if key == "objective" else key: value for key, value in values.items()}
    found = document.moved({**renamed, "command": command}, moved)
    wrong = [Mistake(("command", key), unknown_name(key, keys, "key")) for key in unknown]
    return replace(found, mistakes=(*found.mistakes, *wrong))


def _is_unknown(key: Any, known: Collection[str]) -> bool:
    # The class of the section has a message of its own for a dotted key.
    return isinstance(key, str) and key not in known and "." not in key


def _at(values: Any, path: tuple[str, ...]) -> Any:
    """The value at a path of a document; None where there is none."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def with_static(experiment: Experiment, paths: Collection[str]) -> Experiment:
    """An experiment in which these numbers of code of the user's own are static: `loss.gamma`."""
    sections = dict(code_sections(experiment.training))
    named = [(section, name) for section, _, name in (path.rpartition(".") for path in paths)]
    added = [(s, name) for s, name in named if isinstance(sections.get(s), CompiledCode)]
    if not added:
        return experiment
    values = experiment.training.model_dump(exclude_unset=True)
    for section, name in added:
        written = _at(values, tuple(section.split(".")))
        written["static"] = [*dict.fromkeys((*written.get("static", ()), name))]
    root = root_of({**values, "space": experiment.document.get("space", {})}, experiment.folder)
    decided: Any = root.model_validate(values)
    return replace(experiment, training=decided)


def with_precision(experiment: Experiment, name: str) -> Experiment:
    """An experiment that trains in this precision."""
    document = dict(experiment.document)
    document["train"] = {**document["train"], "precision": name}
    training = with_leaves(experiment.training, {"train.precision": name})
    return replace(experiment, training=training, document=document)


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
