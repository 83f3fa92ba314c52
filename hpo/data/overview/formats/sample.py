"""A sample of a table: its head, and where it is large, pieces of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Sample:
    """Some rows of a table, or all.

    `frame` has numbers where cells are numbers, else texts; gaps are missing. `rows` is how many
    the whole table has, an estimate unless the sample `is_whole`. `dataset` is what a spec says of
    the file in `data.dataset`, without the target, and `reasons` says why, by the keys.
    """

    frame: pd.DataFrame
    rows: int
    is_whole: bool
    dataset: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
