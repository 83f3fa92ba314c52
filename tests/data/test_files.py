"""Where data files are, and their bytes against a bound."""

import gzip
import os
from pathlib import Path

import pytest

from hpo.data.files import find_own, most_bytes, read_bytes
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, IdxFolder
from tests.rights import run_without_rights


@pytest.mark.parametrize(
    "path", ["", "/", "..", "~nosuchuser/x", "x" * 6000, "a/" * 3000, "null\0character", "\n"]
)
def test_an_odd_path_is_one_line_that_names_the_field(tmp_path, path):
    with pytest.raises(DataError, match=r"^data\.dataset\.csv: .*correct the path") as error:
        find_own(CsvFile(csv=path, target="y"), tmp_path, tmp_path)
    assert len(str(error.value)) < 400


def test_a_folder_that_may_not_be_entered_is_named_with_the_reason(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "t.csv").touch()
    (tmp_path / "shut").mkdir(mode=0)
    tmp_path.chmod(0o755)
    imports = """
from pathlib import Path
from hpo.data.files import find_own
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile
CsvFile(csv="t.csv", target="y")  # imports what its class needs
"""
    code = """
print(find_own(CsvFile(csv="open/t.csv", target="y"), Path(), None)[1].name)
try: find_own(CsvFile(csv="shut/t.csv", target="y"), Path(), None)
except DataError as error: print(error)
"""
    done = run_without_rights(tmp_path, imports, code)
    assert done.returncode == 0, done.stderr
    found, refused = done.stdout.splitlines()
    assert found == "t.csv"
    assert "'shut/t.csv' cannot be looked for (Permission denied)" in refused


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
