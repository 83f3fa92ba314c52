"""What a look at a data set shows, in plain values: what `hpo init` and `hpo data show` tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hpo.spec.sections.data import Task

Kind = Literal["number", "whole", "boolean", "category", "date", "text", "empty"]
Role = Literal["feature", "target", "dropped", "split"]


@dataclass(frozen=True)
class ColumnOverview:
    """A column of a table.

    `distinct` counts the different cells that are no gaps, `example` is the first of them. `role`
    is what the column is for, `reason` why. `treatment` is what `data.columns.by_name` says of it.
    """

    name: str
    kind: Kind
    gaps: int = 0
    distinct: int = 0
    example: str = ""
    role: Role = "feature"
    reason: str = ""
    treatment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Remark:
    """What a user should know of a data set, and the YAML that changes what is made of it."""

    text: str
    cure: str = ""


@dataclass(frozen=True)
class Target:
    """The columns to predict, and what they are; `why` says how each was found.

    `classes` counts the rows of each class, the most frequent one first.
    """

    names: tuple[str, ...]
    task: Task
    why_names: str
    why_task: str
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Overview:
    """A data set at a look.

    `dataset` is what `data.dataset` says of it, and `options` what the rest of `data` does. `rows`
    is an estimate unless the look `is_whole`; `seen` rows were read. A data set of images has a
    `shape` and no columns. `features` estimates how many numbers a model gets for each row.
    With `can_fold`, no fold lacks a class because a split keeps groups whole.
    """

    name: str
    dataset: Any
    rows: int
    seen: int
    is_whole: bool
    target: Target
    columns: tuple[ColumnOverview, ...] = ()
    shape: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    features: int = 0
    can_fold: bool = True
