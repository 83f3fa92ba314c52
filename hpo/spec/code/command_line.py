"""A command as one types it, with ranges in place of values: `--lr '~log(1e-5, 1e-1)'`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hpo.errors import HpoError
from hpo.spec.sections.command import NAME
from hpo.spec.words import shown

_RANGE = re.compile(
    r"(?:-{0,2}(?P<option>[\w.-]+)=)?~(?:(?P<name>\w+)=)?(?P<kind>\w+)\((?P<of>.*)\)"
)
# A word that holds a range, but is none.
_MEANT = re.compile(r"^[^\s=]+=~(?:log|float|int|choice)\(")
_EXAMPLE = "write ~log(1e-5, 1e-1), ~float(0, 1), ~int(1, 9), ~int(1, 1000, log) or ~choice(a, b)"


def read_command_line(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The words of a command with names in place of its ranges, and the space of these names.

    A range is named after the option before it, after the key of `key=~int(1, 9)`, or by
    `~name=int(1, 9)`.

    Raises:
        HpoError: for a range that cannot be read, or has no name of its own.
    """
    run: list[str] = []
    space: dict[str, Any] = {}
    for index, word in enumerate(words):
        found = _RANGE.fullmatch(word)
        if found is None:
            if (word.startswith("~") and "(" in word) or _MEANT.search(word):
                raise HpoError(f"hpo run: {shown(word)} is not a range: {_EXAMPLE}.")
            run.append(word)
            continue
        before = words[index - 1] if index and words[index - 1].startswith("-") else ""
        name = found["name"] or (found["option"] or before.lstrip("-"))
        name = re.sub("[.-]", "_", name)
        if not NAME.fullmatch(name) or name in space:
            why = "is the second one of that name" if name in space else "has no option before it"
            kind = f"{found['kind']}({found['of']})"
            raise HpoError(f"hpo run: {shown(word)} {why}: name it, as in ~rate={kind}.")
        space[name] = _entry(word, found["kind"], [one.strip() for one in found["of"].split(",")])
        start = word[: word.index("~")]
        run.append(f"{start}{{{name}}}")
    if not space:
        raise HpoError(f"hpo run: nothing varies in the command: {_EXAMPLE} for a value.")
    return run, space


def _entry(word: str, kind: str, given: list[str]) -> dict[str, Any]:
    """The entry of a space that a range means."""
    if kind == "choice" and given != [""]:
        return {"choice": [_value(one) for one in given]}
    is_log = kind == "log" or given[2:] == ["log"]
    bounds = [_value(one) for one in given[:2]]
    is_sound = kind in ("log", "float", "int") and (len(given) == 2 or given[2:] == ["log"])
    is_number = all(type(one) in (int, float) for one in bounds)
    if not is_sound or not is_number:
        raise HpoError(f"hpo run: {shown(word)} is not a range: {_EXAMPLE}.")
    return {"int" if kind == "int" else "float": bounds, **({"log": True} if is_log else {})}


def _value(text: str) -> Any:
    """A value as it is typed: a number, true or false, or a text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
