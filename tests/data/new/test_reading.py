"""Files of new data, read by the endings of their names."""

import pandas as pd
import pytest

from hpo.data.new.reading import new_table
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

FRAME = pd.DataFrame({"code": ["01", "02"], "size": [1.5, 2.5]})
LIKE = DataSpec.model_validate(
    {"dataset": {"csv": "t.csv", "target": "price", "separator": ";", "drop": ["id"]}}
)


def test_a_file_in_the_format_of_the_training_is_read_as_that_was(tmp_path):
    FRAME.to_csv(tmp_path / "new.csv", sep=";", index=False)
    found = new_table(tmp_path / "new.csv", LIKE, ["code"]).frame
    assert found["code"].tolist() == ["01", "02"]
    assert found["size"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "arrow", "jsonl.gz"])
def test_every_format_of_tables_gives_the_same_columns(tmp_path, ending):
    file = tmp_path / f"new.{ending}"
    if "jsonl" in ending:
        FRAME.to_json(file, orient="records", lines=True)
    elif ending == "parquet":
        FRAME.to_parquet(file)
    else:
        FRAME.to_feather(file, compression="uncompressed")
    found = new_table(file, LIKE, ["code"]).frame
    assert [*map(str, found["code"])] == ["01", "02"]
    assert found["size"].tolist() == [1.5, 2.5]


def test_a_name_without_a_format_is_read_as_the_training_was_or_refused(tmp_path):
    FRAME.to_csv(tmp_path / "rows", sep=";", index=False)
    assert [*new_table(tmp_path / "rows", LIKE, ()).frame] == ["code", "size"]
    with pytest.raises(DataError, match="its name says no format of a table: give a file that en"):
        new_table(tmp_path / "rows", DataSpec.model_validate({"dataset": "iris"}), ())


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.npz", "rows.JSON", "rows.pkl"])
def test_a_file_of_another_program_is_not_read_as_text(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"its name says no format .* ends in \.csv, \.jsonl, "):
        new_table(tmp_path / name, LIKE, ())


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file: correct the path"):
        new_table(tmp_path / "none.csv", LIKE, ())


@pytest.mark.parametrize("marks", [{}, {"thousands": ","}, {"header": False}])
def test_blank_lines_of_a_column_are_rows_so_that_answers_keep_their_place(tmp_path, marks):
    like = DataSpec.model_validate({"dataset": {"csv": "t.csv", "target": "y", **marks}})
    head = "" if marks.get("header") is False else "\nnote\n"
    (tmp_path / "new.csv").write_text(f"{head}good\n   \n\nbad\n\n'q'\n\n\n")
    found = new_table(tmp_path / "new.csv", like, ["note", "column_1"])
    cells = ["good", "   ", "", "bad", "", "'q'"]
    assert [*found.frame.iloc[:, 0].fillna("")] == cells
    lines = [int(found.rows[row].rpartition(":")[2]) for row in range(6)]
    assert lines == [*range(1 + head.count("\n"), 7 + head.count("\n"))]


def test_blank_lines_of_several_columns_are_no_rows(tmp_path):
    (tmp_path / "new.csv").write_text("\ncode;size\n\n01;1.5\n\n\n02;2.5\n\n")
    found = new_table(tmp_path / "new.csv", LIKE, ["code"])
    assert found.frame["size"].tolist() == [1.5, 2.5]
    assert found.rows[1] == f"{tmp_path / 'new.csv'}:7"


def test_a_folder_of_parquet_files_is_a_table_and_so_are_partitions(tmp_path):
    (tmp_path / "flat").mkdir()
    FRAME.iloc[:1].to_parquet(tmp_path / "flat" / "a.parquet")
    FRAME.iloc[1:].to_parquet(tmp_path / "flat" / "b.parquet")
    FRAME.iloc[::-1].to_parquet(tmp_path / "parts", partition_cols=["code"])
    for name in ("flat", "parts"):
        found = new_table(tmp_path / name, LIKE, ["code"]).frame
        assert found["size"].tolist() == [1.5, 2.5]
        assert {*found} == {"code", "size"}
    (tmp_path / "arrow").mkdir()
    FRAME.to_feather(tmp_path / "arrow" / "data.arrow", compression="uncompressed")
    assert len(new_table(tmp_path / "arrow", LIKE, ()).frame) == 2
    (tmp_path / "notes").mkdir()
    FRAME.to_csv(tmp_path / "notes" / "new.csv")
    with pytest.raises(DataError, match=r"notes: is a folder without Parquet or Arrow files: give"):
        new_table(tmp_path / "notes", LIKE, ())


def test_tabs_separate_the_cells_of_a_tsv_file_whatever_separated_those_of_the_training(tmp_path):
    FRAME.to_csv(tmp_path / "new.tsv.gz", sep="\t", index=False)
    assert [*new_table(tmp_path / "new.tsv.gz", LIKE, ()).frame] == ["code", "size"]
