"""The folder of an explanation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.trained.explain.attribution import Attribution
from hpo.trained.explain.findings import BadToken, Explanation, Passage, Window, Wrong
from hpo.trained.explain.importance import Importance
from hpo.trained.explain.tokens import WordParts
from hpo.trained.explain.write import check_folder, write_explanation

FOUND = Explanation(
    2,
    {"loss": 0.5},
    "loss",
    (Importance("age", 0.5, 0.25, 0.75),),
    (Wrong(2, None, 1.5, "no", "yes"),),
    classes=("no", "yes"),
    confusion=np.array([[0, 1], [0, 1]]),
)


def test_without_pillow_the_tables_are_whole_and_a_note_tells_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = replace(FOUND, pictures={1: np.zeros((4, 8, 1), np.uint8)})
    assert write_explanation(tmp_path / "with", seen, {}) == ""
    assert [file.name for file in (tmp_path / "with" / "pictures").iterdir()] == ["row-1.png"]
    monkeypatch.setattr("hpo.trained.explain.write.find_spec", lambda name: None)
    note = write_explanation(tmp_path / "why", seen, {})
    assert note.startswith("No pictures are written: they need Pillow, which is not installed")
    assert (tmp_path / "why" / "explanation.json").is_file()
    assert not (tmp_path / "why" / "pictures").exists()


def test_each_table_that_has_rows_is_a_file(tmp_path: Path) -> None:
    words = WordParts(2, "note", ("a", "b"), (0.5, -0.25))
    write_explanation(tmp_path / "why", replace(FOUND, words=(words,)), {"rows": 2})
    assert {file.name for file in (tmp_path / "why").iterdir()} == {
        "importance.csv",
        "words.csv",
        "worst.csv",
        "confusion.csv",
        "explanation.json",
    }
    assert (tmp_path / "why" / "importance.csv").read_text() == (
        "column,mean,low,high\nage,0.5,0.25,0.75\n"
    )
    assert (tmp_path / "why" / "words.csv").read_text() == (
        "row,column,word,part\n2,note,a,0.5\n2,note,b,-0.25\n"
    )
    assert (tmp_path / "why" / "confusion.csv").read_text() == "class,no,yes\nno,0,1\nyes,0,1\n"
    assert json.loads((tmp_path / "why" / "explanation.json").read_text()) == {"rows": 2}


def test_only_an_earlier_explanation_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    check_folder(tmp_path / "why", replace=False)
    write_explanation(tmp_path / "why", FOUND, {})
    check_folder(tmp_path / "why", replace=True)
    with pytest.raises(HpoError, match="holds an explanation: give another folder, or --force"):
        check_folder(tmp_path / "why", replace=False)
    with pytest.raises(HpoError, match="holds other files: give a new or empty folder"):
        check_folder(tmp_path, replace=True)
    with pytest.raises(HpoError, match="is a file: give a folder"):
        check_folder(tmp_path / "why" / "worst.csv", replace=True)


def test_what_is_replaced_leaves_no_table_behind(tmp_path: Path) -> None:
    why = tmp_path / "why"
    write_explanation(why, replace(FOUND, pictures={9: np.zeros((4, 8, 1), np.uint8)}), {})
    (why / "notes.csv").write_text("mine")
    write_explanation(why, replace(FOUND, confusion=None, overlaps=(0.5, np.nan)), {})
    assert {str(file.relative_to(why)) for file in why.rglob("*.*")} == {
        "importance.csv",
        "worst.csv",
        "iou.csv",
        "notes.csv",
        "explanation.json",
    }
    assert (why / "iou.csv").read_text() == "class,iou\nno,0.5\nyes,\n"


def test_windows_have_a_line_for_each_value_and_each_step(tmp_path: Path) -> None:
    found = replace(
        FOUND,
        worst=(),
        confusion=None,
        importance=(),
        attribution=Attribution(("heat", "power"), np.ones((1, 2, 2)), np.array([4.0])),
        windows=(Window(5, "2024-01-05", 1.5, (1.0, 2.0), (2.5, 3.5)),),
    )
    write_explanation(tmp_path / "why", found, {})
    names = {file.name for file in (tmp_path / "why").iterdir()}
    assert names == {"windows.csv", "attributions.csv", "explanation.json"}
    assert (tmp_path / "why" / "windows.csv").read_text() == (
        "row,time,error,ahead,truth,forecast\n"
        "5,2024-01-05,1.5,1,1.0,2.5\n5,2024-01-05,1.5,2,2.0,3.5\n"
    )
    assert (tmp_path / "why" / "attributions.csv").read_text() == (
        "row,time,rise,step,heat,power\n5,2024-01-05,4.0,-2,1.0,1.0\n5,2024-01-05,4.0,-1,1.0,1.0\n"
    )


def test_passages_have_a_line_for_each_token(tmp_path: Path) -> None:
    found = replace(
        FOUND,
        worst=(),
        confusion=None,
        importance=(),
        passages=(Passage(2, 1.5, "a,", ("a", ","), (1.0, 2.0), ("b", "c")),),
        tokens=(BadToken(",", 12, 7, 2.5, "c"),),
    )
    write_explanation(tmp_path / "why", found, {})
    names = {file.name for file in (tmp_path / "why").iterdir()}
    assert names == {"passages.csv", "tokens.csv", "explanation.json"}
    assert (tmp_path / "why" / "passages.csv").read_text() == (
        'row,mean,place,token,loss,answer\n2,1.5,1,a,1.0,b\n2,1.5,2,",",2.0,c\n'
    )
    assert (tmp_path / "why" / "tokens.csv").read_text() == (
        'token,times,wrong,loss,instead\n",",12,7,2.5,c\n'
    )
