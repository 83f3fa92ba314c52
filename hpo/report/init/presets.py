"""What `hpo init` writes for tables: RealMLP as its paper trains it, and a space by the preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hpo.data.overview.overview import Overview

Preset = Literal["quick", "good", "best"]

# More features than these are mostly words or categories, which have no waves.
_MANY_FEATURES = 2_000
_NARROW, _WIDE = 1_000, 20_000

# Points that together did well on eight public tables: `benchmarks/start_points.py` chose them.
# The first is the spec's own values.
_MODEL, _RATE, _DECAY = {"dropout": 0.3, "frequency": 0.04}, 0.012, 0.15
_STARTS: tuple[Mapping[str, Any], ...] = (
    {},
    {
        "model.frequency": 0.3,
        "model.dropout": 0.45,
        "optimizer.learning_rate": 0.011,
        "optimizer.weight_decay": 0.07,
    },
    {
        "model.numbers": "none",
        "model.dropout": 0.4,
        "optimizer.learning_rate": 0.005,
        "optimizer.weight_decay": 0.45,
    },
    {
        "model.numbers": "none",
        "model.dropout": 0.25,
        "optimizer.learning_rate": 0.013,
        "optimizer.weight_decay": 0.05,
    },
)
# What the space of the preset `quick` does not vary.
_NOT_QUICK = ("model.numbers", "model.frequency")


def suits(overview: Overview) -> bool:
    """Whether an example is a row of numbers and categories: no image, text or window."""
    is_series = isinstance(overview.dataset, Mapping) and "window" in overview.dataset
    has_texts = any(column.treatment.get("type") == "text" for column in overview.columns)
    is_table = not (overview.shape or is_series or has_texts)
    return is_table and overview.features < _MANY_FEATURES


def widths_for(rows: int) -> tuple[int, ...]:
    """The hidden layers for this many training rows."""
    return (64 if rows < _NARROW else 128 if rows < _WIDE else 256,) * 3


def sections(overview: Overview, preset: Preset, widths: tuple[int, ...]) -> dict[str, Any]:
    """Model, loss, optimizer, space and the first points of the search.

    The schedule begins at 0, so that early epochs say little: every trial trains to its end. It is
    judged by its best epoch, as in the paper.
    """
    is_class = overview.target.task == "classification"
    found: dict[str, Any] = {
        "model": {
            "name": "realmlp",
            "widths": list(widths),
            "activation": "mish",
            **_MODEL,
        },
    }
    space: dict[str, Any] = {"include": [f"tables_{preset}"]}
    if is_class:
        found["loss"] = {"name": "cross_entropy", "smoothing": 0.05}
    found["optimizer"] = {
        "name": "adamw",
        "learning_rate": _RATE,
        "beta2": 0.95,
        "weight_decay": _DECAY,
        "schedule": {"name": "coslog"},
    }
    found["train"] = {"keep": "best"}
    fixed = _NOT_QUICK if preset == "quick" else ()
    starts = [{path: v for path, v in point.items() if path not in fixed} for point in _STARTS]
    search = {"scheduler": {"name": "none"}, "start": starts}
    return {**found, "space": space, "search": search}
