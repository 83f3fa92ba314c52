"""What a function may ask of its trial, as it may of one of Optuna's."""

import json

import pytest

from hpo.api.functions.trial import Trial, TrialStopped, entry_of, leaf_name
from hpo.distributions import Choice, Float, Int


@pytest.fixture
def trial_of(tmp_path, monkeypatch):
    def make(given=None, number=3, seed=0, finds=None):
        monkeypatch.setenv("HPO_TRIAL", str(number))
        monkeypatch.setenv("HPO_STUDY_SEED", str(seed))
        monkeypatch.setenv("HPO_CHECKPOINT_DIR", str(tmp_path))
        monkeypatch.setenv("HPO_FOLDER", str(tmp_path))
        return Trial(given or {}, finds)

    return make


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_value_of_the_study_is_given_with_its_own_type(trial_of):
    trial = trial_of({"lr": 1, "depth": 4, "opt": ["sgd", 0.9], "none": None, "flag": True})
    assert repr(trial.suggest_float("lr", 0, 2)) == "1.0"
    assert trial.suggest_int("depth", 2, 6, step=2) == 4
    assert trial.suggest_categorical("opt", ["adam", ("sgd", 0.9)]) == ("sgd", 0.9)
    assert trial.suggest_categorical("none", ["a", None]) is None
    assert trial.suggest_categorical("flag", [1, True]) is True
    assert trial.params["depth"] == 4


def test_a_name_that_no_spec_can_hold_is_found_under_that_of_its_leaf(trial_of):
    trial = trial_of({"learning_rate": 0.5, "train_": 2})
    assert trial.suggest_float("learning-rate", 0, 1) == 0.5
    assert trial.suggest_int("train", 1, 3) == 2
    assert trial.params == {"learning-rate": 0.5, "train": 2}
    assert [leaf_name(name) for name in ("lr.head", "0x", "_a")] == ["lr_head", "p0x", "p_a"]


def test_a_value_that_the_study_lacks_is_drawn_by_seed_trial_and_name_and_kept(trial_of, tmp_path):
    first = trial_of()
    momentum = first.suggest_float("momentum", 0, 1)
    assert first.suggest_float("momentum", 0, 1) == momentum
    assert lines(tmp_path / "drawn.jsonl") == [{"momentum": momentum}]
    assert trial_of().suggest_float("momentum", 0, 1) == momentum
    others = [
        trial_of(number=4).suggest_float("momentum", 0, 1),
        trial_of(seed=1).suggest_float("momentum", 0, 1),
        trial_of().suggest_float("other", 0, 1),
    ]
    assert momentum not in others


def test_draws_keep_to_steps_logarithms_and_choices(trial_of):
    trials = [trial_of(number=number) for number in range(200)]
    assert {t.suggest_float("a", 0, 1, step=0.25) for t in trials} == {0, 0.25, 0.5, 0.75, 1}
    assert {t.suggest_int("b", 1, 7, step=3) for t in trials} == {1, 4, 7}
    below = [t.suggest_float("c", 1e-6, 1, log=True) < 1e-3 for t in trials]
    assert 70 < sum(below) < 130
    assert {t.suggest_categorical("d", ["x", None]) for t in trials} == {"x", None}


def test_a_value_of_the_study_that_a_call_does_not_allow_is_drawn_instead(trial_of):
    trial = trial_of({"layer": 9})
    assert trial.suggest_int("layer", 0, 2) in (0, 1, 2)


def test_a_choice_that_json_cannot_hold_is_refused_with_its_name(trial_of):
    with pytest.raises(TypeError, match=r"suggest_categorical\('act'\): .*type.*give names"):
        trial_of().suggest_categorical("act", [int, float])


def test_a_trial_that_finds_the_space_notes_what_is_asked_and_ends_at_its_report(
    trial_of, tmp_path, monkeypatch
):
    monkeypatch.setenv("HPO_RESULTS", str(tmp_path / "reported.jsonl"))
    monkeypatch.setenv("HPO_METRIC", "loss")
    asked = tmp_path / "asked.jsonl"
    trial = trial_of(finds=str(asked))
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    with pytest.raises(TrialStopped):
        trial.report(0.5, step=0)
    entry = {"float": [1e-4, 1e-1], "log": True}
    assert lines(asked) == [{"name": "lr", "leaf": "lr", "entry": entry}, {"reports": True}]
    assert lines(tmp_path / "reported.jsonl") == [{"epoch": 0, "loss": 0.5}]
    assert not (tmp_path / "drawn.jsonl").exists()


@pytest.mark.parametrize(
    ("distribution", "entry"),
    [
        (Float(0.0, 1.0, step=0.25), {"float": [0.0, 1.0], "step": 0.25}),
        (Float(0.0, 3.0, step=1.0), {"float": [0.0, 3.0], "step": 1.0}),
        (Int(1, 9, step=2), {"int": [1, 9], "step": 2}),
        (Int(1, 9, log=True), {"int": [1, 9], "log": True}),
        (Int(2, 2), {"value": 2}),
        (Choice(("a", [1], "a")), {"choice": ["a", [1]]}),
        (Choice((None,)), {"value": None}),
    ],
)
def test_what_is_asked_becomes_an_entry_of_the_space(distribution, entry):
    assert entry_of(distribution) == entry


def test_attributes_are_kept_in_the_folder_of_the_trial(trial_of, tmp_path):
    trial = trial_of()
    trial.set_user_attr("steps", 7)
    trial.set_user_attr("note", "slow")
    assert json.loads((tmp_path / "user_attrs.json").read_text()) == {"steps": 7, "note": "slow"}
