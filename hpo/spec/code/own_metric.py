"""A metric of a user's own, `{python: metrics.py:top3}`: a function of predictions and targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from hpo.registry import METRICS
from hpo.spec.code.own_model import Own
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import REQUIRED, Signature, read_code, signature_of
from hpo.spec.sections.goal import COSTS, is_own, name_of, reference

# The arguments that hpo gives a metric by their places, and the one that it gives by its name.
_PLACED, _NAMED = 2, "weight"


def metric_places(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each place in a document that names a metric of the user's own, and its reference."""
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


def found_metrics(values: Mapping[str, Any], folder: Path) -> tuple[tuple[str, Code | str], ...]:
    """The metrics of the user's own that a document names: reference, and code.

    Where the code cannot be read, it is the reason instead. Nothing runs.
    """
    found: dict[str, Code | str] = {}
    for _, text in metric_places(values):
        code, trouble = read_code(text, folder)
        found[text] = code or trouble
    return tuple(sorted(found.items(), key=itemgetter(0)))


def metric_of(found: Code | str) -> Own:
    """A metric from its code, or from the reason why that cannot be read."""
    if isinstance(found, str):
        return Own(None, Signature((), 0, found), found, (), ())
    return Own(found, signature_of(found), "", (), ())


def metric_mistakes(
    values: Mapping[str, Any], metrics: Mapping[str, Own]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the metrics of the user's own in a document, as (key path, sentence)."""
    for at, text in metric_places(values):
        own, name = metrics[text], name_of(text)
        others = [other for other in metrics if name_of(other) == name and other != text]
        if own.trouble:
            yield at, own.trouble
        elif name in METRICS or name in COSTS:
            yield at, f"{text} has the name of a metric of hpo: rename the function"
        elif others:
            yield at, f"{text} and {others[0]} have the same name: rename one of the functions"
        elif (lacks := _lacks(own.signature)) and own.code is not None:
            yield at, f"{text} ({own.code.file.name}:{own.signature.line}) {lacks}"


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


def _place(at: tuple[str | int, ...], holder: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    written = holder.get(at[-1]) if isinstance(holder, Mapping) else None
    try:
        found = reference(written)
    except ValueError:
        return
    if is_own(found):
        yield at, found


def _listed(written: Any) -> tuple[Any, ...]:
    return tuple(written) if isinstance(written, list | tuple) else ()
