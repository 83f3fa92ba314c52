"""The space of an objective of Optuna's, found by running it."""

from dataclasses import replace
from datetime import date

import pytest

from hpo.errors import HpoError
from hpo.report.check import as_json, check_summary, render
from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import load_document
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.study.whole import Studies

# A package of that name beside the file, so that the tests need not import the real one.
OPTUNA = "class TrialPruned(Exception): pass"
FILE = """
import pathlib
import optuna

pathlib.Path("runs").open("a").write("run\\n")

def objective(trial):
    rate = trial.suggest_float("learning-rate", 1e-3, 1e-1, log=True)
    depth = trial.suggest_int("depth", 1, 2 + trial.number % 2)
    kind = trial.suggest_categorical("kind", ["plain", {"decay": 1}])
    if kind != "plain":
        trial.suggest_float("decay", 0.0, 1.0, step=0.5)
    for step in range(3):
        trial.report(depth + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned

def late(trial):
    a = trial.suggest_int("a", 0, 9)
    if trial.number == 6:
        a += trial.suggest_float("late", 0, 1)
    return a

def prunes(trial):
    trial.report(trial.suggest_int("a", 1, 3), 0)
    raise optuna.TrialPruned

def silent(trial):
    return 1

def fails(trial):
    raise ValueError("no data")

def grows(trial):
    for name in range(trial.number + 1):
        trial.suggest_int(f"a{name}", 0, 9)
    return 1
"""


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "tune.py").write_text(FILE)
    (tmp_path / "optuna.py").write_text(OPTUNA)
    found = Studies(tmp_path, tmp_path / "cache")
    found.around = replace(found.around, typed=tmp_path / "typed")
    return found


def an_experiment(folder, name, epochs=1, trials=2, **parts):
    document = {
        "name": name,
        "objective": {"python": f"tune.py:{name}", "workers": 2},
        "train": {"epochs": epochs},
        "search": {
            "objective": {"minimize": "loss"},
            "trials": trials,
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
        },
        **parts,
    }
    return load_document(document, folder)


def stored(studies, name):
    with Storage.read(studies.url) as storage:
        return stored_experiment(storage.study(name), "test")


def test_the_space_is_found_once_and_kept_in_the_stored_spec(studies, tmp_path):
    experiment = an_experiment(tmp_path, "objective", epochs=3)
    studies.run(experiment)
    assert stored(studies, "objective").document["space"] == {
        "learning_rate": {"float": [1e-3, 1e-1], "log": True},
        "depth": {"int": [1, 3]},
        "kind": {"choice": ["plain", {"decay": 1}]},
        "decay": {"float": [0.0, 1.0], "step": 0.5},
    }
    assert any(
        text.startswith("Found learning_rate, depth, kind, decay in ") for text in studies.said
    )
    begun = len((tmp_path / "runs").read_text().splitlines())
    assert 6 + 2 <= begun <= 20 + 2

    studies.run(an_experiment(tmp_path, "objective", epochs=3, trials=3))
    studies.run(replace(stored(studies, "objective")))
    assert len((tmp_path / "runs").read_text().splitlines()) == begun + 1
    trials = studies.state(stored(studies, "objective")).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    first = trials[0].hparams["depth"]
    assert trials[0].losses == (first, first + 1, first + 2)
    assert not (tmp_path / "hpo.db.trials" / "objective" / "finding").exists()


def test_a_value_that_is_met_later_is_drawn_kept_with_its_trial_and_said_once(studies, tmp_path):
    studies.run(an_experiment(tmp_path, "late", trials=8))
    experiment = stored(studies, "late")
    state = studies.state(experiment)
    assert [*experiment.space.by_path] == ["a"]
    assert [*state.drawn] == [6]
    late = state.drawn[6]["late"]
    assert state.trial(6).losses[-1] == state.trial(6).hparams["a"] + late
    assert len([text for text in studies.said if "late at random" in text]) == 1
    with Storage.read(studies.url) as storage:
        shown = {trial.number: trial.hparams for trial in study_report(storage, "late", 8).top}
        exported = export_trial(storage, "late", 6, tmp_path / "best.yaml", date(2026, 1, 1))
    assert [number for number in shown if "late" in shown[number]] == [6]
    assert exported.document["command"]["values"] == shown[6]


def test_a_trial_that_prunes_itself_keeps_its_last_result(studies, tmp_path):
    studies.run(an_experiment(tmp_path, "prunes", epochs=2))
    for trial in studies.state(stored(studies, "prunes")).trials:
        assert trial.losses == (trial.hparams["a"],) * 2


def test_an_objective_that_reports_is_told_to_say_how_often(studies, tmp_path):
    studies.run(an_experiment(tmp_path, "prunes", epochs=1, trials=1))
    assert any("train.epochs is 1, so its first report" in text for text in studies.said)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("silent", r"tune\.py:silent: asked for no value in 5 runs: write a space"),
        (
            "fails",
            r"fails in the runs that look for its space \(Trial \d failed: .*ValueError: no data\)",
        ),
    ],
)
def test_an_objective_that_asks_for_nothing_is_refused(studies, tmp_path, name, text):
    with pytest.raises(HpoError, match=text):
        studies.run(an_experiment(tmp_path, name))
    assert not (tmp_path / "hpo.db").exists()


def test_an_objective_that_always_asks_for_more_is_run_twenty_times(studies, tmp_path):
    studies.run(an_experiment(tmp_path, "grows", trials=1))
    assert [*stored(studies, "grows").space.by_path] == [f"a{n}" for n in range(20)]


def test_a_check_says_that_the_space_is_found_and_runs_nothing(studies, tmp_path):
    (tmp_path / "tune.py").write_text(FILE + "raise SystemExit('imported')")
    search = {"objective": {"minimize": "loss"}, "trials": 40}
    found = check_summary(an_experiment(tmp_path, "objective", search=search))
    lines = render(found).splitlines()
    assert "space      found by the search" in lines
    assert "sampler    auto: picked once the space is found" in lines
    assert "trials     40" in lines
    assert lines[-1].endswith("so the search runs the function first to find it")
    assert as_json(found)["space_size"] is None
