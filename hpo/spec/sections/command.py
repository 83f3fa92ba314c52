"""What a spec says about a command: any program whose trials are processes."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hpo.spec.marks import Count, Positive, Spec
from hpo.spec.sections.search import TimeAsWritten, duration_seconds
from hpo.spec.sections.sizes import SizeAsWritten, size_bytes

# What stands in braces in a command: a value's name, or one of `GIVEN`.
NAMED = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# What a command may name beside its values.
GIVEN = ("config", "trial", "seed", "epochs", "folder", "checkpoints")

_Seconds = BeforeValidator(duration_seconds, json_schema_input_type=TimeAsWritten)
_Size = BeforeValidator(size_bytes, json_schema_input_type=SizeAsWritten)


def _words(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if not words_of(value):
        raise ValueError("is empty: write a command such as python train.py --lr {lr}")
    return value


def words_of(run: str | tuple[str, ...]) -> tuple[str, ...]:
    """The words of a command: a text is split as a shell would, and nothing else of a shell."""
    if not isinstance(run, str):
        return run
    try:
        return tuple(shlex.split(run))
    except ValueError as error:
        text = f"cannot be split into words ({str(error).lower()}): close it, or write a list"
        raise ValueError(text) from None


def _pattern(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        groups = re.compile(value).groupindex
    except re.error as error:
        raise ValueError(f"is no regular expression ({error}): correct it") from None
    if not groups:
        example = r"'loss: (?P<val_loss>[-+.\w]+)'"
        raise ValueError(f"names no group: name one after each metric, as in {example}")
    return value


def _value_names(values: dict[str, Any]) -> dict[str, Any]:
    for name in values:
        if not NAME.fullmatch(name):
            text = f"has the name {name!r}: write letters, digits and _ only, a letter first"
            raise ValueError(text)
    return values


class Gpus(Spec):
    """How many of the machine's GPUs a trial has to itself; 0.5 lets two trials share one."""

    gpu: Positive
    """GPUs of a trial, whole or 1/2, 1/3, ...; `CUDA_VISIBLE_DEVICES` names them to it."""

    @model_validator(mode="after")
    def _divides(self) -> Gpus:
        if self.gpu >= 1 and self.gpu != int(self.gpu):
            raise ValueError(f"gpu ({self.gpu:g}) is not whole: write {int(self.gpu)}")
        return self


class Results(Spec):
    """Where a command's results are read: by default every line that it prints.

    A line that holds `val_loss=0.31`, or is a JSON object with that key, reports it.
    """

    pattern: Annotated[str | None, AfterValidator(_pattern)] = None
    """A regular expression for printed lines; each group is named after a metric, or `epoch`."""
    file: str | None = None
    """A file that the command writes, a JSON object a line; relative to its own folder."""


class CommandSpec(Spec):
    """A command that a trial runs, how it gets its values, and how it reports results."""

    # Where the function is that it calls, of a class that `own_command` makes for it.
    own: ClassVar[Any] = None
    run: Annotated[
        str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)], AfterValidator(_words)
    ] = ()
    """The command, as text or a list of words: `python train.py --lr {lr}`. No shell reads it."""
    python: str | None = None
    """A function to call instead, `train.py:objective`; its arguments are the values."""
    folder: str = "."
    """Where the command runs, relative to the folder of the spec."""
    values: Annotated[dict[str, Any], AfterValidator(_value_names)] = Field(default_factory=dict)
    """The values that may vary, with their defaults; the space calls them by these names."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the command, such as `{LR: "{lr}"}`."""
    config: Literal["json", "yaml"] = "json"
    """The format of the file with all values that `{config}` in the command names."""
    results: Results = Results()
    """Where its results are read."""
    slots: Count | Gpus = 1
    """How many trials run at once: a number, or `{gpu: 1}` for one on each GPU."""
    stay: bool = False
    """Whether a function's process stays for further trials; imports and globals stay with it."""
    grace: Annotated[Positive, _Seconds] = 10.0
    """Seconds between SIGTERM, which asks a command to end, and SIGKILL."""
    time_limit: Annotated[
        Positive | None,
        BeforeValidator(duration_seconds, json_schema_input_type=TimeAsWritten | None),
    ] = None
    """How long one trial may run, such as 10m; a longer one fails."""
    memory_limit: Annotated[
        Count | None, BeforeValidator(size_bytes, json_schema_input_type=SizeAsWritten | None)
    ] = None
    """Memory that a trial's processes may use together, such as 2GiB; one that takes more fails."""
    log_limit: Annotated[Count, _Size] = 16 * 2**20
    """How much of a trial's output its log keeps, such as 16MiB."""

    @model_validator(mode="after")
    def _runs_one_thing(self) -> CommandSpec:
        if (not self.run) == (self.python is None):
            raise ValueError("needs one of run and python: write run: python train.py --lr {lr}")
        if self.python is not None and self.config != "json":
            raise ValueError("config goes with run: a function gets its values as arguments")
        if self.stay and (self.python is None or self.env):
            raise ValueError("stay goes with python, and not with env: leave one of them out")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the command."""
        if self.python is not None:
            return (sys.executable, "-m", "hpo.api.functions.worker", self.python, "{config}")
        return words_of(self.run)

    @property
    def text(self) -> str:
        """The command as one would type it."""
        if self.python is not None:
            return self.python
        return self.run if isinstance(self.run, str) else shlex.join(self.run)


def keys_of_objective() -> dict[str, str]:
    """The keys of a section `objective`, each with the key of a command that it stands for."""
    names = (name for name in CommandSpec.model_fields if name not in ("run", "config"))
    return {"workers" if name == "slots" else name: name for name in names}


class CommandTrain(Spec):
    """How long a command's trial trains, and its seeds."""

    epochs: Count = 1
    """How many results a full trial reports, one after each epoch."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the study; a command gets its trial's as `{seed}` and `HPO_SEED`."""
    seeds: Count = 1
    """How many seeds each trial runs on, from `seed` on; the mean judges it."""
    stream: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The number of the trial."""


def names_in(command: CommandSpec) -> frozenset[str]:
    """What the command and its environment name in braces."""
    texts = (*command.words, *command.env.values())
    return frozenset(name for text in texts for name in NAMED.findall(text))


def placed(text: str, values: Mapping[str, Any]) -> str | None:
    """A word of a command with its values filled in; None where it names one that is not given."""
    if any(values.get(name, "") is None for name in NAMED.findall(text)):
        return None
    return NAMED.sub(
        lambda found: argument_text(values[found[1]]) if found[1] in values else found[0], text
    )


def filled_words(words: Iterable[str], values: Mapping[str, Any]) -> Iterator[str]:
    """The words of a command with its values filled in.

    A word that names a value which is not given is left out, and so is an option before it.
    """
    held: str | None = None
    for word in words:
        text = placed(word, values)
        if held is not None and text is not None:
            yield held
        held = None
        if text is not None and text.startswith("-") and text == word:
            held = text
        elif text is not None:
            yield text
    if held is not None:
        yield held


def argument_text(value: Any) -> str:
    """A value as a command's argument: a list as JSON, true and false in small letters."""
    if isinstance(value, str):
        return value
    is_infinite = isinstance(value, float) and not math.isfinite(value)
    return repr(value) if is_infinite else json.dumps(value)
