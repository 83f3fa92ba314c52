"""A training step of a user's own, `task: {python: rl.py:Task, ...}`, as a spec class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from hpo.registry import SCHEDULERS
from hpo.spec.code.leaves import leaves_class
from hpo.spec.code.own_code import Own, OwnCode, names_code, varied_in
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import (
    COMPUTED,
    REQUIRED,
    Argument,
    literals_of,
    methods_of,
    read_code,
)
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Count, Mark, Spec
from hpo.spec.sections.compression.teacher import TaskCompression
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


class TaskSpec(OwnCode):
    """A training step of a user's own: what its class takes, and the numbers it may vary."""

    python: str
    """The code: a file and a class in it, `rl.py:Task`, or `package.module:Name`."""


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
    """Everything that a trial of an own task needs.

    `data` and, beside it, `compression` are there only if the spec has them.
    """

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
    written = values["task"]
    if not names_code(written):
        return _root(TaskSpec, _further(values))
    own = Own(*read_code(written["python"], folder, literals_of))
    named = (*written, *varied_in(values, ("task",)))
    keys = dict.fromkeys(str(key) for key in named if str(key).isidentifier())
    floats = [str(key) for key in written if isinstance(written[key], float)]
    return _root(_task(own, tuple(keys), tuple(floats)), _further(values))


def task_mistakes(values: Mapping[str, Any], root: type[TaskTraining]) -> Iterator[Mistake]:
    """What is wrong with a task that a document names, and with what it gives the task."""
    own, written, at = own_of(root), values["task"], ("task", "python")
    if own.trouble:
        yield Mistake(at, own.trouble)
    if own.code is None:
        return
    yield from (Mistake(at, text) for text in _class_mistakes(own.code, "data" in values))
    where = f"{own.code.file.name}:"
    knobs = dict(said_by(own).knobs)
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
        for name in varied_in(values, ("task",)):
            if name not in (*names, *_RESERVED):
                text = unknown_name(name, names, "argument or knob")
                yield Mistake(("space", f"task.{name}"), text)
    for argument in own.signature.arguments:
        if argument.default is REQUIRED and argument.name not in written:
            text = f"is missing: {written['python']} needs it ({where}{argument.line})"
            yield Mistake(("task", argument.name), text)


def task_search_mistakes(search: SearchSpec, root: type[TaskTraining]) -> Iterator[Mistake]:
    """What a search asks for that its task does not report."""
    own = own_of(root)
    said, title = said_by(own), own.code.text if own.code else ""
    directions = dict(said.metrics)
    if not directions:
        return
    objectives = zip(search.objective_paths, search.goal.objectives, strict=True)
    for index, (at, objective) in enumerate(objectives):
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
    if SCHEDULERS[search.scheduler.name].changes_hparams and not said.knobs:
        text = f"changes numbers while trials train, and {title} has no knobs: "
        text += f"write {_EXAMPLES[_KNOBS]} in its class"
        yield Mistake(("search", "scheduler"), text)


def own_of(root: type[TaskTraining]) -> Own:
    """What is known of the code of a task."""
    section: Any = root.model_fields["task"].annotation
    found: Own = section.own
    return found


@cache
def said_by(own: Own) -> Literals:
    """The literals of the class of a task, without those of no use: see `task_mistakes`."""
    known = {} if own.code is None else literals_of(own.code)
    metrics, steps, knobs = (known.get(name) for name in (_METRICS, _STEPS, _KNOBS))
    return Literals(
        tuple(metrics.items()) if metrics is not None and _is_metrics(metrics) else (),
        steps if steps is not None and _is_count(steps) else 0,
        tuple(knobs.items()) if knobs is not None and _is_numbers(knobs) else (),
    )


def _metric_text(name: str, directions: Mapping[str, str]) -> str:
    """What is wrong with the name of a metric; empty for a good one."""
    if name in directions or name in ("train_seconds", "energy_joules"):
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


@cache
def _task(own: Own, keys: tuple[str, ...], floats: tuple[str, ...]) -> type[TaskSpec]:
    """The class of the section: its class says which numbers are knobs, arguments are static."""
    knobs: Mapping[str, Any] = (
        dict(said_by(own).knobs) if own.code else dict.fromkeys(floats, REQUIRED)
    )
    numbers = [
        Argument(name, "float", default if default is REQUIRED else float(default), 0)
        for name, default in knobs.items()
    ]
    taken = [
        replace(one, default=COMPUTED) if one.default is REQUIRED else one
        for one in own.signature.arguments
    ]
    hidden = [Argument(key, "", COMPUTED, 0) for key in keys]
    arguments = (*numbers, *taken, *hidden)  # of two with one name, the first one counts

    def mark(argument: Argument, _kind: Any) -> Mark:
        return Mark.KNOB if argument.name in knobs else Mark.STATIC

    made = leaves_class(TaskSpec, replace(own.signature, arguments=arguments), mark, _RESERVED)
    made.own = own
    return made


# The sections that a task reads where a spec has them, the later ones beside the first alone.
_FURTHER: dict[str, type[Spec]] = {"data": DataSpec, "compression": TaskCompression}


def _further(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in _FURTHER if name in values) if "data" in values else ()


@cache
def _root(task: type[TaskSpec], further: tuple[str, ...]) -> type[TaskTraining]:
    fields: dict[str, Any] = {"task": (task, ...)}
    fields |= {name: (_FURTHER[name], ...) for name in further}
    doc = TaskTraining.__doc__
    return create_model("TaskTraining", __base__=TaskTraining, __doc__=doc, **fields)
