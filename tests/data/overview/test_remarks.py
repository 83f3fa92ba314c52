"""What is remarkable about a table comes with the YAML that changes it."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.look import table_overview

RNG = np.random.default_rng(0)


def remarks(**columns):
    frame = pd.DataFrame({"x": RNG.normal(size=300), "w": RNG.normal(size=300)} | columns)
    seen = table_overview(Sample(frame, 300, True, {"csv": "t.csv"}), "t.csv")
    return {remark.text: remark.cure for remark in seen.remarks}


def test_nothing_is_said_of_a_plain_table():
    assert remarks(y=RNG.permutation(np.arange(300) % 2)) == {}


def test_each_remark_has_its_cure():
    day = RNG.permutation(pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d").to_numpy())
    gaps = np.where(np.arange(300) < 4, np.nan, RNG.normal(size=300))
    target = np.where(np.arange(300) % 30, "often", "rare")
    found = remarks(day=day, gaps=gaps, same=1, rooms=RNG.integers(0, 5, 300), y=target)
    assert found == {
        "column 'same' is left out: it has the same value in every row": "to keep it: drop: []",
        "gaps in 'gaps' 4: each gets the median or the most frequent text": (
            "columns: {impute: mean}, or flag: true for a feature that says where"
        ),
        "the largest class has 290 rows, the smallest 10": "class_weight: balanced",
        "a random split mixes the times of 'day': to judge by the latest": "split: {time: day}",
        "'rooms': few whole numbers, taken as quantities; if they are codes": (
            "columns: {by_name: {rooms: {type: category}}}"
        ),
    }


SITES = RNG.permutation(np.arange(300) % 40)
NAMES = np.array([f"site {n}" for n in SITES])


@pytest.mark.parametrize("sites", [NAMES, SITES])
def test_groups_of_one_target_each_are_told(sites):
    assert remarks(site=sites, y=SITES % 2) == {
        "rows of the same 'site' have the same target, which a random split lets a model look up: "
        "to judge by new ones": "split: {group: site}"
    }


@pytest.mark.parametrize(
    ("sites", "y"),
    [
        (NAMES, np.where(np.arange(300) == 7, 1 - SITES % 2, SITES % 2)),  # one row differs
        (SITES, SITES // 20),  # a quantity with a threshold
        (NAMES, SITES == 7),  # by chance
    ],
)
def test_nothing_is_said_of_columns_that_are_no_groups(sites, y):
    assert not any("look up" in text for text in remarks(site=sites, y=y))


HALF = RNG.permutation(np.arange(300) % 2)


@pytest.mark.parametrize(
    ("column", "is_told"),
    [
        (HALF + 2 * (np.arange(300) % 2) * HALF + 1, True),  # 1 or 2 and 4
        (np.where(HALF, "late", "soon") + np.array(["", " paid"])[np.arange(300) % 2], True),
        (RNG.random(300) + HALF, True),  # a threshold between them
        (RNG.random(300) + 0.9 * HALF, False),
        (np.where(np.arange(300) == 5, 1, HALF + 1), False),
    ],
)
def test_a_column_that_tells_each_target_is_told(column, is_told):
    told = [text for text in remarks(paid=column, y=HALF) if "tells each target" in text]
    text = "column 'paid' alone tells each target; if it is known only afterwards"
    assert told == [text] * is_told
