"""What each column of a table is for."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.roles import roles_of
from hpo.data.overview.targets import find_target

ROWS = 200
RNG = np.random.default_rng(0)
BASE = {"x": RNG.normal(size=ROWS), "y": RNG.permutation(np.arange(ROWS) % 2)}


def roles(**columns):
    frame = pd.DataFrame(columns | BASE)
    cells = list(kinds_of(frame))
    target = find_target(frame, cells, ["y"])
    return roles_of(Sample(frame, ROWS, True, {}), cells, target)


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("a", ["k"] * ROWS, "dropped"),
        ("a", [None] * ROWS, "dropped"),
        ("a", [f"c{n}" for n in range(ROWS)], "dropped"),
        ("user_id", RNG.permutation(np.arange(ROWS) * 7), "dropped"),
        ("a", np.arange(ROWS), "dropped"),  # numbers the rows
        ("a", RNG.permutation(np.arange(ROWS)), "feature"),  # each once, but in no order
        ("a", [f"c{n % 9}" for n in range(ROWS)], "feature"),
        ("month", np.arange(ROWS) // 4, "split"),
        ("user_id", RNG.permutation(np.arange(ROWS) // 4), "split"),
        ("part", ["train", "train", "validation", "test"] * (ROWS // 4), "split"),
        ("part", ["train", "bus"] * (ROWS // 2), "feature"),
        ("part", ["Train", "Val"] * (ROWS // 2), "split"),
        ("part", ["valid", "test"] * (ROWS // 2), "feature"),  # none trains
        ("patient", [f"P{n % 40}" for n in range(ROWS)], "split"),
        ("user_id", RNG.permutation(np.arange(ROWS) // 50), "feature"),  # four: they are categories
    ],
)
def test_a_column_has_a_role(name, cells, role):
    assert roles(**{name: cells}).role(name) == role


@pytest.mark.parametrize(
    ("name", "cells", "treatment"),
    [
        ("a", ["yes", "no"] * 100, {"type": "boolean"}),
        ("a", ["2024-01-31", "2024-03-01"] * 100, {"type": "date"}),
        ("a", [f"c{n % 9}" for n in range(ROWS)], {}),
        ("a", [f"c{n % 120}" for n in range(ROWS)], {"encode": "hashing"}),
        ("a", [f"a word and its number {n}" for n in range(ROWS)], {"type": "text"}),
        ("zip_code", RNG.permutation(np.arange(ROWS) % 30), {"type": "category"}),
        ("size", RNG.permutation(np.arange(ROWS) % 30), {}),
    ],
)
def test_a_column_is_treated_as_its_cells_ask(name, cells, treatment):
    assert roles(**{name: cells}).treatments.get(name, {}) == treatment


def test_rows_without_a_target_and_repeated_rows_are_left_out():
    frame = pd.DataFrame(BASE).astype({"y": float})
    frame.loc[0, "y"] = None
    frame = pd.concat([frame, frame.iloc[50:60]])
    frame["z"] = np.round(frame["x"] * 3.3, 3)
    cells = list(kinds_of(frame))
    found = roles_of(Sample(frame, 210, True, {}), cells, find_target(frame, cells, ["y"]))
    assert found.drop_rows == {"missing_target": True, "duplicates": True}
    assert found.repeated == 10


def test_classes_of_a_single_row_are_left_out():
    frame = pd.DataFrame(BASE)
    frame["y"] = ["a"] * 100 + ["b"] * 99 + ["c"]
    cells = list(kinds_of(frame))
    found = roles_of(Sample(frame, ROWS, True, {}), cells, find_target(frame, cells, ["y"]))
    assert found.drop_rows == {"rare_classes": 2}


def test_a_series_of_one_column_of_dates_keeps_them_as_a_feature():
    days = pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": days, "y": RNG.normal(size=ROWS)})
    cells = list(kinds_of(frame))
    found = roles_of(Sample(frame, ROWS, True, {}), cells, find_target(frame, cells, ["y"]))
    assert found.options["split"] == {"time": "day", "feature": True}


def test_short_texts_are_learnt_from_where_nothing_else_is_left():
    frame = pd.DataFrame({"row": np.arange(ROWS), "name": [f"Ms {n} Roe" for n in range(ROWS)]})
    frame["y"] = np.arange(ROWS) % 2
    cells = list(kinds_of(frame))
    found = roles_of(Sample(frame, ROWS, True, {}), cells, find_target(frame, cells, ["y"]))
    assert found.treatments == {"name": {"type": "text"}}
    assert [name for name, (role, _) in found.of.items() if role == "dropped"] == ["row"]


def test_things_that_cannot_be_split_are_left_out():
    frame = pd.DataFrame({"x": BASE["x"], "patient": np.arange(ROWS) // 5})
    frame["y"] = np.where(frame["patient"] == 3, "ill", "well")
    cells = list(kinds_of(frame))
    found = roles_of(Sample(frame, ROWS, True, {}), cells, find_target(frame, cells, ["y"]))
    assert "split" not in found.options
    assert found.of["patient"][0] == "dropped"
