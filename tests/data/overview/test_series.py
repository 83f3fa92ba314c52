"""Whether a table is a series to be forecast."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.series import NoSeries, Series, likely_series
from hpo.data.overview.targets import find_target

RNG = np.random.default_rng(0)
WALK = RNG.normal(size=400).cumsum()


def found(days, y, **others):
    frame = pd.DataFrame({"day": np.asarray(days).astype(str), **others, "y": y})
    cells = {one.name: one for one in kinds_of(frame)}
    target = find_target(frame, list(cells.values()), ["y"])
    beside = [cells[name] for name in others]
    return likely_series(frame, cells["day"], beside, target, len(frame))


@pytest.mark.parametrize(
    ("frequency", "window", "horizon"), [("h", 24, 12), ("D", 28, 7), ("MS", 24, 12)]
)
def test_a_window_spans_a_few_periods(frequency, window, horizon):
    days = pd.date_range("2000-01-01", periods=400, freq=frequency)
    assert found(days, WALK) == Series("day", window, horizon)


def test_rows_that_the_columns_beside_tell_more_of_are_no_series():
    days = pd.date_range("2020-01-01", periods=400)
    noise = RNG.normal(size=400)
    assert found(days, noise) is None
    assert found(days, WALK, near=WALK + 0.01 * noise) is None
    assert found(days, WALK, far=noise) is not None


def test_times_without_a_steady_step_are_no_series():
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(RNG.integers(0, 9000, 400)), "D")
    assert found(days, WALK) is None


def test_classes_and_short_tables_are_no_series():
    days = pd.date_range("2020-01-01", periods=400)
    assert found(days, WALK > 0) is None
    assert found(days[:50], WALK[:50]) is None


def test_missing_rows_and_targets_leave_a_series_one():
    hours = pd.date_range("2020-01-01", periods=400, freq="h")
    is_kept = RNG.random(400) > 0.05
    empty = np.where(np.arange(400) % 40 == 7, np.nan, WALK)
    assert found(hours, empty) == Series("day", 24, 12)
    assert found(hours[is_kept], empty[is_kept]) == Series("day", 24, 12)


def test_working_days_are_even_steps():
    assert found(pd.bdate_range("2020-01-01", periods=400), WALK) == Series("day", 28, 7)


@pytest.mark.parametrize(
    ("times", "y", "others", "reason"),
    [
        (np.r_[0:200, 199:399], WALK, {}, "1 row has the time of the row before"),
        (np.arange(400), np.where(np.arange(400) % 5, WALK, np.nan), {}, "20 % of the targets are"),
        (np.arange(400), WALK, {"city": ["a", "b"] * 200}, "column 'city' holds no numbers"),
        (np.arange(400) * 2 + (np.arange(400) % 4 == 1), WALK, {}, "50.1 % of the steps are"),
    ],
)
def test_a_table_that_is_nearly_a_series_says_what_is_in_the_way(times, y, others, reason):
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(times, "D")
    result = found(days, y, **others)
    assert isinstance(result, NoSeries)
    assert result.reason.startswith(reason)
