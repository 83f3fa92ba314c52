"""Where data files are, and their bytes against a bound."""

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pytest

from hpo.data.files import find_own, most_bytes, read_bytes
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, IdxFolder, ParquetFile
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


def test_a_reader_of_files_and_folders_finds_both(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "t.parquet").touch()
    for name in ("parts", "t.parquet"):
        assert find_own(ParquetFile(parquet=name, target="y"), tmp_path, None)[1].name == name
    with pytest.raises(DataError, match=r"data\.dataset\.parquet: there is no folder or file 'n'"):
        find_own(ParquetFile(parquet="n", target="y"), tmp_path, None)


@pytest.mark.parametrize(
    ("suffix", "pack", "kind"),
    [(".gz", gzip.compress, "gzip"), (".bz2", bz2.compress, "bzip2"), (".xz", lzma.compress, "xz")],
)
def test_packed_files_are_read_whole_or_refused(tmp_path, suffix, pack, kind):
    path, packed = tmp_path / f"t.csv{suffix}", pack(b"a,y\n1,2\n" * 999)
    path.write_bytes(packed)
    assert read_bytes(path) == b"a,y\n1,2\n" * 999
    assert find_own(CsvFile(csv="t.csv", target="y"), tmp_path, None)[1] == path
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=rf"t\.csv\{suffix}: is (truncated: the {kind}|a damaged)"):
        read_bytes(path)
    path.write_bytes(b"no such data" * 9)
    with pytest.raises(DataError, match=rf"t\.csv\{suffix}: is a damaged {kind} file"):
        read_bytes(path)


def test_a_file_packed_by_zstandard_is_read_by_pyarrow(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    path = tmp_path / "t.csv.zst"
    path.write_bytes(pa.Codec("zstd").compress(b"a,y\n1,2\n" * 999, asbytes=True))
    assert read_bytes(path) == b"a,y\n1,2\n" * 999
    path.write_bytes(b"no such data" * 9)
    with pytest.raises(DataError, match=r"t\.csv\.zst: is a damaged Zstandard file"):
        read_bytes(path)
