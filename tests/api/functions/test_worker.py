"""Python functions as trials, in processes of their own."""

import math
from dataclasses import replace

import pytest

from hpo.errors import SpecError, StudyError
from hpo.report.check import check_summary
from hpo.spec.load import load_document
from hpo.trial import TrialState
from tests.study.whole import Studies

FILE = """
import pathlib

def reports(a, trial, b=2, *, c="x"):
    assert (b, c) == (2, "x")
    for epoch in (1, 2, 3):
        trial.report(a / epoch, epoch)
    if a > 5:
        raise ValueError(f"{a} is too large")

def returns(a):
    return a * 2

def asks(trial):
    return trial.suggest_int("a", 0, 9) + trial.suggest_float("b", 0, 1)

def goes_on(trial, a):
    file = trial.checkpoint_dir / "epoch"
    begun = int(file.read_text()) if file.exists() else 0
    for epoch in range(begun + 1, 9):
        trial.report(a + epoch, epoch)
        file.write_text(str(epoch))
"""


@pytest.fixture
def searched(tmp_path):
    (tmp_path / "train.py").write_text(FILE)
    studies = Studies(tmp_path, tmp_path / "cache")
    studies.around = replace(studies.around, typed=tmp_path / "typed")

    def search(name, epochs, values, **space):
        document = document_of(name, epochs, values, **space)
        experiment = load_document(document, tmp_path)
        studies.run(experiment)
        return studies.state(experiment).trials, studies.said

    return search


def document_of(name, epochs, values, **space):
    return {
        "name": name,
        "objective": {"python": f"train.py:{name}", "workers": 2},
        "space": {"a": {"choice": values}, **space},
        "train": {"epochs": epochs},
        "search": {
            "objective": {"minimize": "loss"},
            "trials": 3,
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
        },
    }


def test_a_function_reports_and_its_exception_costs_one_trial(searched, tmp_path):
    trials, said = searched("reports", 4, [1, 3, 6])
    by_value = {trial.hparams["a"]: trial for trial in trials}
    assert by_value[3].losses == (3.0, 1.5, 1.0, 1.0)
    assert by_value[6].state is TrialState.DIVERGED
    number = by_value[6].number
    failed = f"Trial {number} failed: exited with status 1: ValueError: 6 is too large."
    assert failed in said
    log = (tmp_path / "hpo.db.trials" / "reports" / str(number) / "log.txt").read_text()
    assert "train.py" in log
    assert "hpo/api/functions" not in log


def test_a_function_returns_its_result(searched):
    trials, _ = searched("returns", 1, [1, 2, 3])
    assert sorted(trial.losses[-1] for trial in trials) == [2.0, 4.0, 6.0]


def test_an_objective_asks_for_its_values_as_in_optuna(searched):
    trials, _ = searched("asks", 1, [1, 2], b={"choice": [0.5]})
    assert sorted(trial.losses[-1] for trial in trials) == [1.5, 2.5]
    assert not any(math.isnan(trial.losses[-1]) for trial in trials)


def test_a_function_goes_on_from_its_checkpoint(searched):
    trials, _ = searched("goes_on", 8, [1, 2, 3])
    best = min(trials, key=lambda trial: trial.hparams["a"])
    assert best.losses == tuple(float(1 + epoch) for epoch in range(1, 9))


@pytest.mark.parametrize(
    ("name", "space", "text"),
    [
        ("missing", {}, "objective.python: "),
        ("reports", {"z": {"choice": [1, 2]}}, "space.z: is not an argument of train.py:reports"),
    ],
)
def test_a_function_or_an_argument_that_is_not_there_is_refused(tmp_path, name, space, text):
    (tmp_path / "train.py").write_text(FILE + "raise SystemExit('imported')")
    with pytest.raises(SpecError, match=text):
        load_document(document_of(name, 1, [1, 2], **space), tmp_path)


def test_an_argument_that_nobody_gives_is_refused(tmp_path):
    (tmp_path / "train.py").write_text("def f(a, b): pass")
    document = document_of("f", 1, [1, 2])
    with pytest.raises(SpecError, match=r"train\.py:f needs b: add it to the space"):
        load_document(document, tmp_path)


def test_a_study_does_not_go_on_with_a_changed_function_unasked(tmp_path, searched):
    searched("returns", 1, [1, 2, 3])
    (tmp_path / "train.py").write_text(FILE + "# changed\n")

    with pytest.raises(StudyError, match=r"last ran with another version of train\.py:returns"):
        searched("returns", 1, [1, 2, 3])


def test_a_check_names_the_function_that_a_search_would_run(tmp_path):
    (tmp_path / "train.py").write_text(FILE)
    (runs,) = check_summary(load_document(document_of("returns", 1, [1]), tmp_path)).runs
    assert runs.startswith("train.py:returns (")
