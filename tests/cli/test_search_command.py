"""A search from end to end, in real processes: search, list, show, export, train, resume."""

import json
import os
import subprocess
import sys

import pytest

from hpo.spec.fill import fill
from hpo.spec.load import load_experiment
from tests.cli.samples import FLOWERS


def hpo(folder, *arguments):
    environment = {**os.environ, "HPO_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "hpo", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The folder of a study that has run, and what the run printed."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "flowers.yaml").write_text(FLOWERS)
    return folder, hpo(folder, "search", "flowers.yaml")


def test_a_search_prints_its_winner_and_what_to_type_next(searched):
    _, result = searched

    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "flowers  finished"
    assert "  trials  3 of 3:  3 complete" in lines
    assert any(line.startswith("  best accuracy  ") for line in lines)
    assert lines[-2:] == ["  hpo show flowers", "  hpo export flowers -o best.yaml"]


def test_progress_goes_to_stderr_and_without_colours_where_no_terminal_is(searched):
    _, result = searched

    assert result.stderr.startswith("flowers: 3 trials\n")
    assert "\x1b" not in result.stdout + result.stderr


def test_the_study_can_be_listed_and_shown(searched):
    folder, _ = searched

    (overview,) = json.loads(hpo(folder, "list", "--json").stdout)
    shown = json.loads(hpo(folder, "show", "flowers", "--json").stdout)

    assert (overview["status"], overview["trials"], overview["epochs"]) == ("finished", 3, 6)
    assert shown["overview"] == overview
    assert len(shown["curve"]) == 2


def test_the_time_of_a_search_is_told_from_the_start_of_its_process(searched):
    folder, _ = searched

    (run,) = json.loads(hpo(folder, "show", "flowers", "--times", "--json").stdout)
    shown = hpo(folder, "show", "flowers", "--times").stdout

    assert run["is_whole"]
    assert run["threads"]["driver"]["start_up"] > 0.1  # importing JAX alone takes longer
    assert "training" in shown


def test_the_export_is_the_winner_and_trains_to_its_metric(searched):
    folder, _ = searched

    exported = hpo(folder, "export", "flowers", "-o", "best.yaml")
    trained = hpo(folder, "train", "best.yaml", "-o", "model")

    assert exported.returncode == trained.returncode == 0, exported.stderr + trained.stderr
    best = json.loads(hpo(folder, "show", "flowers", "--json").stdout)["overview"]["best"]
    training = load_experiment(folder / "flowers.yaml").training
    assert load_experiment(folder / "best.yaml").training == fill(
        training, best["hparams"], best["number"]
    )
    metrics = json.loads((folder / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["accuracy"] == best["value"]
    assert "validation" in trained.stdout


def test_more_trials_resume_a_study_from_its_storage_alone(searched):
    folder, _ = searched
    other = folder / "other"
    other.mkdir()
    (other / "hpo.db").write_bytes((folder / "hpo.db").read_bytes())

    result = hpo(other, "resume", "flowers", "--trials", "4", "--quiet")

    assert result.returncode == 0, result.stderr
    assert "Resuming: 3 of 4 trials have been started.\n" in result.stderr
    assert "  trials  4 of 4:  4 complete" in result.stdout.splitlines()


def test_starting_over_keeps_the_old_study_under_another_name(searched):
    folder, _ = searched

    result = hpo(folder, "search", "flowers.yaml", "--new", "--trials", "1", "-q")

    assert result.stdout.endswith("  The old study is kept as flowers-1.\n"), result.stderr
    names = [study["name"] for study in json.loads(hpo(folder, "list", "--json").stdout)]
    assert sorted(names) == ["flowers", "flowers-1"]
