"""A study searched in a process of its own, then listed, shown, exported, trained and resumed."""

import json
import re
import subprocess
import sys

import pytest

import hpo
from hpo.errors import visible
from hpo.space import RangeMove
from hpo.spec.fill import fill
from hpo.spec.load import load_experiment, require_search
from hpo.study.log.events import End, Pin, Propose, Report, Start, Stop, StudyState, Times
from hpo.study.log.notes import Learn, Move
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.cli.samples import FLOWERS


def process(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "hpo", *arguments], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The folder of a study that has run, and what the run printed."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "flowers.yaml").write_text(FLOWERS)
    return folder, process(folder, "search", "flowers.yaml")


@pytest.fixture
def study(searched, hpo, monkeypatch):
    """The working folder of the command line, in which the study lies."""
    folder, _ = searched
    monkeypatch.chdir(folder)
    return folder


def test_a_search_prints_its_winner_and_what_to_type_next(searched):
    _, result = searched

    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "flowers  finished"
    assert "  trials  3 of 3:  3 complete" in lines
    assert any(line.startswith("  best accuracy  ") for line in lines)
    assert lines[-2:] == ["  hpo show flowers", "  hpo export flowers -o best.yaml"]


def test_without_a_terminal_progress_goes_to_stderr_without_colours(searched):
    _, result = searched

    assert result.stderr.startswith("flowers: 3 trials\n")
    assert "\x1b" not in result.stdout + result.stderr


def test_techniques_are_listed_with_their_places_and_papers(hpo):
    shown, plain = (
        hpo("list", "techniques").out,
        json.loads(hpo("list", "techniques", "--json").out),
    )
    assert "updates.sam_radius" in shown
    assert "https://arxiv.org/abs/2010.01412" in shown
    assert {"name", "place", "numbers", "cost", "paper"} == plain[0].keys()
    refused = hpo("list", "techniques", "--storage", "sqlite:///studies.db")
    assert (refused.code, refused.out) == (2, "")
    assert "--storage: techniques are in no storage" in refused.err


def test_the_study_can_be_listed_and_shown(study, hpo):
    (overview,) = json.loads(hpo("list", "--json").out)
    shown = json.loads(hpo("show", "flowers", "--json").out)

    assert (overview["status"], overview["trials"], overview["epochs"]) == ("finished", 3, 6)
    assert shown["overview"] == overview
    assert len(shown["curve"]) == 2


def test_the_time_of_a_search_counts_from_the_start_of_its_process(study, hpo):
    (run,) = json.loads(hpo("show", "flowers", "--times", "--json").out)
    shown = hpo("show", "flowers", "--times").out

    assert run["is_whole"]
    assert run["threads"]["driver"]["start_up"] > 0.1  # importing JAX alone takes longer
    assert "training" in shown


def test_the_export_is_the_winner_and_trains_to_its_metric(study, hpo):
    exported = hpo("export", "flowers", "-o", "best.yaml")
    trained = hpo("train", "best.yaml", "-o", "model")

    assert exported.code == trained.code == 0, exported.err + trained.err
    best = json.loads(hpo("show", "flowers", "--json").out)["overview"]["best"]
    training = load_experiment(study / "flowers.yaml").training
    assert load_experiment(study / "best.yaml").training == fill(
        training, best["hparams"], best["number"]
    )
    metrics = json.loads((study / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["accuracy"] == best["value"]
    assert "validation" in trained.out


def test_more_trials_resume_a_study_from_its_storage_alone(study, hpo, monkeypatch):
    other = study / "other"
    other.mkdir()
    (other / "hpo.db").write_bytes((study / "hpo.db").read_bytes())

    monkeypatch.chdir(other)

    result = hpo("resume", "flowers", "--trials", "4", "--quiet")

    assert result.code == 0, result.err
    assert "Resuming: 3 of 4 trials started.\n" in result.err
    assert "  trials  4 of 4:  4 complete" in result.out.splitlines()


def test_starting_over_keeps_the_old_study_under_another_name(study, hpo):
    result = hpo("search", "flowers.yaml", "--new", "--trials", "1", "-q")

    assert result.out.endswith("  The old study is kept as flowers-1.\n"), result.err
    names = [study["name"] for study in json.loads(hpo("list", "--json").out)]
    assert sorted(names) == ["flowers", "flowers-1"]


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b8m\r\u202e\u2066[red]x[/y]"


@pytest.fixture
def evil(tmp_path, spec):
    """A study that another person wrote: every text that is shown holds terminal escapes."""
    experiment = load_experiment(spec)
    state = StudyState(require_search(experiment).goal)
    hparams = {"optimizer.learning_rate": 0.01, "model.activation": EVIL}
    happened = [
        (Start({"device": EVIL}, (EVIL,)), None),
        (Propose(hparams, 0), 0),
        *((Report(epoch, {"accuracy": 0.5, "loss": 1.0, EVIL: 1.0}), 0) for epoch in (1, 2)),
        (End(TrialState.COMPLETE), 0),
        (Times({EVIL: {"training": 1.0}}), None),
        (Move(RangeMove("optimizer.learning_rate", 0.001, 0.1, 1, EVIL)), None),
        (Learn(EVIL, False, (), (), (EVIL,)), None),
        (Pin(EVIL, {"program": EVIL, "form": "map", "lanes": 1, "why": EVIL}), None),
        (Stop("finished"), None),
    ]
    events = [state.record(what, trial, 1_700_000_000_000) for what, trial in happened]
    provenance = {"versions": {EVIL: EVIL}, "device": EVIL, "folder": str(tmp_path)}
    with Storage.create(f"sqlite:///{tmp_path}/hpo.db") as storage:
        for name in ("flowers", f"a{EVIL}"):
            document = {**experiment.document, "name": name}
            record = storage.create_study(name, document, 0, provenance, "")
            with acquire(storage, record.id) as lease:
                storage.append(record.id, events, lease.token)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["list", "--json"],
        ["show", "flowers"],
        ["show", "flowers", "--json"],
        ["show", "flowers", "--times"],
        ["show", "flowers", "--plan"],
        ["export", "flowers", "--trial", "0"],
        ["show", "no-such-study"],
        ["show", f"a{EVIL}"],
        ["show", EVIL],
        ["export", f"a{EVIL}"],
        ["resume", f"a{EVIL}"],
        ["search", f"{EVIL}.yaml"],
    ],
)
@pytest.mark.parametrize("has_colours", [False, True])
def test_no_text_of_a_study_steers_the_terminal(evil, hpo, monkeypatch, command, has_colours):
    if has_colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    result = hpo(*command)

    printed = re.sub(r"\x1b\[[0-9;]*m", "", result.out + result.err)  # rich's colours
    assert printed == visible(printed)
    assert "\x1b[8m" not in result.out
    if EVIL not in command[1:] and command[0] != "export":
        assert r"\x1b" in printed.replace(r"\u001b", r"\x1b")


def test_no_text_of_a_study_steers_a_notebook(evil):
    html = hpo.Study("flowers", f"sqlite:///{evil}/hpo.db")._repr_html_()

    assert html == visible(html)
    assert r"\x1b]0;owned" in html
