"""A first spec for a data set: what `hpo init` writes, with a comment for each guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.data.overview.overview import Overview, Target
from hpo.errors import one_line
from hpo.report.init.budget import FEW_TO_TRAIN, Budget
from hpo.report.init.presets import sections
from hpo.report.init.wording import looked_text, remark_text, seconds_text, task_text
from hpo.spec.file.dump import dump_spec
from hpo.spec.words import count_text

_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_UNEVEN_SHARE, _UNEVEN_CLASSES = 1 / 3, 5.0
# Fewer cells than this are quickly prepared once more, as another `transform` needs.
_MOST_CELLS = 5_000_000
_LEAST_GAPS = 0.05
_LARGE_SIDE = 64  # of images whose pixels are classified
_TIME_FOR_PROGRAMS = 60.0  # seconds of a search that leave time to compile more than one
_MOST_REMARKS = 20


@dataclass(frozen=True)
class Draft:
    """A first spec: plain values, a comment beside some of them, and the lines of its head."""

    document: Mapping[str, Any]
    comments: Mapping[str, str]
    head: Sequence[str]

    @property
    def text(self) -> str:
        """The spec as commented YAML."""
        beside = {path: text for path, text in self.comments.items() if self._holds(path)}
        return dump_spec(self.document, beside, "\n".join(self.head))

    def _holds(self, path: str) -> bool:
        """Whether there is a value at a dotted path, whose last keys may have dots."""
        here: Any = self.document
        while isinstance(here, Mapping):
            if path in here:
                return True
            key, _, path = path.partition(".")
            here = here.get(key)
        return False


def draft(overview: Overview, budget: Budget, cores: int, file: str) -> Draft:
    """The first spec of a data set; `file` is the name that it gets."""
    metric, direction, why_metric = metric_of(overview.target)
    data = _data(overview, budget)
    document: dict[str, Any] = {"name": study_name(overview.name), "data": data}
    space: dict[str, Any] = {}
    if overview.shape:
        document["model"], filters = _image_model(overview)
        if budget.timeout is None or budget.timeout >= _TIME_FOR_PROGRAMS:
            space["model.filters"] = {"choice": filters}
    elif budget.preset is None:
        middle = budget.widths[len(budget.widths) // 2]
        document["model"] = {"name": "mlp", "widths": list(middle), "dropout": 0.1}
        space["model.widths"] = {"choice": [list(widths) for widths in budget.widths]}
    search = {"objective": {direction: metric}, "trials": budget.trials}
    if budget.preset is not None:
        made = sections(overview, budget.preset, budget.widths[-1])
        space, search = made.pop("space"), {**search, **made.pop("search")}
        document |= made
    else:
        document["optimizer"] = {
            "name": "adamw",
            "learning_rate": 3e-3,
            "weight_decay": 1e-4,
            "schedule": {"name": "cosine", "warmup": 0.1},
        }
        space["model.dropout"] = {"float": [0.0, 0.5]}
        is_small = not overview.shape and 0.6 * overview.rows < FEW_TO_TRAIN
        highest = 0.1 if is_small else 3e-2
        space["optimizer.learning_rate"] = {"float": [3e-4, highest], "log": True}
        space["optimizer.weight_decay"] = {"float": [1e-6, 1e-1], "log": True}
    document["train"] = {"epochs": budget.epochs, **document.get("train", {})}
    if _varies_transform(overview):
        space["data.columns.transform"] = {"choice": ["none", "quantile"]}
    if _has_texts(overview):
        space["data.text.ngrams"] = {"choice": [[1, 1], [1, 2]]}
    document["space"] = space
    document["search"] = search
    if budget.timeout is not None:
        document["search"]["timeout"] = _duration(budget.timeout)
    others = [name for name in _OTHERS[overview.target.task] if name != metric]
    comments = _comments(overview, budget, cores, f"{why_metric}; others: {', '.join(others)}")
    return Draft(document, comments, _header(overview, file))


def _image_model(overview: Overview) -> tuple[dict[str, Any], list[Any]]:
    """The model of images, and the numbers of its filters to choose from."""
    if overview.target.task == "segmentation":
        depth = 2 if min(overview.shape[:2]) < _LARGE_SIDE else 3
        return {"name": "unet", "filters": 8, "depth": depth, "norm": "batch"}, [8, 16]
    return _CNN, [[16, 32], [32, 64]]


_CNN: dict[str, Any] = {
    "name": "cnn",
    "filters": [16, 32],
    "kernel": 3,
    "dense": 128,
    "norm": "batch",
    "dropout": 0.2,
}


def study_name(file: str) -> str:
    """A name that a study may have, from the name of its data."""
    name = re.sub(r"\.(gz|[A-Za-z]{2,7})$", "", re.sub(r"\.gz$", "", file))
    return _NAME.sub("-", name).strip("-._") or "study"


def metric_of(target: Target) -> tuple[str, str, str]:
    """The metric to judge by, its better direction, and why."""
    match target.task:
        case "regression":
            return "rmse", "minimize", "the usual error, in the unit of the target"
        case "counts":
            return "deviance", "minimize", "the error of a Poisson regression"
        case "segmentation":
            return "iou", "maximize", "the overlap of each class"
        case "multilabel":
            return "average_precision", "maximize", "the ranking of rows for each label"
    counts = [*target.classes.values()] or [1, 1]
    if len(counts) == 2 and min(counts) < _UNEVEN_SHARE * sum(counts):
        return "auroc", "maximize", "classes are uneven, so that accuracy flatters"
    if max(counts) >= _UNEVEN_CLASSES * min(counts):
        return "macro_f1", "maximize", "classes are uneven, so that accuracy flatters"
    return "accuracy", "maximize", "classes are about even"


def _data(overview: Overview, budget: Budget) -> dict[str, Any]:
    judged: dict[str, Any] = {"folds": budget.folds} if budget.folds else {"validation": 0.2}
    data: dict[str, Any] = {"dataset": overview.dataset, **judged, "test": 0.2}
    if budget.rows is not None:
        data["rows"] = budget.rows
    options = dict(overview.options)
    if "test" in options:
        data["test"] = options.pop("test")
    if "split" in options:
        data["split"] = options.pop("split")
    data["batch_size"] = budget.batch_size
    if budget.preset is not None:
        data |= {"normalize": "robust", "clip": 3.0}
    columns = dict(options.pop("columns", {}))
    if any(
        column.role == "feature" and column.gaps >= _LEAST_GAPS * overview.seen
        for column in overview.columns
    ):
        columns = {"flag": True, **columns}
    if columns:
        data["columns"] = columns
    if _has_texts(overview):
        data["text"] = {"ngrams": [1, 2], "features": 2000}
    return data | options


def _has_texts(overview: Overview) -> bool:
    return any(column.treatment.get("type") == "text" for column in overview.columns)


def _varies_transform(overview: Overview) -> bool:
    numbers = [c for c in overview.columns if c.role == "feature" and c.kind in ("number", "whole")]
    if isinstance(overview.dataset, Mapping) and "window" in overview.dataset:
        return False
    return bool(numbers) and overview.rows * max(1, overview.features) <= _MOST_CELLS


def _duration(seconds: float) -> str:
    """A duration as a spec has it, in the largest unit that says it exactly: `90s`, `10m`, `2h`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.12g}s"


def _comments(overview: Overview, budget: Budget, cores: int, objective: str) -> dict[str, str]:
    target = overview.target
    seconds = seconds_text(budget.seconds)
    return {
        "data.dataset.target": target.why_names,
        "data.dataset.task": f"{target.why_task}; else {_OTHER_TASKS[target.task]}",
        "data.rows": "a part of them, so that the search ends in time; remove for all",
        "data.folds": "few rows: one split would decide by chance; else validation: 0.2",
        "data.columns.flag": "says where cells are empty",
        "search.objective": objective,
        "search.trials": f"about {seconds} on {count_text(cores, 'core')}",
        "train.epochs": "of each trial: its schedule starts from 0, so that early epochs say little"
        if budget.preset is not None
        else "of the trials that are not stopped early",
        "data.text": "also stop_words, tokens and reduce",
        "space.data.text.ngrams": "single tokens, or also pairs of neighbours",
        "space.data.columns.transform": "quantile helps with skewed numbers",
        **{f"data.{path}": text for path, text in overview.reasons.items()},
    }


_OTHERS = {
    "classification": ("accuracy", "auroc", "macro_f1", "log_loss"),
    "multilabel": ("average_precision", "auroc", "macro_f1", "accuracy"),
    "segmentation": ("iou", "pixel_accuracy", "loss"),
    "regression": ("rmse", "mae", "r2", "mape"),
    "counts": ("deviance", "rmse", "mae"),
}
_OTHER_TASKS = {
    "classification": "regression",
    "multilabel": "regression",
    "regression": "classification",
    "counts": "regression",
    "segmentation": "none",
}


def _header(overview: Overview, file: str) -> list[str]:
    """What was seen, and how to change what was made of it."""
    lines = [
        f"Written by `hpo init` for {one_line(overview.name)}: {looked_text(overview)}.",
        f"Task: {task_text(overview.target)}.",
    ]
    if overview.remarks:
        lines += ["", "Look at these; each line gives the YAML that changes it:"]
    for remark in overview.remarks[:_MOST_REMARKS]:
        lines.append(f"- {one_line(remark_text(remark))}")
    return [*lines, "", next_line(file)]


def next_line(file: str) -> str:
    """What to do with a spec that was written to a file."""
    return f"Next:  hpo check {file}  then  hpo search {file}"
