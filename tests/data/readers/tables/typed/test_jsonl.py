"""JSON lines."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

from hpo.data.head import inspect_data
from hpo.data.readers.tables.typed import jsonl
from hpo.data.readers.tables.typed.jsonl import read_jsonl
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, JsonLines

NAN = np.nan


def section(name="t.jsonl", **spec):
    return DataSpec(dataset=JsonLines(**{"jsonl": name, "target": "y", **spec}))


def read(folder, text, **spec):
    path = folder / "t.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_jsonl(path, section(**spec))


TEXT = """\ufeff{"n": 1, "town": "Ulm", "wet": true, "y": 0.5}

{"n": null, "town": "", "y": 1.5, "late": 7}
{"n": 2.5, "town": "Bonn", "wet": false, "y": 2.5}
"""


def test_keys_are_columns_and_what_an_object_lacks_is_an_empty_cell(tmp_path):
    source = read(tmp_path, TEXT)
    assert (source.names, source.text_names) == (("n", "late"), ("town", "wet"))
    np.testing.assert_array_equal(source.x, [[1, NAN], [NAN, 7], [2.5, NAN]])
    np.testing.assert_array_equal(source.categories, [[1, 1], [-1, -1], [0, 0]])
    assert source.values == (["Bonn", "Ulm"], ["False", "True"])


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_file_is_the_same_in_pieces(tmp_path, monkeypatch, at_once):
    whole = read(tmp_path, TEXT)
    monkeypatch.setattr(jsonl, "_LINES_AT_ONCE", at_once)
    pieces = read(tmp_path, TEXT)
    np.testing.assert_array_equal(pieces.x, whole.x)
    np.testing.assert_array_equal(pieces.categories, whole.categories)
    assert pieces.values == whole.values


@pytest.mark.parametrize("at_once", [1, 100])
def test_a_column_of_numbers_and_texts_is_one_of_texts(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(jsonl, "_LINES_AT_ONCE", at_once)
    cells = ["1", "2.5", '"b"', "true", "null", "3", "NaN", "4.0"]
    source = read(
        tmp_path, "".join(f'{{"a": {cell}, "y": {n}.5}}\n' for n, cell in enumerate(cells))
    )
    texts = [None if code < 0 else source.values[0][code] for code in source.categories[:, 0]]
    assert texts == ["1", "2.5", "b", "True", None, "3", None, "4"]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_packed_files_are_read_by_their_names_or_without(tmp_path, suffix, pack):
    path = tmp_path / f"t.jsonl{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    assert len(read_jsonl(path, section())) == 3
    assert inspect_data(section(), tmp_path, None).seen == "t.jsonl: 3 rows of 5 columns"


def test_words_for_missing_cells_and_rows_without_a_target_are_as_for_csv(tmp_path):
    text = (
        '{"a": -999, "b": "?", "y": 1}\n{"a": 2, "b": "x", "y": "?"}\n{"a": 3, "b": "x", "y": 0}\n'
    )
    source = read(
        tmp_path,
        text,
        missing=["?", -999],
        drop_rows={"missing_target": True},
        task="classification",
    )
    np.testing.assert_array_equal(source.x, [[NAN], [3]])
    np.testing.assert_array_equal(source.categories, [[-1], [0]])
    assert source.classes == ("0", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"a": 1, "y": 1}\n{"a": 1, "y": \n',
            r"t\.jsonl:2: is not JSON \(.*\): write one JSON obj",
        ),
        ('{"a": 1, "y": 1}\n\n[1, 2]\n', r"t\.jsonl:3: holds an array: write one JSON object a l"),
        ('{"a": {"b": 1}, "y": 1}\n', r"t\.jsonl:1: column 'a' holds an object, which is no num"),
        ('{"a": 1, "y": 1}\n\n{"a": 1e999, "y": 2}\n', r"t\.jsonl:3: column 'a' is infinite or"),
        ('{"a": 1' + "0" * 400 + ', "y": 1}\n{"a": 1, "y": 2}', r"t\.jsonl:1: column 'a' is infi"),
        ('{"a": 1' + "0" * 9999 + ', "y": 1}\n', r"t\.jsonl:1: is not JSON \("),
        ("[" * 100_000, r"t\.jsonl:1: is too deep: write an object of plain values"),
        ('{"a": 1}\n'.encode("utf-16-le"), r"t\.jsonl:1: is not UTF-8: save the file as UTF-8"),
        ('{"a": 1, "y": 0, "a": 2}\n', r"t\.jsonl:1: has the key 'a' twice: write each key once"),
        (b'{"a": "\xff"}\n', r"t\.jsonl:1: is not UTF-8: save the file as UTF-8"),
        ("\n\n", r"t\.jsonl: has no row: write one JSON object a line"),
        (
            '{"a": 1, "z": 1}\n',
            r"t\.jsonl: data\.dataset\.target: unknown column 'y'\. Columns: a,",
        ),
    ],
)
def test_a_broken_line_is_refused_with_its_number(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_line_without_an_end_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "_LONGEST_LINE", 100)
    with pytest.raises(DataError, match=r":1: is longer than 64 MiB: write one object a line"):
        read(tmp_path, "{" + " " * 1000 + "}")


def test_a_packed_bomb_is_refused(tmp_path):
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * (17 << 20)))
    with pytest.raises(DataError, match=r"unpacks to more than 50 times its .* bytes, as no table"):
        read_jsonl(path, section())


def test_the_head_knows_the_keys_of_the_first_lines(tmp_path, monkeypatch):
    read(tmp_path, TEXT)
    (mistake,) = inspect_data(section(target="n.y"), tmp_path, None).mistakes
    assert mistake.path == ("dataset", "target")
    monkeypatch.setattr(jsonl, "_MOST_HEAD_BYTES", 60)
    found = inspect_data(section(target="late"), tmp_path, None)
    assert found.seen == (
        "t.jsonl: 2 rows of 5 columns, the first MiB of the file; the rest was not read"
    )
