"""`hpo run` and `hpo logs`: a script is tuned without a spec."""

import re
import subprocess

import pytest

SCRIPT = "for e in 1 2; do echo epoch=$e loss=$2.$e; done\n"
TYPED = ("run", "--minimize", "loss", "--trials", "3", "--epochs", "2")
WORDS = ("--", "sh", "train.sh", "--a", "~int(1, 9)")


@pytest.fixture
def script(tmp_path):
    (tmp_path / "train.sh").write_text(SCRIPT)


@pytest.mark.usefixtures("script")
def test_a_command_is_tuned_its_spec_saved_and_its_winner_exported(hpo, tmp_path):
    ran = hpo(*TYPED, "--save-spec", "s.yaml", *WORDS)
    assert ran.code == 0, ran.err
    assert "train  finished" in ran.out
    again = hpo("search", "s.yaml")
    assert "The study has ended with 3 trials" in again.err
    assert hpo("export", "train", "-o", "best.yaml").code == 0
    assert "# Run it:  cd " in (tmp_path / "best.yaml").read_text()
    assert hpo("check", "best.yaml").code == 0
    refused = hpo("train", "best.yaml", "-o", "model")
    assert refused.code == 2
    assert "is a command, which keeps its own model: run sh train.sh --a" in refused.err
    assert hpo("resume", "train", "--trials", "4").code == 0


@pytest.mark.usefixtures("script")
def test_the_log_of_a_trial_is_printed(hpo):
    hpo(*TYPED, "--name", "named", *WORDS)
    log = hpo("logs", "named", "0")
    assert log.out.splitlines()[0].startswith("[hpo] starts: sh train.sh --a ")
    assert log.out.endswith("[hpo] exited with status 0\n")
    assert "trial 9 has no log" in hpo("logs", "named", "9").err
    assert "../x is not a trial" in hpo("logs", "named", "../x").err


def test_a_command_needs_one_metric(hpo):
    assert "needs one of --minimize METRIC" in hpo("run", *WORDS).err


def test_a_study_of_a_command_without_a_section_train_is_shown_and_listed(hpo, tmp_path):
    (tmp_path / "s.yaml").write_text(
        'name: one\ncommand: {run: "echo val_loss={a}"}\nspace: {a: {int: [1, 9]}}\n'
        "search: {objective: {minimize: val_loss}, trials: 2}\n"
    )
    assert hpo("search", "s.yaml").code == 0
    shown, listed = hpo("show", "one"), hpo("list")
    assert shown.code == 0, shown.err
    assert "minimize val_loss after 1 epoch\n" in shown.out
    assert "one" in listed.out
    assert not listed.err


def test_a_study_whose_function_is_gone_is_shown_and_says_on_resume_what_is_missing(hpo, tmp_path):
    (tmp_path / "f.py").write_text("def f(a):\n    return a\n")
    (tmp_path / "s.yaml").write_text(
        "name: gone\nobjective: {python: 'f.py:f'}\nspace: {a: {int: [1, 9]}}\n"
        "search: {objective: {minimize: loss}, trials: 2}\n"
    )
    assert hpo("search", "s.yaml").code == 0
    (tmp_path / "f.py").unlink()
    shown = hpo("show", "gone")
    assert shown.code == 0, shown.err
    assert "best trial" in shown.out
    assert (
        "f.py:f, which is missing here: put it back." in hpo("resume", "gone", "--trials", "3").err
    )
    assert (
        "f.py:f, which is missing here: put it back." in hpo("export", "gone", "-o", "b.yaml").err
    )


def test_an_exported_function_is_a_spec_whose_head_runs_it(hpo, tmp_path):
    (tmp_path / "f.py").write_text("def f(a):\n    print('a is', a)\n    return a\n")
    (tmp_path / "s.yaml").write_text(
        "name: own\nobjective: {python: 'f.py:f'}\nspace: {a: {choice: [7, 7.5]}}\n"
        "search: {objective: {minimize: loss}, trials: 2, sampler: {name: grid}}\n"
    )
    assert hpo("search", "s.yaml").code == 0
    assert hpo("export", "own", "-o", "best.yaml").code == 0
    checked = hpo("check", "best.yaml")
    assert checked.code == 0, checked.err
    head = (tmp_path / "best.yaml").read_text()
    (line,) = re.findall("# Run it:  (.*)", head)
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout == "a is 7\n"
