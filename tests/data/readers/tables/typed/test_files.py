"""Tables in files that name their columns; the tests of the formats read whole ones."""

from pathlib import Path

import pytest

from hpo.data.readers.tables.typed.files import check_names, head_of
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import DataSpec, JsonLines

TABLE = JsonLines(jsonl="t.jsonl", target="y", drop=("gone",))
SECTION = DataSpec(
    dataset=TABLE, columns=Columns.model_validate({"by_name": {"a": {"drop": True}}})
)


def test_columns_that_are_left_out_need_not_be_there():
    check_names(Path("t.jsonl"), SECTION, ["y", "b"])
    with pytest.raises(DataError, match=r"unknown column 'y'\. Columns: x, b"):
        check_names(Path("t.jsonl"), SECTION, ["x", "b"])


def test_the_head_tells_mistakes_in_names_only_where_it_has_seen_all_names():
    (mistake,) = head_of(Path("t.jsonl"), SECTION, ["x"], 1).mistakes
    assert (mistake.path, mistake.text[:20]) == (("dataset", "target"), "t.jsonl: unknown col")
    assert head_of(Path("t.jsonl"), SECTION, ["x"], 1, is_whole=False).mistakes == ()
