"""A text file as characters or bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hpo.data.head import inspect_data
from hpo.data.readers.text import read_text
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TextFile

TEXT = "Zwölf Boxkämpfer\njagen 𝄞 über 中文\r\n"


def _spec(**dataset: object) -> DataSpec:
    return DataSpec(dataset=TextFile.model_validate({"text": "a.txt", **dataset}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_the_characters_of_a_text_are_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode(encoding))
    source = read_text(path, _spec(encoding=encoding.removesuffix("-sig")))
    assert "".join(map(chr, source.y)) == TEXT
    assert source.is_text


def test_the_bytes_of_a_text_are_those_of_the_file_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert bytes(read_text(path, _spec(tokens="bytes")).y) == TEXT.encode()


def test_a_text_of_another_encoding_is_refused_with_its_line_where_it_is_read_and_checked(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_bytes("one\ntwo\ndreißig".encode("latin-1"))
    says = r"a\.txt:3: is not utf-8: correct data\.dataset\.encoding, or write tokens: bytes\."
    with pytest.raises(DataError, match=says):
        read_text(tmp_path / "a.txt", _spec())
    (mistake,) = inspect_data(_spec(), tmp_path, None).mistakes
    assert "a.txt:3: is not utf-8" in mistake.text


def test_utf_16_that_the_spec_does_not_name_is_no_text_between_zeros(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode("utf-16-be"))
    says = (
        r"a\.txt: looks like utf-16-be: write data\.dataset\.encoding: utf-16-be, or write tokens"
    )
    with pytest.raises(DataError, match=says):
        read_text(tmp_path / "a.txt", _spec())


def test_a_check_tells_how_long_the_text_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ß" * 10)
    assert inspect_data(_spec(), tmp_path, None).seen == "a.txt: a text of 10 characters"
    (tmp_path / "a.txt").write_text("aß" * 400_000)
    seen = inspect_data(_spec(), tmp_path, None).seen
    assert seen == (
        "a.txt: a text of 699,051 characters, the first MiB of the file; the rest was not read"
    )
