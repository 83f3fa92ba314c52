"""An overview in words."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.look import table_overview
from hpo.report.console import console_for
from hpo.report.init.wording import (
    as_json,
    kinds_text,
    looked_text,
    overview_view,
    seconds_text,
    task_text,
)

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(size=200),
        "city": [("Rome", "Oslo", None)[n % 3] for n in range(200)],
        "same": 1,
        "y": RNG.permutation(np.arange(200) % 4 == 0),
    }
)


def seen(rows=200, is_whole=True):
    return table_overview(Sample(FRAME, rows, is_whole, {"csv": "t.csv"}), "t.csv")


def test_rows_columns_and_the_task_are_told():
    assert looked_text(seen()) == "200 rows, 4 columns"
    assert task_text(seen().target) == "classification of 'y' (2 classes, 75 % are 'False')"
    assert kinds_text(seen()) == "1 number, 1 category"


def test_a_sample_says_what_it_is():
    assert looked_text(seen(10**6, is_whole=False)) == (
        "about 1,000,000 rows, 4 columns; 200 rows were read, of the head and of pieces of the rest"
    )


def test_a_view_has_a_row_for_each_column_and_the_remarks(capsys):
    console_for().print(overview_view(seen()))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert ["city", "category", "66", "2", "'Rome'", "feature"] in lines
    assert any(line[:2] == ["same", "whole"] and "dropped:" in line for line in lines)
    assert any("gaps" in line for line in lines)


def test_json_holds_plain_values():
    document = as_json(seen())
    assert document["target"]["classes"] == {"False": 150, "True": 50}
    assert [column["role"] for column in document["columns"]] == [
        "feature",
        "feature",
        "dropped",
        "target",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (89, "89 s"), (120, "2 m"), (7200, "2 h"), (5500, "92 m")]
)
def test_durations_have_one_unit(seconds, text):
    assert seconds_text(seconds) == text
