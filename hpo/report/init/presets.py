"""What `hpo init` writes for tables: RealMLP as its paper trains it, and a space by the preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hpo.data.overview.overview import Overview

Preset = Literal["quick", "good", "best"]

# More features than these are mostly words or categories, which have no waves.
_MANY_FEATURES = 2_000
_NARROW, _WIDE = 1_000, 20_000

# Points that did well on public tables, beside the spec's own values: docs/models.md says which.
_STARTS: tuple[Mapping[str, Any], ...] = (
    {},
    {
        "model.dropout": 0.15,
        "optimizer.learning_rate": 0.04,
        "optimizer.weight_decay": 0.02,
    },
    {
        "model.dropout": 0.4,
        "optimizer.learning_rate": 0.01,
        "optimizer.weight_decay": 0.4,
    },
)


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

    The schedule begins at 0, so that early epochs say little: every trial trains to its end.
    """
    is_class = overview.target.task == "classification"
    found: dict[str, Any] = {
        "model": {
            "name": "realmlp",
            "widths": list(widths),
            "activation": "mish",
            "dropout": 0.25,
        },
    }
    space: dict[str, Any] = {"include": [f"tables_{preset}"]}
    if is_class:
        found["loss"] = {"name": "cross_entropy", "smoothing": 0.05}
    found["optimizer"] = {
        "name": "adamw",
        "learning_rate": 0.015,
        "beta2": 0.95,
        "weight_decay": 0.1,
        "schedule": {"name": "coslog"},
    }
    search = {"scheduler": {"name": "none"}, "start": [dict(point) for point in _STARTS]}
    return {**found, "space": space, "search": search}
