"""Whether a table is a series, whose next values are to be forecast from those before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Target
from hpo.data.readers.tables.dates import read_dates

if TYPE_CHECKING:
    import pandas as pd

_LEAST_ROWS = 100
_LEAST_ALIKE = 0.5  # correlation of a value with the one before it
_HOUR, _DAY = 3600.0, 86400.0
# The longest step between two rows in seconds, and then the rows of a window and of a horizon.
_PERIODS = (
    (0.5 * _HOUR, 96, 12),
    (3 * _HOUR, 48, 24),
    (2 * _DAY, 28, 7),
    (15 * _DAY, 26, 4),
    (100 * _DAY, 24, 12),
    (np.inf, 8, 1),
)


class Series(NamedTuple):
    """The column that orders the rows of a series, and how much of it is seen and forecast."""

    time: str
    window: int
    horizon: int


def likely_series(
    frame: pd.DataFrame, time: Cells, others: Sequence[Cells], target: Target, rows: int
) -> Series | None:
    """How to forecast the target, if its last value tells more of it than the columns of its row.

    The column `time` holds dates in order, and the rows are neighbours.
    """
    if len(target.names) > 1 or target.task not in ("regression", "counts") or rows < _LEAST_ROWS:
        return None
    if any(cells.kind in ("text", "category", "date") for cells in others):
        return None
    step = _step(frame, time)
    values = frame[target.names[0]].to_numpy(np.float64, na_value=np.nan)
    if step is None or np.isnan(values).any():
        return None
    before = _alike(values[:-1], values[1:])
    beside = [
        _alike(frame[cells.name].to_numpy(np.float64, na_value=np.nan), values)
        for cells in others
        if cells.is_number
    ]
    if before < max(_LEAST_ALIKE, *beside, 0.0):
        return None
    window, horizon = next((w, h) for most, w, h in _PERIODS if step <= most)
    while window + horizon > 0.12 * rows and horizon > 1:
        window, horizon = window // 2, max(1, horizon // 2)
    return Series(time.name, window, horizon)


def _step(frame: pd.DataFrame, time: Cells) -> float | None:
    """The seconds between two rows, if they are about the same between all."""
    dates = read_dates(frame[time.name])[0]
    steps = np.abs(np.diff(dates).astype("timedelta64[s]").astype(np.float64))
    middle = float(np.median(steps))
    # Months and years differ in their days; a few rows of a series may be missing.
    is_usual = (steps >= 0.9 * middle) & (steps <= 1.15 * middle)
    return middle if middle > 0 and is_usual.mean() > 0.98 else None


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """The size of a correlation; 0 where there is none."""
    known = ~(np.isnan(one) | np.isnan(other))
    one, other = one[known], other[known]
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(one, other)[0, 1]))
