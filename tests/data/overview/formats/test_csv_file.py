"""A look at a CSV file gives a sample, and what a spec has to say of the file."""

import gzip

import pandas as pd
import pytest

from hpo.data.overview.formats import csv_file
from hpo.data.overview.formats.csv_file import look_at_csv
from hpo.errors import DataError


def test_a_sample_holds_every_row_of_a_small_file(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n1,x,0\n2,,1\n3,z,0\n")

    found = look_at_csv(tmp_path / "t.csv", "t.csv")

    assert found.is_whole
    assert found.rows == 3
    assert found.dataset == {"csv": "t.csv"}
    assert found.frame["b"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "data", "dataset"),
    [
        ("t.tsv", b"a\ty\n1\t0\n2\t1\n", {}),
        ("t.csv", b"a\ty\n1\t0\n2\t1\n", {"separator": "\t"}),
        ("t.csv", b"a;y\n1,5;0\n2,5;1\n", {"separator": ";", "decimal": ","}),
        ("t.csv", b'p,y\n"$541,001",0\n$7,1\n', {"thousands": ",", "units": ["$"]}),
        ("t.csv", b"p,y\n6%,0\n7 %,1\n", {"units": ["%"]}),
        ("t.csv", b'p,y\n"1.106,06",0\n"7,5",1\n', {"decimal": ",", "thousands": "."}),
        (
            "t.csv",
            b"p;y\n1.106,06;0\n7,5;1\n",
            {"separator": ";", "decimal": ",", "thousands": "."},
        ),
        ("t.csv", b'p,y\n"1,2,3",0\n"4,5",1\n', {}),  # lists
        ("t.csv", b"p,y\n01.02.2024,0\n1.3.2024,1\n", {}),
        ("t.csv", b"$1,6%,x\n$2,7%,y\n$3,8%,x\n", {"header": False, "units": ["$", "%"]}),
        ("t.csv", b"1,2,x\n2,3,y\n3,4,x\n", {"header": False}),
        ("t.csv", b",a,y\n0,5,x\n1,6,y\n", {}),
        ("t.csv", b"a,a,y\n0,5,x\n1,6,y\n", {"header": False, "skip": 1}),
        ("t.csv", b"# a tool\n\n# 2\na,y\n1,0\n2,1\n", {"skip": 3}),
        ("t.csv", b"0,1,2,y\n5,6,7,0\n1,9,2,1\n", {"header": True}),
        ("t.csv", b"7,8,9\n5,6,7\n1,9,2\n", {"header": True}),
        ("t.csv", b"a,y\n1,inf\n2,0\n3,1\n", {"missing": ["inf"]}),
        ("t.csv", b"a,y\n1,?\n2,0\n3,1\n4,0\n5,1\n6,1\n", {"missing": ["?"]}),
        ("t.csv", "text,y\n很快,1\n好吃,0\n".encode("gbk"), {"encoding": "gb18030"}),
        ("t.csv", "text,y\ncafé,1\nthé,0\n".encode("latin-1"), {"encoding": "cp1252"}),
        ("t.csv", "text,y\nж,1\nю,0\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("t.csv", "text,y\nж,1\nю,0\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
    ],
)
def test_a_spec_says_how_a_file_is_written(name, data, dataset, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert look_at_csv(tmp_path / name, name).dataset == {"csv": name, **dataset}


def test_a_sample_has_numbers_as_the_spec_reads_them(tmp_path):
    (tmp_path / "t.csv").write_text('a title\n\np,y\n"$541,001",6%\n"$7",\n')
    found = look_at_csv(tmp_path / "t.csv", "t.csv").frame
    assert found["p"].tolist() == [541_001, 7]
    assert found["y"].fillna(-1).tolist() == [6, -1]


def test_a_packed_file_is_unpacked(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,0\n2,1\n"))
    expected = pd.DataFrame({"a": [1, 2], "y": [0, 1]})
    pd.testing.assert_frame_equal(look_at_csv(tmp_path / "t.csv.gz", "t.csv.gz").frame, expected)


def test_a_folder_and_a_file_of_another_format_are_left_to_other_readers(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    assert look_at_csv(tmp_path, "x") is None
    assert look_at_csv(tmp_path / "t.parquet", "t.parquet") is None


def test_a_quote_that_is_not_closed_is_named_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_text('# title\na,b,y\n1,x,0\n2,x,1\n3,"z,0\n4,x,1\n')
    with pytest.raises(DataError, match=r"t\.csv:5: a quote is opened here and not closed"):
        look_at_csv(tmp_path / "t.csv", "t.csv")


@pytest.mark.parametrize("head", [390, 395])
def test_pieces_of_a_large_file_may_begin_and_end_within_a_cell(tmp_path, monkeypatch, head):
    monkeypatch.setattr(csv_file, "MOST_BYTES", 900)
    monkeypatch.setattr(csv_file, "_HEAD", head)
    monkeypatch.setattr(csv_file, "_PIECE", 80)
    (tmp_path / "t.csv").write_text("a,b,y\n" + '12,"two\nlines",0\n' * 60)
    found = look_at_csv(tmp_path / "t.csv", "t.csv").frame
    assert len(found) >= 22 + 12  # at least a row of each piece
    assert found.drop_duplicates().values.tolist() == [[12, "two\nlines", 0]]
