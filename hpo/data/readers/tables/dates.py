"""Dates in the cells of a column, and their parts as numbers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.transforms.features import Part

if TYPE_CHECKING:
    import pandas as pd


def read_dates(texts: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The date of each text, in UTC where it has a time zone, and whether it could be read.

    A date such as 03/04/2024 is read only if other rows show which of the two is the day.
    """
    texts = texts.astype(str).str.strip()
    readings = [_dates(texts, format="ISO8601")]
    if readings[0].isna().all():
        readings = [_dates(texts, dayfirst=is_day_first) for is_day_first in (False, True)]
    readings.sort(key=lambda reading: int(reading.isna().sum()))
    dates, others = readings[0], readings[-1]
    is_read = dates.notna()
    if is_read.all() and others.notna().all():
        is_read = dates == others
    return dates.to_numpy("datetime64[us]"), is_read.to_numpy()


def parts_of(dates: np.ndarray) -> dict[Part, np.ndarray]:
    """Days since 1970, year, month, day, weekday (Monday is 0) and hour, float64.

    NaN where there is no date. Dates without a time of day have no hour.
    """
    is_empty = np.isnat(dates)
    dates = np.where(is_empty, np.datetime64(0, "us"), dates)
    days = dates.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    times = (dates - days) / np.timedelta64(1, "h")
    number = days.astype(np.int64)
    parts: dict[Part, np.ndarray] = {
        "days": number + times / 24,
        "year": days.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months).astype(np.int64) + 1,
        "weekday": (number + 3) % 7,  # 1970 began on a Thursday
    }
    if times.any():
        parts["hour"] = np.floor(times)
    return {name: np.where(is_empty, np.nan, part) for name, part in parts.items()}


def _dates(texts: pd.Series[Any], **how: Any) -> pd.Series[Any]:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the first cell does not show a format
        return pd.to_datetime(texts, errors="coerce", utc=True, **how).dt.tz_localize(None)
