"""The columns of a table by their types."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.data.readers.tables.csv import read_csv
from hpo.errors import DataError
from hpo.spec.sections.columns import MOST_CATEGORIES, Columns
from hpo.spec.sections.data import CsvFile, DataSpec

NAN = np.nan


def read(folder, text, **by_name):
    (folder / "t.csv").write_text(text)
    table, columns = CsvFile(csv="t.csv", target="y"), Columns(by_name=by_name)
    return read_csv(folder / "t.csv", DataSpec(dataset=table, columns=columns))


def test_columns_that_are_dropped_by_name_are_no_features(tmp_path):
    source = read(tmp_path, "id,a,y\n1,5,u\n2,6,v\n", id={"drop": True})
    assert (source.names, source.x.tolist()) == (("a",), [[5], [6]])


def test_numbers_that_are_codes_are_texts(tmp_path):
    source = read(tmp_path, "zip,a,y\n10,1,u\n9,2,v\n,3,v\n10.0,4,u\n", zip={"type": "category"})
    assert (source.names, source.text_names) == (("a",), ("zip",))
    assert source.values == (["10", "9"],)
    assert source.categories.tolist() == [[0], [1], [-1], [0]]


def test_codes_may_be_numbers_that_no_float32_holds(tmp_path):
    source = read(tmp_path, "a,y\ninf,u\n2.5,v\n1e3,v\n", a={"type": "category"})
    assert source.values == (["1000", "2.5", "inf"],)


@pytest.mark.parametrize("kind", ["boolean", "category", "text", "date"])
def test_a_column_of_any_type_may_be_empty_or_have_any_name(tmp_path, kind):
    source = read(tmp_path, "self,a,y\n,1,5\n,2,6\n", self={"type": kind})
    assert len(source) == 2
    assert np.isnan(source.x[:, [name == "self" for name in source.names]]).all()
    assert source.categories is None or (source.categories == -1).all()


def test_a_few_texts_among_codes_are_no_mistake(tmp_path):
    rows = "".join(f"{row},{row}\n" for row in range(20))
    with pytest.raises(DataError, match="holds 'x' among numbers"):
        read(tmp_path, f"zip,y\n{rows}x,1\n")
    assert len(read(tmp_path, f"zip,y\n{rows}x,1\n", zip={"type": "category"}).values[0]) == 21


def test_words_of_booleans_are_zeros_and_ones(tmp_path):
    text = "a,b,c,d,y\nyes,True,1,t,5\nNo,false,0,F,6\n,,,,7\n"
    booleans = {name: {"type": "boolean"} for name in "abcd"}
    source = read(tmp_path, text, **booleans)
    np.testing.assert_array_equal(source.x, [[1] * 4, [0] * 4, [NAN] * 4])


def test_dates_become_their_parts_in_the_place_of_numbers(tmp_path):
    text = "when,a,y\n2024-02-29 18:30,1,5\n,2,6\n2024-03-01,3,7\n"
    source = read(tmp_path, text, when={"type": "date"})
    assert source.names == ("a", *["when"] * 6)
    expected = [2, 2024, 2, 29, 3, 18]
    np.testing.assert_array_equal(source.x[0, 1:], [19782 + 18.5 / 24, *expected[1:]])
    np.testing.assert_array_equal(source.x[1], [2, *[NAN] * 6])


@pytest.mark.parametrize(
    ("kind", "cell", "told"),
    [
        ("boolean", "maybe", "holds 'maybe', which is no boolean: write true or false"),
        ("boolean", "2", "holds '2', which is no boolean"),
        ("date", "soon", "holds 'soon', which is no date, or may be two: write one such as"),
        ("date", "2024-02-30", "holds '2024-02-30', which is no date"),
    ],
)
def test_a_cell_of_another_type_is_told_with_its_line_and_column(tmp_path, kind, cell, told):
    good = {"boolean": "1", "date": "2024-01-01"}[kind]
    with pytest.raises(DataError, match=rf"t\.csv:4: column 'a' {told}"):
        read(tmp_path, f"a,b,y\n{good},1,5\n\n{cell},2,6\n{good},3,7\n", a={"type": kind})


def test_a_column_of_very_many_dates_is_read_as_dates_with_a_note(tmp_path):
    days = np.datetime64("1990-01-01") + np.arange(MOST_CATEGORIES + 1)
    source = read(tmp_path, "when,y\n" + "".join(f"{day},{n}\n" for n, day in enumerate(days)))
    assert source.categories is None
    assert source.names == ("when",) * 5
    assert source.notes == (
        "t.csv: column 'when' holds dates: it is read as their days, years, months and weekdays.",
    )
    few = read(tmp_path, "when,y\n" + "".join(f"{day},{n}\n" for n, day in enumerate(days[:9])))
    assert few.x.shape == (9, 0)


@pytest.mark.parametrize("how", [{"type": "text"}, {"encode": "hashing"}, {"encode": "target"}])
def test_a_column_of_very_many_texts_is_read_where_it_is_not_one_hot(tmp_path, how):
    text = "name,a,y\n" + "".join(f"n{row},1,{row}\n" for row in range(MOST_CATEGORIES + 1))
    with pytest.raises(DataError, match=r"more than the 1000 .* or write encode: hashing"):
        read(tmp_path, text)
    source = read(tmp_path, text, name=how)
    assert len(source.values[0]) == MOST_CATEGORIES + 1


def test_a_column_that_is_not_there_or_is_the_target_is_told(tmp_path):
    with pytest.raises(DataError, match=r"data\.columns\.by_name: unknown column 'b'\. Columns"):
        read(tmp_path, "a,y\n1,5\n2,6\n", b={"drop": True})
    with pytest.raises(DataError, match=r"data\.columns\.by_name: 'y' is the target"):
        read(tmp_path, "a,y\n1,5\n2,6\n", y={"drop": True})
    with pytest.raises(DataError, match="no column is left to learn from"):
        read(tmp_path, "a,y\n1,5\n2,6\n", a={"drop": True})


@pytest.mark.parametrize(("count", "told"), [(1001, "read as text"), (60, "60 different sentence")])
def test_sentences_are_told(tmp_path, count, told):
    rows = "".join(f"it was the film of {row},{row}\n" for row in range(count))
    source = read(tmp_path, f"a,y\n{rows}")
    (note,) = source.notes
    assert note.startswith("t.csv: column 'a' holds ")
    assert told in note
    assert read(tmp_path, f"a,y\n{rows}", a={"type": "text"}).notes == ()


def test_very_many_names_are_still_refused(tmp_path):
    rows = "".join(f"Ada Lovelace {row},{row}\n" for row in range(1001))
    with pytest.raises(DataError, match="1001 different texts"):
        read(tmp_path, f"a,y\n{rows}")
