"""Answers in files."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.errors import HpoError
from hpo.trained.writing import (
    ENDINGS,
    STDOUT,
    check_columns_out,
    check_out,
    check_text_out,
    write_answers,
    write_text,
)

PIECES = [
    {"class": np.array(["a,b", "c"], object), "chance": np.array([0.1, 0.9])},
    {"class": np.array(["d"], object), "chance": np.array([1 / 3])},
]
READ = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
READ[".jsonl"] = lambda file: pd.read_json(file, lines=True, precise_float=True)


@pytest.mark.parametrize("ending", READ)
def test_each_format_holds_every_piece_to_the_last_bit(tmp_path, ending):
    file = tmp_path / f"answers{ending}"
    write_answers(file, PIECES)
    found = READ[ending](file)
    assert found["class"].tolist() == ["a,b", "c", "d"]
    assert found["chance"].tolist() == [0.1, 0.9, 1 / 3]
    assert [*tmp_path.iterdir()] == [file]


def test_standard_output_gets_csv(capsys):
    write_answers(STDOUT, PIECES)
    assert capsys.readouterr().out.splitlines() == [
        "class,chance",
        '"a,b",0.1',
        "c,0.9",
        "d,0.3333333333333333",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "answers.xml",
            "its name says no format: end it in .csv, .jsonl, .parquet, .npz, or",
        ),
        ("none/answers.csv", "cannot be written there: give a file in a folder that exists."),
        ("old.csv", "exists: give another name, or --force to replace it."),
    ],
)
def test_a_place_that_does_not_suit_is_refused_first(tmp_path, name, told):
    (tmp_path / "old.csv").touch()
    with pytest.raises(HpoError, match=re.escape(told)):
        check_out(tmp_path / name, replace=False, endings=ENDINGS)
    if name == "old.csv":
        check_out(tmp_path / name, replace=True, endings=ENDINGS)
    with pytest.raises(HpoError, match="-o: a URL cannot be written here: give a path"):
        check_out(Path("s3://bucket/answers.csv"), replace=False, endings=ENDINGS)


def test_what_fails_halfway_leaves_no_file(tmp_path):
    def pieces():
        yield PIECES[0]
        raise HpoError("no more")

    with pytest.raises(HpoError, match="no more"):
        write_answers(tmp_path / "answers.csv", pieces())
    assert [*tmp_path.iterdir()] == []


def test_arrays_and_texts_have_formats_of_their_own(tmp_path, capsys):
    for path, told in (("a.csv", "are masks, which are arrays"), ("a.txt", "are masks")):
        with pytest.raises(HpoError, match=told):
            check_columns_out(tmp_path / path, are_masks=True)
    with pytest.raises(HpoError, match=r"the answers are columns: end it in \.csv"):
        check_columns_out(tmp_path / "a.txt", are_masks=False)
    with pytest.raises(HpoError, match=r"the model writes a text: end it in \.txt"):
        check_text_out(tmp_path / "a.csv")
    check_text_out(STDOUT)
    write_text(STDOUT, "a cat")
    assert capsys.readouterr().out == "a cat\n"
    write_text(tmp_path / "a.txt", "a cat\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"a cat\r\n"


def test_arrays_are_written_without_a_pickle(tmp_path):
    names = np.array(["a.png", "b.png"], object)
    pieces = [
        {"file": names[:1], "y": np.zeros((1, 2, 2))},
        {"file": names[1:], "y": np.ones((1, 2, 2))},
    ]
    write_answers(tmp_path / "m.npz", pieces)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as found:
        assert found["file"].tolist() == ["a.png", "b.png"]
        assert found["y"].sum() == 4
