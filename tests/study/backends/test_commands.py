"""A study of a command: what each trial is started with, and whole studies of tiny scripts."""

import json
from dataclasses import replace

import pytest
import yaml

from hpo.errors import HpoError, StudyError
from hpo.spec.fill import fill
from hpo.spec.load import load_document
from hpo.spec.sections.command import CommandSpec
from hpo.study.backends.commands import launch_of, slots_of, visible_gpus
from hpo.trial import TrialState
from tests.study.whole import Studies

SCRIPT = """
e=$(cat $HPO_CHECKPOINT_DIR/e 2>/dev/null || echo 0)
while [ $e -lt 4 ]; do
  e=$((e+1)); echo "epoch=$e loss=$1.$e"
  echo $e > $HPO_CHECKPOINT_DIR/new; mv $HPO_CHECKPOINT_DIR/new $HPO_CHECKPOINT_DIR/e
done
"""
DOCUMENT = {
    "name": "script",
    "command": {"run": "sh train.sh {a} {opt}", "slots": 2, "values": {"opt": "sgd"}},
    "space": {"a": {"int": [1, 9]}},
    "train": {"epochs": 4},
    "search": {
        "objective": {"minimize": "loss"},
        "trials": 4,
        "sampler": {"name": "random"},
        "scheduler": {"name": "successive_halving", "eta": 2},
    },
}


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "train.sh").write_text(SCRIPT)
    found = Studies(tmp_path, tmp_path / "cache")
    found.around = replace(found.around, typed=tmp_path / "typed")
    return found


def an_experiment(tmp_path, **parts):
    return load_document({**DOCUMENT, **parts}, tmp_path)


def test_a_study_of_a_script_is_searched_halved_and_gone_on_with(studies, tmp_path):
    outcome = studies.run(an_experiment(tmp_path))
    assert outcome.reason == "finished"
    trials = studies.state(an_experiment(tmp_path)).trials
    assert sorted(trial.state for trial in trials).count(TrialState.COMPLETE) == 1
    best = min(trials, key=lambda trial: trial.hparams["a"])
    assert best.losses == tuple(float(f"{best.hparams['a']}.{e}") for e in (1, 2, 3, 4))
    more = {**DOCUMENT["search"], "trials": 8}
    studies.run(replace(an_experiment(tmp_path, search=more), is_stored=True))
    assert len(studies.state(an_experiment(tmp_path)).trials) == 8


def test_a_trial_that_fails_is_one_without_a_number_and_the_others_go_on(studies, tmp_path):
    (tmp_path / "train.sh").write_text("[ $HPO_TRIAL = 1 ] && exit 3\necho loss=$1")
    studies.run(an_experiment(tmp_path, train={"epochs": 1}))
    trials = studies.state(an_experiment(tmp_path)).trials
    assert [trial.state is TrialState.DIVERGED for trial in trials] == [False, True, False, False]
    assert "Trial 1 failed: exited with status 3." in studies.said
    assert (
        "[hpo] exited with status 3"
        in (tmp_path / "hpo.db.trials" / "script" / "1" / "log.txt").read_text()
    )


def test_a_stored_command_that_nobody_typed_here_does_not_run(studies, tmp_path):
    studies.run(an_experiment(tmp_path))
    elsewhere = replace(studies.around, typed=tmp_path / "somebody_else")
    studies.around = elsewhere
    with pytest.raises(StudyError, match="was not typed by you"):
        studies.run(replace(an_experiment(tmp_path), is_stored=True))


def test_a_program_that_is_missing_is_said_before_the_first_trial(studies, tmp_path):
    with pytest.raises(HpoError, match=r"command\.run: there is no program trainx in"):
        studies.run(an_experiment(tmp_path, command={"run": "trainx {a}"}))
    with pytest.raises(HpoError, match=r"train\.sh may not be executed: run chmod \+x"):
        studies.run(an_experiment(tmp_path, command={"run": "./train.sh {a}"}))


@pytest.mark.parametrize(("kind", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_command_gets_its_values_by_words_variables_and_a_file(tmp_path, kind, read):
    run = ["train", "--a={a}", "{config}", "{seed}", "{trial}", "{checkpoints}"]
    command = {"run": run, "env": {"A": "a={a}"}, "config": kind, "values": {"wd": None}}
    experiment = an_experiment(tmp_path, command=command)
    training = fill(experiment.training, {"a": 3}, 7)
    launch = launch_of(training, "7", tmp_path, tmp_path, "loss", {"CUDA_VISIBLE_DEVICES": "1"})
    config, checkpoint = f"{tmp_path}/config.{kind}", f"{tmp_path}/checkpoint"
    assert launch.argv == ["train", "--a=3", config, "0", "7", checkpoint]
    assert read((tmp_path / f"config.{kind}").read_text()) == {"a": 3}
    assert (launch.env["A"], launch.env["CUDA_VISIBLE_DEVICES"]) == ("a=3", "1")
    assert (launch.env["HPO_CHECKPOINT_DIR"], launch.env["HPO_TRIAL"]) == (checkpoint, "7")


@pytest.mark.parametrize(
    ("slots", "gpus", "count"),
    [(3, 0, 3), ({"gpu": 1}, 4, 4), ({"gpu": 2}, 5, 2), ({"gpu": 0.5}, 2, 4), ({"gpu": 0.3}, 1, 3)],
)
def test_slots_are_counted_or_follow_from_the_gpus(slots, gpus, count):
    assert slots_of(CommandSpec.model_validate({"run": "x", "slots": slots}), gpus) == count


def test_trials_at_the_same_time_have_gpus_of_their_own(studies, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b,c,d,e")
    (tmp_path / "train.sh").write_text(
        'mkdir "$CUDA_VISIBLE_DEVICES" || exit 3\n'
        'echo "$CUDA_VISIBLE_DEVICES" >> shown\n'
        "sleep 0.2\n"
        'rmdir "$CUDA_VISIBLE_DEVICES" && echo loss=$1\n'
    )
    command = {"run": "sh train.sh {a}", "slots": {"gpu": 2}}
    studies.run(an_experiment(tmp_path, train={"epochs": 1}, command=command))
    assert {*(tmp_path / "shown").read_text().split()} == {"a,b", "c,d"}
    trials = studies.state(an_experiment(tmp_path)).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4


def test_a_trial_that_asks_for_more_gpus_than_there_are_is_refused():
    command = CommandSpec.model_validate({"run": "x", "slots": {"gpu": 2}})
    with pytest.raises(HpoError, match="asks for 2 GPU and this machine shows 1 GPU"):
        slots_of(command, 1)


def test_the_gpus_are_those_that_this_process_may_use():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-a"}) == ["2", "GPU-a"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_forged_trial_gives_a_command_no_text_that_its_space_does_not_have(
    studies, tmp_path, monkeypatch
):
    space = {"a": {"int": [1, 9]}, "opt": {"choice": ["sgd", "adam"]}}
    command = {"run": "sh train.sh {a} {opt}", "slots": 2}
    experiment = an_experiment(tmp_path, space=space, command=command)
    studies.run(experiment)
    forged = [{"a": 1, "opt": "adam"}, {"a": 2, "opt": "/etc/passwd"}]
    monkeypatch.setattr("hpo.study.open._tried", lambda *_: forged)

    with pytest.raises(StudyError, match=r"has a trial with opt = .*passwd.*, which its"):
        studies.run(replace(experiment, is_stored=True))
    monkeypatch.setattr("hpo.study.open._tried", lambda *_: forged[:1])
    studies.run(replace(experiment, is_stored=True))
