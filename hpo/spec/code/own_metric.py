"""A metric of a user's own, `{python: metrics.py:top3}`: a function of predictions and targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpo.registry import METRICS
from hpo.spec.code.own_code import Own
from hpo.spec.code.signature import REQUIRED, Signature, read_code
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.sections.goal import COSTS, is_own, name_of, reference

# The arguments that hpo gives a metric by their places, and the one that it gives by its name.
_PLACED, _NAMED = 2, "weight"


def _places(values: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str, str]]:
    """Each place in a document that names a metric of the user's own, its reference and hash.

    The hash is empty where the document asks for none.
    """
    search, train = values.get("search"), values.get("train")
    if isinstance(search, Mapping):
        objective = search.get("objective")
        several = objective if isinstance(objective, list | tuple) else None
        for index, one in enumerate([objective] if several is None else several):
            at = ("search", "objective") if several is None else ("search", "objective", index)
            for key in ("maximize", "minimize"):
                yield from _place((*at, key), one)
        for index, one in enumerate(_listed(search.get("constraints"))):
            yield from _place(("search", "constraints", index, "metric"), one)
    if isinstance(train, Mapping):
        for index, one in enumerate(_listed(train.get("metrics"))):
            yield from _place(("train", "metrics", index), {index: one})


def found_metrics(values: Mapping[str, Any], folder: Path) -> tuple[tuple[str, Own], ...]:
    """The metrics of the user's own that a document names, by their references; nothing runs."""
    asked: dict[str, set[str]] = {}
    for _, text, sha256 in _places(values):
        asked.setdefault(text, set()).update({sha256} - {""})
    return tuple(
        (text, Own(*read_code(text, folder), asked=tuple(sorted(asked[text]))))
        for text in sorted(asked)
    )


def metric_mistakes(values: Mapping[str, Any], metrics: Mapping[str, Own]) -> Iterator[Mistake]:
    """What is wrong with the metrics of the user's own in a document."""
    for at, text, _ in _places(values):
        own, name = metrics[text], name_of(text)
        others = [other for other in metrics if name_of(other) == name and other != text]
        if own.trouble:
            yield Mistake(at, own.trouble)
        elif name in METRICS or name in COSTS:
            yield Mistake(at, f"{text} has the name of a metric of hpo: rename the function")
        elif others:
            cure = "have the same name: rename one of the functions"
            yield Mistake(at, f"{text} and {others[0]} {cure}")
        elif (lacks := _lacks(own.signature)) and own.code is not None:
            yield Mistake(at, f"{text} ({own.code.file.name}:{own.signature.line}) {lacks}")


def takes_weight(own: Own) -> bool:
    """Whether a metric takes the weights of the rows."""
    return _NAMED in [argument.name for argument in own.signature.arguments[_PLACED:]]


def _lacks(signature: Signature) -> str:
    """What is wrong with the arguments of a metric; empty for nothing."""
    if len(signature.arguments) < _PLACED and not signature.unchecked:
        return "must take two arguments: predictions and targets"
    for argument in signature.arguments[_PLACED:]:
        if argument.default is REQUIRED and argument.name != _NAMED:
            return f"takes {argument.name}, which hpo does not give: give it a default"
    return ""


def _place(at: KeyPath, holder: Any) -> Iterator[tuple[KeyPath, str, str]]:
    written = holder.get(at[-1]) if isinstance(holder, Mapping) else None
    try:
        found = reference(written)
    except ValueError:
        return
    if is_own(found):
        yield at, found, written.get("sha256", "") if isinstance(written, Mapping) else ""


def _listed(written: Any) -> tuple[Any, ...]:
    return tuple(written) if isinstance(written, list | tuple) else ()
