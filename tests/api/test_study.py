"""A study read through `hpo.Study`; the study itself was searched by the command line."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import hpo
from hpo.cli import main
from hpo.spec.load import load_experiment
from hpo.study.log.events import Event, Start
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from tests.cli.samples import FLOWERS

PATH = "optimizer.learning_rate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a study that has ended."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "flowers.yaml").write_text(FLOWERS)
    command = [sys.executable, "-m", "hpo", "search", "flowers.yaml", "-q"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def study(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return hpo.Study("flowers")


@pytest.fixture
def printed(study, capsys, monkeypatch):
    """`printed(...)` runs the command line where the study lies, and gives what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpo", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit, match="0"):
            main()
        return capsys.readouterr().out

    return run


def test_the_best_trial_is_that_of_the_trials_with_the_best_value(study):
    assert [trial.number for trial in study.trials] == [0, 1, 2]
    assert study.best in study.trials
    assert study.best.value == max(trial.value for trial in study.trials)
    assert study.best.metrics["accuracy"] == study.best.value
    assert study.best.epochs == 2
    assert 1e-3 <= study.best.hparams[PATH] <= 1e-1


def test_a_frame_has_a_row_for_each_trial(study):
    frame = study.frame()

    assert list(frame.index) == [0, 1, 2]
    assert frame.index.name == "trial"
    assert list(frame.columns[:4]) == ["state", "epochs", "value", PATH]
    assert set(frame["state"]) == {"complete"}
    assert frame["value"].idxmax() == study.best.number
    assert frame.loc[study.best.number, PATH] == study.best.hparams[PATH]
    assert {"accuracy", "loss", "train_loss"} <= set(frame.columns)


def test_curves_have_a_row_for_each_epoch_of_each_trial(study):
    curves = study.curves()

    assert list(zip(curves["trial"], curves["epoch"], strict=True)) == [
        (trial, epoch) for trial in (0, 1, 2) for epoch in (1, 2)
    ]
    last = curves[curves["epoch"] == 2].set_index("trial")["accuracy"]
    pd.testing.assert_series_equal(last, study.frame()["accuracy"])


def test_an_export_is_the_spec_that_the_command_line_writes(study, printed, tmp_path):
    text = study.export()
    path = study.export(tmp_path / "best.yaml")

    assert printed("export", "flowers") == text
    assert path == tmp_path / "best.yaml"
    exported = load_experiment(path).training
    assert exported.optimizer.learning_rate == study.best.hparams[PATH]
    with pytest.raises(hpo.HpoError, match="exists: give another name, or --force"):
        study.export(path)
    assert load_experiment(study.export(path, trial=0, force=True)).training.train.stream == 0


def test_a_study_is_opened_by_its_name_and_storage(study, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = hpo.Study("flowers", storage=f"sqlite:///{folder}/hpo.db")
    assert opened.best.number == hpo.studies(opened.storage)[0].best.number
    with pytest.raises(hpo.StudyError, match=r"hpo\.db has no study 'flower'\. Did you mean"):
        hpo.Study("flower", storage=opened.storage)
    with pytest.raises(hpo.StudyError, match=r"no study database at hpo\.db"):
        hpo.Study("flowers")


def test_a_study_that_runs_says_so(study, tmp_path):
    copy = tmp_path / "hpo.db"
    copy.write_bytes(Path("hpo.db").read_bytes())
    opened = hpo.Study("flowers", storage=f"sqlite:///{copy}")
    assert opened.status == "finished"
    with Storage.create(opened.storage) as storage, acquire(storage, 1) as lease:
        begins = Event(storage.events(1)[-1].seq + 1, None, 0, Start({}))
        storage.append(1, [begins], lease.token)
        assert opened.status == "running"
    assert opened.status == "killed"


def test_a_study_shows_itself_in_a_notebook(study):
    html = study._repr_html_()

    best = study.best
    assert html.startswith("<p><b>flowers</b> finished: maximize accuracy, 3 of 3 trials (3 ")
    assert html.count("<tr>") == 4
    row = f"<tr><td>{best.number}</td><td>complete</td><td>2</td><td>{best.value:.4f}</td>"
    assert html.index(row) < html.index("</tr>", html.index("<tbody>"))
    assert repr(study) == "Study('flowers', storage='sqlite:///hpo.db')"
