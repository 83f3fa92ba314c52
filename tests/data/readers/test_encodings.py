"""Texts of other encodings than UTF-8."""

from pathlib import Path

import pytest

from hpo.data.readers.encodings import text_in, utf_16_of
from hpo.errors import DataError

CHINESE = "一个,标签\n好的,1\n一些,0\n"


@pytest.mark.parametrize("text", ["x,y\n1,0\n", CHINESE, CHINESE * 999])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_is_seen_by_its_mark_or_its_zeros(text: str, encoding: str) -> None:
    assert utf_16_of(text.encode(encoding)) == encoding


@pytest.mark.parametrize("text", ["", "x", "x,y\n1,0\n", CHINESE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-32", "utf-32-le"])
def test_other_text_is_not_taken_for_utf_16(text: str, encoding: str) -> None:
    assert utf_16_of(text.encode(encoding)) is None


def test_whole_numbers_of_16_bits_are_no_text() -> None:
    assert utf_16_of(bytes([1, 0, 65, 0, 66, 0])) is None


def test_a_character_that_is_cut_off_is_left_out_of_a_part_alone() -> None:
    data = "Füße".encode("utf-16-le")[:-1]
    assert text_in(Path("t"), data, "utf-16-le", is_whole=False) == "Füß"
    with pytest.raises(
        DataError, match=r"^t:1: is not utf-16-le: correct .*encoding, or retype\.$"
    ):
        text_in(Path("t"), data, "utf-16-le", cure=", or retype")
