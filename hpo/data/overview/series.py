"""Whether a table is a series, whose next values are to be forecast from those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Target
from hpo.data.readers.tables.dates import read_dates
from hpo.spec.words import count_text, shown

if TYPE_CHECKING:
    import pandas as pd

_LEAST_ROWS = 100
_LEAST_ALIKE = 0.5  # correlation of a value with the one before it
# Between most rows lies the same step, or a few of them where rows are missing. Series of working
# days have four such steps of five.
_LEAST_USUAL, _MOST_UNEVEN = 0.7, 0.02
_LEAST_NEARLY_USUAL = 0.4
_MOST_GAPS = 0.1  # of the targets
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


class NoSeries(NamedTuple):
    """Why rows in order of time are not taken for a series, although they are nearly one."""

    reason: str


@dataclass(frozen=True)
class Steps:
    """The times between two rows: the usual one in seconds, and how many others there are.

    `longer` ones span some usual steps, as where rows are missing. `same` are none.
    """

    usual: float
    count: int
    longer: int
    uneven: int
    same: int

    @property
    def share(self) -> float:
        """The share of the usual step."""
        return 1 - (self.longer + self.uneven + self.same) / self.count


def likely_series(
    frame: pd.DataFrame, time: Cells, others: Sequence[Cells], target: Target, rows: int
) -> Series | NoSeries | None:
    """How to forecast the target, if its last value tells more of it than the columns of its row.

    The column `time` holds dates in order, and the rows are neighbours. Some rows may be missing,
    and some targets.
    """
    if len(target.names) > 1 or target.task not in ("regression", "counts") or rows < _LEAST_ROWS:
        return None
    values = frame[target.names[0]].to_numpy(np.float64, na_value=np.nan)
    before = _alike(values[:-1], values[1:])
    beside = [
        _alike(frame[cells.name].to_numpy(np.float64, na_value=np.nan), values)
        for cells in others
        if cells.is_number
    ]
    steps = steps_of(frame, time)
    if before < max(_LEAST_ALIKE, *beside, 0.0) or steps.share < _LEAST_NEARLY_USUAL:
        return None
    if reason := _no_series(steps, others, float(np.isnan(values).mean())):
        return NoSeries(reason)
    window, horizon = next((w, h) for most, w, h in _PERIODS if steps.usual <= most)
    while window + horizon > 0.12 * np.isfinite(values).sum() and horizon > 1:
        window, horizon = window // 2, max(1, horizon // 2)
    return Series(time.name, window, horizon)


def steps_of(frame: pd.DataFrame, time: Cells) -> Steps:
    """The times between the rows; the most frequent one rules."""
    dates = read_dates(frame[time.name])[0]
    steps = np.abs(np.diff(dates).astype("timedelta64[s]").astype(np.float64))
    usual = float(np.median(steps))
    if not usual:
        return Steps(0.0, len(steps), 0, 0, len(steps))
    times = np.maximum(1, np.round(steps / usual))
    # Months and years differ in their days.
    fits = (steps >= 0.9 * times * usual) & (steps <= 1.15 * times * usual)
    same = int((steps == 0).sum())
    longer = int((fits & (times > 1)).sum())
    return Steps(usual, len(steps), longer, int((~fits).sum()) - same, same)


def _no_series(steps: Steps, others: Sequence[Cells], empty: float) -> str:
    """What keeps rows from being a series; empty where nothing does."""
    if steps.same:
        verb = "has" if steps.same == 1 else "have"
        return f"{count_text(steps.same, 'row')} {verb} the time of the row before"
    texts = [cells.name for cells in others if cells.kind in ("text", "category", "date")]
    if texts:
        return f"column {shown(texts[0])} holds no numbers"
    if empty > _MOST_GAPS:
        return f"{100 * empty:.3g} % of the targets are empty"
    if steps.share < _LEAST_USUAL or steps.uneven > _MOST_UNEVEN * steps.count:
        return f"{100 * (1 - steps.share):.3g} % of the steps are not the usual one"
    return ""


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """The size of a correlation; 0 where there is none."""
    known = ~(np.isnan(one) | np.isnan(other))
    one, other = one[known], other[known]
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(one, other)[0, 1]))
