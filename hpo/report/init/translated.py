"""A first spec that says what a file of another tool says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from hpo.data.overview.overview import Overview
from hpo.report.init.draft import Draft, next_line
from hpo.spec.foreign.translation import Translation

_LOST = "These lines have no place here:"


def sweep_draft(found: Translation, source: str, file: str) -> Draft:
    """The spec of a sweep of W&B, from the file `source`, to be written to `file`."""
    head = [f"Written by `hpo init` from {source}, a sweep of W&B: it runs the same script."]
    order = ("name", "command", "train", "space", "search")
    document = {key: found.document[key] for key in order if key in found.document}
    return Draft(document, found.comments, [*head, *_lost_lines(found), "", next_line(file)])


def config_draft(base: Draft, overview: Overview, found: Translation, source: str) -> Draft:
    """The first spec of a table with what a config of Ludwig, the file `source`, says of it."""
    document = copy.deepcopy(dict(base.document))
    parts = {key: value for key, value in found.document.items() if key not in ("task", "space")}
    if "validation" in parts.get("data", {}):
        document["data"].pop("folds", None)
    comments = dict(base.comments)
    for section, values in parts.items():
        _merge(document[section], values)
        for key in values:
            comments.pop(f"{section}.{key}", None)
    dataset = document["data"]["dataset"]
    if "task" in found.document:
        dataset["task"] = found.document["task"]
    if found.features:
        used = {*found.features, *found.targets}
        left_out = [
            column.name
            for column in overview.columns
            if column.name not in used and column.role != "split"
        ]
        dataset["drop"] = left_out
        columns = document["data"].pop("columns", {})
        by_name = columns.pop("by_name", {})
        kept = {name: value for name, value in by_name.items() if name in used} | found.types
        if columns or kept:
            document["data"]["columns"] = columns | ({"by_name": kept} if kept else {})
    if "space" in found.document:
        document["space"] = found.document["space"]
    head = [f"With what {source}, a config of Ludwig, says.", *_lost_lines(found)]
    return Draft(document, comments, [*base.head[:2], *head, *base.head[2:]])


def _lost_lines(found: Translation) -> list[str]:
    return ["", _LOST, *(f"- {line}" for line in found.lost)] if found.lost else []


def _merge(values: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Put new values into a section, and leave the others as they are."""
    values.update(new)
    if new.get("name") == "sgd":
        values.pop("weight_decay", None)  # that of adamw
