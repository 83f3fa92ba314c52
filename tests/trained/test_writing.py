"""Answers in files."""

import re

import numpy as np
import pandas as pd
import pytest

from hpo.errors import HpoError
from hpo.trained.writing import STDOUT, check_out, write_answers

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
        ("answers.xml", "its name says no format: end it in .csv, .jsonl, .parquet, or give -"),
        ("none/answers.csv", "cannot be written there: give a file in a folder that exists."),
        ("old.csv", "exists: give another name, or --force to replace it."),
    ],
)
def test_a_place_that_does_not_suit_is_refused_first(tmp_path, name, told):
    (tmp_path / "old.csv").touch()
    with pytest.raises(HpoError, match=re.escape(told)):
        check_out(tmp_path / name, replace=False)
    if name == "old.csv":
        check_out(tmp_path / name, replace=True)


def test_what_fails_halfway_leaves_no_file(tmp_path):
    def pieces():
        yield PIECES[0]
        raise HpoError("no more")

    with pytest.raises(HpoError, match="no more"):
        write_answers(tmp_path / "answers.csv", pieces())
    assert [*tmp_path.iterdir()] == []
