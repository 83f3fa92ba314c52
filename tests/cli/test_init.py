"""`hpo init`."""

import pytest

from tests.data.overview.samples import booleans


@pytest.fixture
def loans(tmp_path):
    (tmp_path / "loans.csv").write_text(booleans())


def test_a_file_becomes_a_spec_that_is_searched(hpo, loans, tmp_path):
    made = hpo("init", "loans.csv", "--preset", "quick")
    few = ("--trials", "2", "--set", "train.epochs=2", "--set", "search.baselines=false")
    searched = hpo("search", "loans.yaml", "--quiet", *few)

    assert made.code == 0, made.err
    assert made.out.startswith("loans.csv: 200 rows, 5 columns -> classification of 'approved'")
    assert made.out.endswith("next: hpo search loans.yaml, then hpo train loans.yaml -o model/\n")
    assert hpo("check", "loans.yaml").code == 0
    assert searched.code == 0, searched.err
    assert "best accuracy" in searched.out


def test_a_file_that_exists_is_replaced_on_demand_alone(hpo, loans, tmp_path):
    (tmp_path / "loans.yaml").write_text("mine")

    refused = hpo("init", "loans.csv")
    kept = (tmp_path / "loans.yaml").read_text()
    replaced = hpo("init", "loans.csv", "--force")

    assert refused.code == 2
    assert refused.err.startswith("loans.yaml: exists: ")
    assert kept == "mine"
    assert replaced.code == 0
    assert "name: loans" in (tmp_path / "loans.yaml").read_text()


def test_target_time_and_file_are_as_asked(hpo, loans, tmp_path):
    made = hpo("init", "loans.csv", "--target", "married", "--time", "5m", "-o", "other.yaml")

    text = (tmp_path / "other.yaml").read_text()
    assert made.code == 0, made.err
    assert "target: married  # as asked" in text
    assert "timeout: 5m" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no.csv",), "there is no file or folder 'no.csv'"),
        (("loans.csv", "--target", "wed"), "--target: unknown column 'wed'"),
        (("loans.csv", "--time", "soon"), "--time: soon is not a duration"),
        (("loans.csv", "-o", "no/x.yaml"), "-o no/x.yaml: cannot be written"),
    ],
)
def test_what_a_user_gets_wrong_is_refused_in_one_line(words, message, hpo, loans):
    refused = hpo("init", *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(message)
    assert refused.err.count("\n") == 1


SWEEP = """
program: train.sh
command: [sh, "${program}", "${args_no_hyphens}"]
project: cats
method: random
metric: {name: loss, goal: minimize}
run_cap: 3
parameters: {lr: {min: 0.1, max: 0.9}}
"""


def test_a_sweep_becomes_a_spec_that_runs_its_script(hpo, tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "train.sh").write_text("echo loss=${1#lr=}\n")

    made = hpo("init", "--from", "sweep.yaml")
    alone = ("--set", "search.baselines=false")
    searched = hpo("search", "sweep-hpo.yaml", "--quiet", *alone)

    assert made.code == 0, made.err
    assert "no place for project: has no place in a spec" in made.out
    assert searched.code == 0, searched.err
    assert "trials  3 of 3" in searched.out


def test_a_config_of_ludwig_is_read_beside_its_table(hpo, loans, tmp_path):
    (tmp_path / "ludwig.yaml").write_text(
        "input_features: [{name: a, type: number}, {name: married, type: category}]\n"
        "output_features: [{name: approved, type: binary}]\n"
        "trainer: {epochs: 4, early_stop: 3}\n"
    )
    made = hpo("init", "loans.csv", "--from", "ludwig.yaml")

    text = (tmp_path / "loans.yaml").read_text()
    assert made.code == 0, made.err
    assert "no place for trainer.early_stop" in made.out
    assert "drop: [b, c]" in text
    assert "epochs: 4" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "hpo init: there is nothing to look at"),
        (("--from", "no.yaml"), "no.yaml"),
        (("--from", "plain.yaml"), "--from: has no parameters"),
        (("loans.csv", "--from", "sweep.yaml"), "--from: a sweep of W&B runs a script"),
    ],
)
def test_a_file_of_no_other_tool_is_refused(words, message, hpo, loans, tmp_path):
    (tmp_path / "plain.yaml").write_text("a: 1\n")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    refused = hpo("init", *words)
    assert refused.code == 2
    assert refused.err.startswith(message)
