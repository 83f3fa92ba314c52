"""Answers on the command line, in a process that never saw the data set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from tests.study.whole import Studies
from tests.trained.tables import trained, write_table


def test_a_fresh_process_answers_and_scores_without_the_data_set(folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "model")
    shutil.copy(folder / "new.csv", tmp_path)
    words = ["predict", "model", "new.csv", "-o", "out.csv", "--score", "--device", "cpu"]
    result = subprocess.run(
        [sys.executable, "-m", "hpo", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    score, rows = result.stdout.splitlines()
    assert score.startswith("score: loss ")
    assert rows == "120 rows -> out.csv"
    assert result.stderr.count("\n") == 1
    assert "column 'city': 2 rows with a category that no training row has" in result.stderr
    found = pd.read_csv(tmp_path / "out.csv")
    assert [*found] == ["churn", "churn_no", "churn_yes"]
    assert len(found) == 120


def test_standard_output_has_the_answers_alone(hpo, folder):
    result = hpo("predict", str(folder / "model"), str(folder / "new.csv"), "--score", "-q")
    assert result.code == 0, result.err
    assert result.out.count("\n") == 121
    assert result.err.startswith("score: ")


def test_rows_with_new_categories_are_refused_where_that_is_asked_for(hpo, folder, tmp_path):
    out = tmp_path / "out.csv"
    words = ("predict", str(folder / "model"), str(folder / "new.csv"), "-o", str(out))
    result = hpo(*words, "--on-unknown", "refuse")
    assert result.code == 2
    assert "'city': 2 rows with a category that no training row has, such as 'Paris': corr" in (
        result.err
    )
    assert not out.exists()
    table = pd.read_csv(folder / "new.csv").replace("Paris", "Oslo")
    table.to_csv(tmp_path / "new.csv", index=False)
    words = ("predict", str(folder / "model"), str(tmp_path / "new.csv"), "-o", str(out))
    assert hpo(*words, "--on-unknown", "refuse", "-q").code == 0


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--length=9", "--length: is for language models"),
        ("--temperature=0", "--temperature: is for language models"),
        ("--seed=0", "--seed: is for language models"),
    ],
)
def test_options_that_a_model_does_not_read_are_refused(hpo, folder, option, told):
    result = hpo("predict", str(folder / "model"), str(folder / "new.csv"), option)
    assert (result.code, result.err) == (2, f"{told}, and this is none: leave it out.\n")


def test_what_code_of_ones_own_prints_is_no_part_of_the_answers(hpo, tmp_path, compile_cache):
    write_table(tmp_path / "table.csv")
    (tmp_path / "nets.py").write_text(
        "from flax import nnx\n\n"
        "class Net(nnx.Module):\n"
        "    def __init__(self, inputs, outputs, *, rngs):\n"
        "        self.head = nnx.Linear(inputs, outputs, rngs=rngs)\n\n"
        "    def __call__(self, x):\n"
        "        print('TRACED', x.shape)\n"
        "        return self.head(x)\n"
    )
    trained(Studies(tmp_path, compile_cache), tmp_path, model={"python": "nets.py:Net"})
    words = (str(tmp_path / "model"), "--trust-code")
    result = hpo("predict", *words, str(tmp_path / "table.csv"), "-q")
    assert result.out.startswith("churn,churn_no,churn_yes\n")
    assert "TRACED" not in result.out
    assert "TRACED" in result.err
    json.loads(hpo("explain", *words, str(tmp_path / "table.csv"), "--json", "-q").out)


def test_a_batch_of_any_size_gives_the_same_answers(hpo, folder):
    words = ("predict", str(folder / "model"), str(folder / "new.csv"), "-q")
    whole = hpo(*words)
    assert whole.out.count("\n") == 121
    assert hpo(*words, "--batch", "auto").out == hpo(*words, "--batch", "7").out == whole.out


@pytest.mark.parametrize("text", ["0", "-1", "many", "", "1.5", "9" * 40])
def test_what_is_no_number_of_rows_is_refused(hpo, folder, text):
    result = hpo("predict", str(folder / "model"), str(folder / "new.csv"), f"--batch={text}")
    told = f"--batch '{text}': is no number of rows: give auto, or 1 or more."
    assert (result.code, result.err.strip()) == (2, told)


def test_chances_are_raw_where_they_are_asked_for(hpo, folder):
    words = ("predict", str(folder / "model"), str(folder / "new.csv"), "-q")
    told, raw = (hpo(*words, *more).out.splitlines() for more in ((), ("--raw",)))
    assert told != raw
    assert [line.split(",")[0] for line in told] == [line.split(",")[0] for line in raw]


def test_json_has_rows_notes_and_the_score(hpo, folder, tmp_path):
    words = ("predict", str(folder / "model"), str(folder / "new.csv"), "--json")
    assert "give them a file with -o FILE" in hpo(*words).err
    out = tmp_path / "out.jsonl"
    found = json.loads(hpo(*words, "-o", str(out), "-q").out)
    assert (found["rows"], found["file"], found["score"]) == (120, str(out), None)
    assert len(found["notes"]) == 1


def test_a_file_that_exists_is_replaced_only_by_force(hpo, folder, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("mine")
    words = ("predict", str(folder / "model"), str(folder / "new.csv"), "-o", str(out), "-q")
    result = hpo(*words)
    assert (result.code, out.read_text()) == (2, "mine")
    assert hpo(*words, "--force").code == 0
    assert out.read_text() != "mine"
