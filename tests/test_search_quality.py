import copy
import json
import runpy
import sys
import warnings
from typing import NamedTuple

import numpy as np
import pytest

from hpo.spec.load import experiment_from_document
from hpo.study.log.events import End, Propose, Report, StudyState
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.checkout import ROOT

SPACE = {
    "parameters": [
        {"name": "learning_rate", "type": "float", "low": 1e-6, "high": 1.0, "log": True},
        {"name": "beta1", "type": "float", "one_minus_low": 1e-4, "one_minus_high": 1.0,
         "log": True},
    ],
}  # fmt: skip


class Done(NamedTuple):
    """What the script has printed."""

    out: str
    err: str


@pytest.fixture
def compared(monkeypatch, capsys):
    """`compared(...)` runs the script in this process, as Python would from the root."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # the script has its own folder of modules

    def run(*arguments):
        words = ["benchmarks/search_quality.py", "--processes", "1", *arguments]
        monkeypatch.setattr(sys, "argv", words)
        refused = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns
            try:
                runpy.run_path(words[0], run_name="__main__")
            except SystemExit as ended:
                refused = f"{ended.code}\n" if ended.code else ""
        out, err = capsys.readouterr()
        return Done(out, err + refused)

    return run


@pytest.mark.long
def test_searches_and_peers_are_compared_on_a_table(tmp_path, compared):
    rng = np.random.default_rng(0)
    folder = tmp_path / "taskset_rnn"
    folder.mkdir()
    (folder / "space.json").write_text(json.dumps(SPACE))
    rate, rest = 10 ** rng.uniform(-6, 0, 60), 10 ** rng.uniform(-4, 0, 60)
    far = abs(np.log10(rate) + 3)[:, None]
    losses = far + 1 / np.arange(1, 6)
    losses[rate > 0.5] = np.nan  # they diverge at once
    np.savez(
        folder / "taskset_rnn.npz",
        config=np.stack([rate, 1 - rest], axis=1),
        val=losses[None],
        tasks=np.array(["one"]),
    )
    searches = ["auto+auto@1", "random+hyperband@8", "optuna tpe + hyperband"]
    figures = str(tmp_path / "out.json")
    tables = ["--tables", str(tmp_path), "--seeds", "1", "--json", figures]
    done = compared(*tables, "--search", *searches)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["search"] for row in rows] == searches
    for row in rows:
        # The budget is enough for nearly all trainings.
        assert row["mean"][-1] < 0.1
    assert done.out.count("\n") == 2 + len(searches)


STUDY = {
    "name": "iris",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 4},
    "space": {
        "model.norm": {"choice": ["none", "layer"]},
        "optimizer.learning_rate": {"float": [0.001, 1.0], "log": True},
    },
    "search": {"objective": {"maximize": "accuracy"}, "trials": 120, "baselines": False},
}


def stored_study(path, trials, rates=None):
    """A study whose best trials have layers normalised and a learning rate near 0.03.

    The spec has the range `rates` of learning rates; the trials were drawn from another range.
    """
    path.mkdir(exist_ok=True)
    experiment = experiment_from_document(STUDY, path)
    state = StudyState(experiment.search.goal)
    log = []
    for number in range(trials):
        hparams = experiment.space.draw(np.random.default_rng(number))
        log.append(state.record(Propose(hparams, 0), number, 0))
        rate = hparams["optimizer.learning_rate"]
        miss = abs(np.log10(rate) + 1.5) + (hparams["model.norm"] == "none")
        for epoch in range(1, 5):
            if rate > 0.7:
                log.append(state.record(End(TrialState.DIVERGED), number, 0))
                break
            log.append(state.record(Report(epoch, {"accuracy": 1 / (1 + miss)}), number, 0))
        else:
            log.append(state.record(End(TrialState.COMPLETE), number, 0))
    with Storage.create(f"sqlite:///{path / 'hpo.db'}") as storage:
        kept = copy.deepcopy(dict(experiment.document))
        if rates is not None:
            kept["space"]["optimizer.learning_rate"]["float"] = rates
        study = storage.create_study("iris", kept, 0, {"versions": {}}, "")
        with acquire(storage, study.id) as lease:
            storage.append(study.id, log, lease.token)
    return f"sqlite:///{path / 'hpo.db'}#iris"


def test_searches_are_compared_on_the_curves_of_a_study(tmp_path, compared):
    source, figures = stored_study(tmp_path, 120), tmp_path / "out.json"
    searches = ["--search", "tpe+none@1", "optuna random"]
    done = compared("--study", source, "--seeds", "2", "--json", str(figures), *searches)
    assert done.out.count("\n") == 4, done.err
    ours, peer = json.loads(figures.read_text())
    assert (ours["family"], ours["seeds"]) == ("iris", 2)
    # With 50 of the 120 trainings, the first search comes near the best; the other draws randomly.
    assert ours["mean"][-1] < 0.1
    assert 0 <= peer["mean"][-1] < peer["mean"][0]


def test_trials_outside_the_present_space_are_left_out(tmp_path, compared):
    source = stored_study(tmp_path, 130, rates=[0.01, 1.0])
    done = compared("--study", source, "--seeds", "1", "--search", "random+none@1")
    assert "lie in the space as it is now" in done.err
    source = stored_study(tmp_path / "more", 250, rates=[0.01, 1.0])
    done = compared("--study", source, "--seeds", "1", "--search", "optuna random")
    assert done.out.count("\n") == 3, done.err


def test_a_study_that_is_no_table_is_refused_in_a_line(tmp_path, compared):
    source = stored_study(tmp_path, 12)
    few = compared("--study", source).err
    assert few.startswith(f"--study {source}: ")
    assert few.count("\n") == 1
    assert "trials trained in full" in few
    assert "has no study 'isis'" in compared("--study", source.replace("#iris", "#isis")).err
