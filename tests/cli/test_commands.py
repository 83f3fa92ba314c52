"""`hpo run` and `hpo logs`: a script is tuned without a spec."""

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
