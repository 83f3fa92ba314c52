import copy
import json
import subprocess
import sys

import numpy as np

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


def compared(*arguments):
    # A process of its own: Optuna warns, and the script has its own folder of modules.
    return subprocess.run(
        [sys.executable, "benchmarks/search_quality.py", "--processes", "1", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_searches_and_peers_are_compared_on_a_table(tmp_path):
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
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["search"] for row in rows] == searches
    for row in rows:
        # The budget is enough for nearly all trainings.
        assert row["mean"][-1] < 0.1
    assert done.stdout.count("\n") == 2 + len(searches)


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


def test_searches_are_compared_on_the_curves_of_a_study(tmp_path):
    source, figures = stored_study(tmp_path, 120), tmp_path / "out.json"
    searches = ["--search", "tpe+none@1", "optuna random"]
    done = compared("--study", source, "--seeds", "2", "--json", str(figures), *searches)
    assert done.returncode == 0, done.stderr
    ours, peer = json.loads(figures.read_text())
    assert (ours["family"], ours["seeds"]) == ("iris", 2)
    # With 50 of the 120 trainings, the first search comes near the best; the other draws randomly.
    assert ours["mean"][-1] < 0.1
    assert 0 <= peer["mean"][-1] < peer["mean"][0]


def test_trials_outside_the_present_space_are_left_out(tmp_path):
    source = stored_study(tmp_path, 130, rates=[0.01, 1.0])
    done = compared("--study", source, "--seeds", "1", "--search", "random+none@1")
    assert "lie in the space as it is now" in done.stderr
    source = stored_study(tmp_path / "more", 250, rates=[0.01, 1.0])
    done = compared("--study", source, "--seeds", "1", "--search", "optuna random")
    assert done.returncode == 0, done.stderr


def test_a_study_that_is_no_table_is_refused_in_a_line(tmp_path):
    source = stored_study(tmp_path, 12)
    few = compared("--study", source).stderr
    assert few.startswith(f"--study {source}: ")
    assert few.count("\n") == 1
    assert "trials trained in full" in few
    assert "has no study 'isis'" in compared("--study", source.replace("#iris", "#isis")).stderr
