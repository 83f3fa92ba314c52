"""Where data files are, and their bytes against a bound."""

import gzip
import os
from pathlib import Path

import pytest

from hpo.data.files import find_own, most_bytes, read_bytes
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, IdxFolder


@pytest.mark.parametrize(
    "path", ["", "/", "..", "~nosuchuser/x", "x" * 6000, "a/" * 3000, "null\0character", "\n"]
)
def test_an_odd_path_is_one_line_that_names_the_field(tmp_path, path):
    with pytest.raises(DataError, match=r"^data\.dataset\.csv: .*correct the path") as error:
        find_own(CsvFile(csv=path, target="y"), tmp_path, tmp_path)
    assert len(str(error.value)) < 400


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_named_with_the_reason(tmp_path):
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(
        DataError, match=r"'shut/t\.csv' cannot be looked for \(Permission denied\)"
    ):
        find_own(CsvFile(csv="shut/t.csv", target="y"), tmp_path, None)


def test_the_folder_of_the_spec_itself_may_hold_the_files(tmp_path):
    assert find_own(IdxFolder(idx="."), tmp_path, None)[1] == tmp_path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_bytes_of_a_file_are_unpacked(tmp_path, name):
    data = os.urandom(3 << 20)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_bytes(tmp_path / name) == data


def test_a_file_that_unpacks_to_far_more_than_a_table_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as out:
        out.write(b"a,y\n")
        for _ in range(40):
            out.write(b"0,1\n" * (1 << 18))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"bomb\.csv\.gz: unpacks to more than .*name the unpacked"):
        read_bytes(path)


def test_no_packed_file_holds_more_than_its_most_bytes(tmp_path):
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20), compresslevel=9))
    assert 50 << 20 <= most_bytes(path) < 60 << 20
    assert most_bytes(Path(__file__)) == len(Path(__file__).read_bytes())
