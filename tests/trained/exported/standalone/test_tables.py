"""The script of an exported folder finds the rows that `hpo predict` finds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo.data.new.reading import new_table
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from hpo.trained.exported.standalone.tables import TableError, read_table

LIKE = DataSpec.model_validate({"dataset": {"csv": "t.csv", "target": "y"}})
BLANK = "note\ngood\n   \n\nbad\n\n\n"


def _found(text: str) -> list[tuple[int, list[str]]]:
    return [*read_table(io.StringIO(text, newline=""), ",")[1]]


def test_blank_lines_of_a_column_are_empty_cells_but_for_those_at_the_end() -> None:
    assert _found(BLANK) == [(2, ["good"]), (3, ["   "]), (4, [""]), (5, ["bad"])]
    assert _found("\n\nnote\n\nx") == [(4, [""]), (5, ["x"])]
    assert _found("note,size\n\na,1\n\nb,2\n") == [(3, ["a", "1"]), (5, ["b", "2"])]


CELLS = st.sampled_from(["", " ", "a", '"b\n\nc"', '""', "7"])


@given(
    cells=st.lists(CELLS, min_size=1, max_size=6),
    columns=st.integers(1, 2),
    ends=st.sampled_from(["\n", "\r\n"]),
    before=st.integers(0, 2),
    after=st.integers(0, 3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_readers_find_the_same_rows_on_the_same_lines(
    tmp_path: Path, cells: list[str], columns: int, ends: str, before: int, after: int
) -> None:
    lines = cells if columns == 1 else [f"{cell},1" if cell else "" for cell in cells]
    text = ends.join([*[""] * before, ",".join("ab"[:columns]), *lines]) + ends * after
    (tmp_path / "new.csv").write_bytes(text.encode())
    try:
        found = _found(text)
    except TableError as error:
        with pytest.raises(DataError, match=str(error)[:20]):
            new_table(tmp_path / "new.csv", LIKE, ["a"])
        return
    table = new_table(tmp_path / "new.csv", LIKE, ["a"])
    assert [*table.frame["a"].fillna("")] == [row[0] for _, row in found]
    where = [f"{tmp_path / 'new.csv'}:{line}" for line, _ in found]
    assert [table.rows[row] for row in range(len(found))] == where
