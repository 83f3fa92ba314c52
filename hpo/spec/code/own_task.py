"""A training step of a user's own, `task: {python: rl.py:Task, ...}`, as a spec class."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model

from hpo.registry import SCHEDULERS
from hpo.spec.code.leaves import leaves_class
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import (
    COMPUTED,
    REQUIRED,
    Argument,
    Signature,
    literals_of,
    methods_of,
    read_code,
    signature_of,
)
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.marks import Count, Mark, Spec
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.goal import COSTS
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.train import Change
from hpo.spec.words import shown, unknown_name

# The methods of a task, and the names that its class gives literal values.
METHODS = ("init", "step", "evaluate")
_METRICS, _STEPS, _KNOBS = "metrics", "steps", "knobs"
_EXAMPLES = {
    _METRICS: "metrics = {'loss': 'minimize'}",
    _STEPS: "steps = 100",
    _KNOBS: "knobs = {'learning_rate': 0.001}",
}
_RESERVED = ("python", "sha256", "own")


@dataclass(frozen=True)
class Literals:
    """What the class of a task says of itself in literals, read without importing it.

    `metrics` are the names that `evaluate` gives, with the better direction of each. `steps` are
    those of an epoch; 0 for a pass over the data. `knobs` are the numbers that a spec may give it.
    """

    metrics: tuple[tuple[str, str], ...] = ()
    steps: int = 0
    knobs: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class TaskCode:
    """Where the code of a task is and what it takes; `trouble` says why it cannot be read.

    None of its numbers is assumed to be a knob: its class says which are.
    """

    code: Code | None
    signature: Signature
    literals: Literals
    trouble: str
    assumed: ClassVar[tuple[str, ...]] = ()


class TaskSpec(Spec):
    """A training step of a user's own: what its class takes, and the numbers it may vary."""

    own: ClassVar[TaskCode] = TaskCode(None, Signature((), 0), Literals(), "")
    python: str
    """The code: a file and a class in it, `rl.py:Task`, or `package.module:Name`."""
    sha256: str = ""
    """The hash of the file, where the spec is of no use with another version of it."""


class TaskTrain(Spec):
    """How long, from which random numbers and in how many lanes a trial of an own task trains."""

    epochs: Count
    """Epochs of a full training."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the study: proposals, the order of data, and the keys of trials."""
    seeds: Count = 1
    """How many seeds each trial trains on, from `seed` on; the mean judges it."""
    stream: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The random stream of a trial: its number."""
    lanes: Literal["auto"] | Count = "auto"
    """How many trials one program trains together."""
    form: Literal["auto", "map", "vmap"] = "auto"
    """Whether a device trains lanes one after the other (`map`) or side by side (`vmap`)."""
    changes: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    """Numbers that change while it trains; `pbt` finds these."""


class TaskTraining(Spec):
    """Everything that a trial of an own task needs; `data` is there only if the spec has it."""

    task: TaskSpec
    """The training step."""
    train: TaskTrain
    """How long a trial trains, and from which random numbers."""

    @property
    def data_spec(self) -> DataSpec | None:
        """What it says about data; None for a task without data."""
        return getattr(self, "data", None)


def task_root(values: Mapping[str, Any], folder: Path) -> type[TaskTraining]:
    """The spec class of a document with a section `task`, which names code; it runs nothing.

    It takes every key that is written, because the code of a stored study may be missing: see
    `task_mistakes`.
    """
    written, space = values["task"], values.get("space")
    if not isinstance(written, Mapping) or not isinstance(written.get("python"), str):
        return _root(TaskSpec, has_data="data" in values)
    code, trouble = read_code(written["python"], folder, literals_of)
    varied = [str(path).removeprefix("task.") for path in _paths_of_task(space)]
    keys = [str(key) for key in (*written, *varied) if str(key).isidentifier()]
    floats = [key for key in written if isinstance(written[key], float)]
    task = _task(
        written["python"],
        code,
        trouble,
        tuple(dict.fromkeys(key for key in keys if key not in _RESERVED)),
        tuple(map(str, floats)),
    )
    return _root(task, has_data="data" in values)


def task_mistakes(values: Mapping[str, Any], root: type[TaskTraining]) -> Iterator[Mistake]:
    """What is wrong with a task that a document names, and with what it gives the task."""
    own, written, at = own_of(root), values["task"], ("task", "python")
    if own.trouble:
        yield Mistake(at, own.trouble)
    if own.code is None:
        return
    yield from (Mistake(at, text) for text in _class_mistakes(own.code, "data" in values))
    where = f"{own.code.file.name}:"
    knobs = dict(own.literals.knobs)
    arguments = [argument.name for argument in own.signature.arguments]
    names = [*knobs, *arguments]
    for name in names:
        if name in _RESERVED or (name in knobs and name in arguments):
            text = f"{where} {name} is a key of hpo" if name in _RESERVED else ""
            text = text or f"{where} {name} is a knob and an argument of the constructor"
            yield Mistake(at, f"{text}: rename it")
    if not own.signature.unchecked:
        for key in written:
            if key not in (*names, *_RESERVED):
                yield Mistake(("task", key), unknown_name(key, names, "argument or knob"))
        for path in _paths_of_task(values.get("space")):
            name = path.removeprefix("task.")
            if name not in (*names, *_RESERVED):
                yield Mistake(("space", path), unknown_name(name, names, "argument or knob"))
    for argument in own.signature.arguments:
        if argument.default is REQUIRED and argument.name not in written:
            text = f"is missing: {written['python']} needs it ({where}{argument.line})"
            yield Mistake(("task", argument.name), text)


def task_search_mistakes(search: SearchSpec, root: type[TaskTraining]) -> Iterator[Mistake]:
    """What a search asks for that its task does not report."""
    own = own_of(root)
    directions, title = dict(own.literals.metrics), own.code.text if own.code else ""
    if not directions:
        return
    for index, objective in enumerate(search.goal.objectives):
        at: KeyPath = ("search", "objective")
        at += (index,) if isinstance(search.objective, tuple) else ()
        if text := _metric_text(objective.metric, directions):
            yield Mistake(at, text)
        elif objective.metric not in directions and index == 0:
            text = f"{objective.metric} is not known after every epoch, and schedulers follow the"
            better = ", ".join(directions)
            text += f" first objective: write a metric of {title} first: {better}"
            yield Mistake(at, text)
        elif objective.direction != directions.get(objective.metric, objective.direction):
            better = directions[objective.metric]
            text = f"{better}s {objective.metric}: write {{{better}: {objective.metric}}}"
            yield Mistake(at, f"{title} {text}, or change its metrics")
    for index, constraint in enumerate(search.constraints):
        if text := _metric_text(constraint.metric, directions):
            yield Mistake(("search", "constraints", index, "metric"), text)
    if SCHEDULERS[search.scheduler.name].changes_hparams and not own.literals.knobs:
        text = f"changes numbers while trials train, and {title} has no knobs: "
        text += f"write {_EXAMPLES[_KNOBS]} in its class"
        yield Mistake(("search", "scheduler"), text)


def own_of(root: type[TaskTraining]) -> TaskCode:
    """What is known of the code of a task."""
    section: Any = root.model_fields["task"].annotation
    found: TaskCode = section.own
    return found


def _metric_text(name: str, directions: Mapping[str, str]) -> str:
    """What is wrong with the name of a metric; empty for a good one."""
    if name in directions or name == "train_seconds":
        return ""
    if name in COSTS:
        return f"{name} is not known of a task of your own: let evaluate report it"
    return unknown_name(name, [*directions, "train_seconds"], "metric")


def _class_mistakes(code: Code, has_data: bool) -> Iterator[str]:
    """What the class of a task lacks, or says in a way that cannot be read."""
    known, methods = literals_of(code), methods_of(code)
    where = code.text
    for name in (name for name in METHODS if name not in methods):
        yield f"{where} has no method {name}: define {', '.join(METHODS)}"
    metrics, steps, knobs = (known.get(name) for name in (_METRICS, _STEPS, _KNOBS))
    if metrics is None or not _is_metrics(metrics):
        yield _unread(where, _METRICS, metrics)
    elif any(name in (*COSTS, "epoch", "train_loss") for name in metrics):
        yield f"{where} gives a metric a name of hpo's own: rename {', '.join(metrics)}"
    if not _is_count(steps) and not (steps is None and has_data):
        yield _unread(where, _STEPS, steps)
    if not _is_numbers(knobs) and knobs is not None:
        yield _unread(where, _KNOBS, knobs)


def _unread(where: str, name: str, value: Any) -> str:
    """The mistake of a literal that is missing or of another kind."""
    found = f"has no literal {name}" if value is None else f"has {name} = {shown(value)}"
    return f"{where} {found}: write {_EXAMPLES[name]} in the class"


def _is_metrics(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and name.isidentifier() for name in value)
        and all(better in ("minimize", "maximize") for better in value.values())
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and name.isidentifier() and type(number) in (int, float)
        for name, number in value.items()
    )


def _literals(code: Code) -> Literals:
    """The literals of a class, without those that are of no use (`_class_mistakes` names them)."""
    known = literals_of(code)
    metrics, steps, knobs = (known.get(name) for name in (_METRICS, _STEPS, _KNOBS))
    return Literals(
        tuple(metrics.items()) if metrics is not None and _is_metrics(metrics) else (),
        steps if steps is not None and _is_count(steps) else 0,
        tuple(knobs.items()) if knobs is not None and _is_numbers(knobs) else (),
    )


@cache
def _task(
    text: str,
    code: Code | None,
    trouble: str,
    keys: tuple[str, ...],
    floats: tuple[str, ...],
) -> type[TaskSpec]:
    """The class of the section; knobs are marked as such, and arguments are static."""
    signature = Signature((), 0, trouble) if code is None else signature_of(code)
    literals = Literals() if code is None else _literals(code)
    own = TaskCode(code, signature, literals, trouble)
    taken = tuple(
        replace(one, default=COMPUTED) if one.default is REQUIRED else one
        for one in signature.arguments
        if one.name not in dict(literals.knobs)
    )
    lenient = replace(signature, arguments=taken, unchecked=signature.unchecked or "written")
    fields: dict[str, Any] = {}
    numbers = dict(literals.knobs) if code else dict.fromkeys(floats)
    for name, default in numbers.items():
        kind: Any = Annotated[float, Mark.KNOB, Field(allow_inf_nan=False)]
        fields[name] = (kind, ... if default is None else float(default))

    def mark(_argument: Argument, _kind: Any) -> Mark:
        return Mark.STATIC

    with warnings.catch_warnings():
        # An argument may have the name of a method of pydantic, such as `copy`.
        warnings.simplefilter("ignore", UserWarning)
        made: Any = leaves_class("TaskSpec", lenient, mark, _RESERVED, keys, fields, TaskSpec)
    made.own = own
    return made  # type: ignore[no-any-return]


@cache
def _root(task: type[TaskSpec], *, has_data: bool) -> type[TaskTraining]:
    fields: dict[str, Any] = {"task": (task, ...)}
    if has_data:
        fields["data"] = (DataSpec, ...)
    doc = TaskTraining.__doc__
    return create_model("TaskTraining", __base__=TaskTraining, __doc__=doc, **fields)


def _paths_of_task(space: Any) -> list[str]:
    """The paths of a space that lead into the task."""
    paths = list(space) if isinstance(space, Mapping) else []
    return [p for p in paths if isinstance(p, str) and p.startswith("task.") and p.count(".") == 1]
