"""The spec class of a command's trials: a leaf for each value, by its short name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, create_model

from hpo.registry import SCHEDULERS
from hpo.space import SearchSpace
from hpo.spec.code.own_code import Own
from hpo.spec.code.signature import COMPUTED, REQUIRED, read_code
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Mark, Spec
from hpo.spec.sections.command import (
    GIVEN,
    NAME,
    CommandSpec,
    CommandTrain,
    filled_words,
    names_in,
    placed,
)
from hpo.spec.sections.goal import COSTS
from hpo.spec.sections.search import SearchSpec
from hpo.spec.words import unknown_name

# Sections of a spec file, which no value can be named after.
_SECTIONS = ("command", "train", "name", "space", "search", "study")
_KEYS_OF_SPACE = ("forbid", "include")


class CommandTraining(Spec):
    """A trial of a command: its values are leaves beside these sections."""

    command: CommandSpec
    """The command that a trial runs."""
    train: CommandTrain = CommandTrain()
    """How long a trial trains, and its seeds."""

    @property
    def values(self) -> dict[str, Any]:
        """The value of each name."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in CommandTraining.model_fields
        }

    @property
    def asks(self) -> bool:
        """Whether it is a function that asks for its values, as an objective of Optuna does."""
        return self.command.own is not None and _asks(self.command.own)


def command_root(values: Mapping[str, Any], folder: Path) -> type[CommandTraining]:
    """The spec class of a document with a section `command`.

    Its leaves are the names of `command.values`, and those that the space alone has.
    """
    command, space = values.get("command"), values.get("space")
    given = command.get("values") if isinstance(command, Mapping) else None
    names = {str(name): given[name] for name in given} if isinstance(given, Mapping) else {}
    own = _own(command, folder)
    for name in space if isinstance(space, Mapping) else ():
        if isinstance(name, str) and name not in (*_KEYS_OF_SPACE, *names):
            names[name] = None
    sound = {name: value for name, value in names.items() if is_free(name)}
    for argument in () if own is None else own.signature.arguments:
        if argument.name != "trial" and is_free(argument.name):
            is_known = argument.default not in (REQUIRED, COMPUTED)
            sound.setdefault(argument.name, argument.default if is_known else None)
    return _root(json.dumps(sound, default=str), own)


def command_mistakes(training: CommandTraining, space: SearchSpace) -> Iterator[Mistake]:
    """What is wrong between a command, its values and the space."""
    command, values, at = training.command, training.values, ("command", "run")
    named = names_in(command)
    if command.python is not None:
        return  # see `function_mistakes`
    for name in command.values:
        if not is_free(name):
            text = f"is a word of hpo's own: call the value {name}_ or otherwise"
            yield Mistake(("command", "values", name), text)
    for name in sorted(named - values.keys() - {*GIVEN}):
        text = f"names {{{name}}}: {unknown_name(name, [*values, *GIVEN], 'value')}"
        yield Mistake(at, text)
    if "config" in named and "config" not in values:
        return
    for name in values:
        if name not in named:
            where = ("space", name) if name in space.by_path else ("command", "values", name)
            text = "does not reach the command: write {" + name + "}, or {config} for a file of all"
            yield Mistake(where, text)


def function_mistakes(values: Mapping[str, Any], root: type[CommandTraining]) -> Iterator[Mistake]:
    """What is wrong between the function that a document calls, its arguments and the space."""
    own: Own | None = getattr(root.model_fields["command"].annotation, "own", None)
    if own is None:
        return
    command, space, at = values["command"], values.get("space"), ("command", "python")
    if own.code is None:
        yield Mistake(at, own.trouble)
        return
    text, signature = command["python"], own.signature
    names = [one.name for one in signature.arguments]
    if signature.unchecked or _asks(own):
        return
    defaults = command.get("values")
    fixed = defaults if isinstance(defaults, Mapping) else {}
    varied = space if isinstance(space, Mapping) else {}
    for name in (*varied, *(name for name in fixed if name not in varied)):
        if name in root.model_fields and name not in (*CommandTraining.model_fields, *names):
            where = ("space", name) if name in varied else ("command", "values", name)
            known = unknown_name(name, names, "argument")
            yield Mistake(where, f"is not an argument of {text}: {known}")
    for one in signature.arguments:
        is_given = one.name in ("trial", *varied) or fixed.get(one.name) is not None
        if one.default is REQUIRED and not is_given:
            cure = "add it to the space or to command.values"
            yield Mistake(at, f"{text} needs {one.name}: {cure}")


def command_search_mistakes(search: SearchSpec) -> Iterator[Mistake]:
    """What a search asks for that a command cannot give."""
    name = search.scheduler.name
    if search.keep_weights:
        text = "is for weights that hpo trains, and a command keeps its own model: write 0"
        yield Mistake(("search", "keep_weights"), text)
    if SCHEDULERS[name].changes_hparams:
        text = f"{name} copies the weights of trials, which it cannot do for a command: use asha"
        yield Mistake(("search", "scheduler", "name"), text)
    if (first := search.goal.first.metric) in COSTS:
        text = f"{first} is measured, not reported: name a metric that the command reports first"
        yield Mistake(("search", "objective"), text)
        return
    for metric in search.goal.metrics:
        if metric in COSTS and metric != "train_seconds":
            text = f"{metric} is not known of a command: let it report a metric of its own"
            yield Mistake(("search", "objective"), text)


def command_line(training: CommandTraining) -> str:
    """The command with a trial's values, as one would type it."""
    return shlex.join(filled_words(training.command.words, training.values))


def shell_line(training: CommandTraining) -> str:
    """A line for a shell that runs the command with a trial's values, in a new folder of its own.

    It gives the command what a study gives it, but for the place where results are reported.
    """
    command, values, train = training.command, training.values, training.train
    config = f"$d/config.{command.config}"
    shell = {"config": config, "folder": "$d", "checkpoints": "$d"}
    plain = {**values, "trial": train.stream, "seed": train.seed, "epochs": train.epochs}
    hidden = {name: f"HPO{index}HPO" for index, name in enumerate(shell)}
    known = {**hidden, **plain}

    def quoted(text: str) -> str:
        text = shlex.quote(text)
        around = "'" if text.startswith("'") else ""  # the shell fills in nothing within these
        for name, mark in hidden.items():
            text = text.replace(mark, f"{around}{shell[name]}{around}")
        return text

    given = {name: value for name, value in values.items() if value is not None}
    env = {name: text for name, word in command.env.items() if (text := placed(word, known))}
    numbers = {"TRIAL": train.stream, "EPOCHS": train.epochs, "SEED": train.seed}
    own = {f"HPO_{name}": str(number) for name, number in numbers.items()}
    words = [f"{name}={quoted(text)}" for name, text in {**own, **env}.items()]
    words += ["HPO_FOLDER=$d", "HPO_CHECKPOINT_DIR=$d"]
    words += map(quoted, filled_words(command.words, known))
    is_yaml = command.config == "yaml"
    written = yaml.safe_dump(given, default_flow_style=True) if is_yaml else json.dumps(given)
    file = f"echo {shlex.quote(written.strip())} > {config} && "
    return f"d=$(mktemp -d) && {file if 'config' in names_in(command) else ''}{' '.join(words)}"


def is_free(name: str) -> bool:
    """Whether a value may have this name, which is none of hpo's own."""
    return (
        bool(NAME.fullmatch(name)) and name not in _SECTIONS and not hasattr(CommandTraining, name)
    )


def _asks(own: Own) -> bool:
    return [one.name for one in own.signature.arguments] == ["trial"]


def _own(command: Any, folder: Path) -> Own | None:
    """The function that a command calls, if it calls one."""
    text = command.get("python") if isinstance(command, Mapping) else None
    if not isinstance(text, str):
        return None
    place = command.get("folder", ".")
    return Own(*read_code(text, folder / place if isinstance(place, str) else folder))


@cache
def _root(names: str, own: Own | None) -> type[CommandTraining]:
    leaf: Any = Annotated[Any, Mark.HOST]
    fields: dict[str, Any] = {
        name: (leaf, Field(default=default, description="A value of the command."))
        for name, default in json.loads(names).items()
    }
    if own is not None:
        command = create_model("CommandSpec", __base__=CommandSpec, __doc__=CommandSpec.__doc__)
        command.own = own
        fields = {"command": (command, ...), **fields}
    # The leaves come last, so that the class has its sections first in every display.
    return create_model(
        "CommandTraining", __base__=CommandTraining, __doc__=CommandTraining.__doc__, **fields
    )
