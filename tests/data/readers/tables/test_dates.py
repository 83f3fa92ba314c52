"""Dates in the cells of a column."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.readers.tables.dates import parts_of, read_dates


def test_the_parts_of_dates_are_those_of_pandas():
    dates = pd.Series(pd.date_range("1888-12-31 23:10", "2101-01-01", periods=5000)).astype(
        "datetime64[us]"
    )
    parts = parts_of(dates.to_numpy())
    for name in ("year", "month", "day", "hour"):
        np.testing.assert_array_equal(parts[name], getattr(dates.dt, name))
    np.testing.assert_array_equal(parts["weekday"], dates.dt.day_of_week)
    days = (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta("1D")
    np.testing.assert_allclose(parts["days"], days, rtol=1e-12)


def test_dates_without_times_have_no_hour_and_empty_ones_no_parts():
    parts = parts_of(np.array(["2024-02-29", "NaT"], "datetime64[us]"))
    found = {name: part.tolist()[0] for name, part in parts.items()}
    assert found == {"days": 19782.0, "year": 2024, "month": 2, "day": 29, "weekday": 3}
    assert all(np.isnan(part[1]) for part in parts.values())


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["2024-01-31", "2024-02-01T18:30"], ["2024-01-31", "2024-02-01T18:30"]),
        (["2024-01-31T01:00+02:00"], ["2024-01-30T23:00"]),
        (["20240131"], ["2024-01-31"]),
        (["31.01.2024", "01.02.2024"], ["2024-01-31", "2024-02-01"]),
        (["01/31/2024 17:00", "02/01/2024 17:00"], ["2024-01-31T17:00", "2024-02-01T17:00"]),
        (["31 Jan 2024"], ["2024-01-31"]),
    ],
)
def test_dates_are_recognised_by_their_format(texts, dates):
    found, is_read = read_dates(pd.Series(texts))
    assert is_read.all()
    np.testing.assert_array_equal(found, np.array(dates, "datetime64[us]"))


def test_a_date_that_may_be_two_is_not_read():
    assert not read_dates(pd.Series(["03/04/2024"]))[1].any()
