"""The specs of splits by a column."""

import pytest
from pydantic import ValidationError

from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.split import ColumnSplit, GroupSplit, TimeSplit, column_of

TABLE = {"csv": "t.csv", "target": "y"}


@pytest.mark.parametrize(
    ("written", "split"),
    [
        ({"group": "patient"}, GroupSplit(group="patient")),
        ({"time": "day"}, TimeSplit(time="day", gap=0)),
        ({"time": "day", "gap": "1d12h"}, TimeSplit(time="day", gap="1d12h")),
        ({"column": "part"}, ColumnSplit(column="part")),
    ],
)
def test_the_first_key_chooses_the_split_and_names_its_column(written, split):
    spec = DataSpec.model_validate({"dataset": TABLE, "split": written})
    assert spec.split == split
    assert column_of(split) == next(iter(written.values()))


@pytest.mark.parametrize("gap", ["a week", "7 d", "-1d", ""])
def test_a_gap_is_rows_or_a_duration(gap):
    with pytest.raises(ValidationError, match="is not a gap: write a number of rows, or 12h or 7d"):
        TimeSplit(time="day", gap=gap)


def test_a_set_by_name_has_no_column_to_split_by():
    with pytest.raises(ValidationError, match="split names a column, and this data set has none"):
        DataSpec.model_validate({"dataset": "digits", "split": {"group": "patient"}})
