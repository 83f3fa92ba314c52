"""Whole studies of a task of a user's own."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.report.export import export_trial
from hpo.spec.load import load_document, load_experiment
from hpo.study.backends.backend import backend_of
from hpo.study.progress import Progress
from hpo.study.run import run_study
from hpo.study.signals import StopRequest
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.tables import Storage
from hpo.trained.model import load_model
from hpo.trial import TrialState
from tests.own_tasks import DESCENT, DOCUMENT, a_task
from tests.study.whole import Studies

# Draws of its own random numbers in every step, and learns from rows of data.
LINES = """
import jax
import jax.numpy as jnp


class Task:
    metrics = {"error": "minimize"}
    knobs = {"rate": 0.1}

    def init(self, knobs, key):
        return jnp.zeros((10, 1))

    def step(self, state, knobs, key, batch):
        def loss(w):
            return jnp.square((batch["x"] @ w)[:, 0] - batch["y"]).mean()

        return state - knobs["rate"] * jax.grad(loss)(state)

    def evaluate(self, state, knobs, key, rows):
        return {"error": jnp.abs((rows["x"] @ state)[:, 0] - rows["y"]).mean()}
"""


def test_200_trials_compile_once_and_trace_each_method_a_few_times(
    studies: Studies, tmp_path: Path
) -> None:
    search = {**DOCUMENT["search"], "trials": 200}
    # Code of its own, because equal files are run once.
    experiment = a_task(tmp_path, search=search, code=f"{DESCENT}\n# counted\n")

    outcome = studies.run(experiment, cache=tmp_path / "fresh")

    assert sum(outcome.progress.states.values()) == 200
    assert outcome.progress.programs == 1
    modules = [m for name, m in sys.modules.items() if name.startswith("hpo_code_descent_")]
    calls = [m.CALLS for m in modules if str(tmp_path) in str(m.__file__)]
    assert len(calls) == 1
    # Once to look at it, and for its code once or twice: JAX traces the body of a loop again.
    assert max(calls[0].count(name) for name in ("init", "step", "evaluate")) <= 4


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_a_trial_does_not_depend_on_its_neighbours(many: Any, tmp_path: Path, form: str) -> None:
    curves = []
    for lanes in (4, 2):
        studies = many(f"{lanes}")
        experiment = a_task(tmp_path, f"train.lanes={lanes}", f"train.form={form}")
        studies.run(experiment)
        curves.append(studies.curves(experiment))

    assert curves[0] == curves[1]


def test_a_study_stopped_within_an_epoch_goes_on_to_the_same_bits(
    many: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = DESCENT.replace("steps = 5", "steps = 300")
    search = {**DOCUMENT["search"], "scheduler": {"name": "none"}, "trials": 3}
    experiment = a_task(tmp_path, "train.epochs=6", code=code, search=search)
    whole, parts = many("whole"), many("parts")
    whole.run(experiment)
    monkeypatch.setattr("hpo.engine.pools.pool._ROUND_SECONDS", 1e-4)
    stop = StopRequest()

    def watch(progress: Progress) -> None:
        if progress.epochs:
            stop.set()

    run_study(experiment, parts.around, watch, parts.said.append, stop)
    folder = CheckpointFolder.beside(parts.url, experiment.name)
    saved = parts.state(experiment).checkpoints.values()
    steps = [(folder.load(one.file, one.sha256) or {})["step"] for one in saved]
    parts.run(experiment)

    assert any(step % 300 for step in steps)
    assert parts.curves(experiment) == whole.curves(experiment)


def test_a_study_whose_code_has_changed_goes_on_only_if_it_is_trusted(
    studies: Studies, tmp_path: Path
) -> None:
    studies.run(a_task(tmp_path, "search.trials=2"))
    changed = a_task(tmp_path, "search.trials=3", code=f"{DESCENT}\nNEW = 1\n")

    with pytest.raises(HpoError, match=r"last ran with another version of descent\.py:Task"):
        studies.run(changed)
    assert sum(studies.run(changed, trusts_code=True).progress.states.values()) == 3
    assert any(said.startswith("Runs descent.py:Task (") for said in studies.said)


def test_list_show_and_check_run_nothing_of_the_users(
    studies: Studies, tmp_path: Path, hpo: Any
) -> None:
    studies.run(a_task(tmp_path, "search.trials=2"))
    (tmp_path / "descent.py").write_text(f"raise SystemExit(9)\n{DESCENT}")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**DOCUMENT}))
    stored = ["--storage", studies.url]

    for words in (
        ["list", *stored],
        ["show", "descent", *stored],
        ["check", tmp_path / "spec.yaml"],
    ):
        done = hpo(*map(str, words))
        assert done.code == 0, done.err
        assert "descent" in done.out
    assert "runs       descent.py:Task (" in done.out


def test_an_error_of_the_users_is_told_by_the_users_own_lines(
    studies: Studies, tmp_path: Path
) -> None:
    code = DESCENT.replace('state["x"] - self.target + knobs', 'state["y"] - self.target + knobs')

    with pytest.raises(HpoError) as error:
        studies.run(a_task(tmp_path, code=code))
    first, last = str(error.value).splitlines()[0], str(error.value).splitlines()[-1]
    assert first == ("task.python: descent.py:Task raised KeyError: 'y' (size = 3, target = 1.0)")
    assert last.startswith("  descent.py:22, in step: gradient = state[")


def test_a_trial_whose_values_break_the_code_costs_itself_alone(
    studies: Studies, tmp_path: Path
) -> None:
    search = {**DOCUMENT["search"], "sampler": {"name": "grid"}, "trials": 2}
    space = {"task.size": {"choice": [3, 9]}}
    code = DESCENT.replace("self.size, self", "assert size < 9\n        self.size, self", 1)

    experiment = a_task(tmp_path, code=code, space=space, search=search)
    outcome = studies.run(experiment)

    assert outcome.progress.states == {TrialState.COMPLETE: 1, TrialState.DIVERGED: 1}
    assert outcome.progress.best is not None
    assert outcome.progress.best.hparams == {"task.size": 3}


def test_nan_ends_its_own_trial_alone(studies: Studies, tmp_path: Path) -> None:
    space = {"task.rate": {"choice": [0.1, 0.2, 1e30]}}
    search = {**DOCUMENT["search"], "sampler": {"name": "grid"}, "scheduler": {"name": "none"}}
    experiment = a_task(tmp_path, "search.trials=3", space=space, search=search)

    studies.run(experiment)

    state = studies.state(experiment)
    found = {trial.hparams["task.rate"]: trial.state for trial in state.trials}
    assert found == {
        0.1: TrialState.COMPLETE,
        0.2: TrialState.COMPLETE,
        1e30: TrialState.DIVERGED,
    }


@pytest.mark.parametrize(
    "scheduler",
    [
        {"name": "successive_halving", "eta": 2},
        {"name": "pbt", "population": 4, "interval": 1, "quantile": 0.5},
    ],
    ids=["halving", "pbt"],
)
def test_a_winner_is_exported_elsewhere_and_trains_to_its_metrics_again(
    studies: Studies, tmp_path: Path, scheduler: dict[str, Any]
) -> None:
    search = {**DOCUMENT["search"], "scheduler": scheduler, "trials": 4}
    experiment = a_task(tmp_path, search=search)
    best = studies.run(experiment).progress.best
    assert best is not None
    target = tmp_path / "below" / "best.yaml"
    target.parent.mkdir()
    with Storage.read(studies.url) as storage:
        exported = export_trial(storage, "descent", None, target, date(2026, 11, 26))
    target.write_text(exported.text)
    winner = load_experiment(target)

    trained = studies.train(winner, tmp_path / "model")

    assert trained.curve[-1].metrics == studies.curves(experiment)[best.number][-1]
    assert (tmp_path / "model" / "weights").is_dir()


def test_a_task_with_data_gets_batches_and_all_validation_rows(
    studies: Studies, tmp_path: Path
) -> None:
    data = {"dataset": "diabetes", "batch_size": 32}
    experiment = a_task(
        tmp_path,
        "search.trials=4",
        code=LINES,
        data=data,
        space={
            "task.rate": {"float": [0.001, 0.1], "log": True},
            "data.batch_size": {"choice": [16, 32]},
        },
        search={**DOCUMENT["search"], "objective": {"minimize": "error"}},
    )

    best = studies.run(experiment).progress.best

    assert best is not None
    # Standardised targets differ from their mean by about 0.8 of a deviation on average.
    assert best.losses[-1] < 0.75
    plain = a_task(tmp_path, code=LINES, data=data, space=None, search=None)
    trained = studies.train(plain, tmp_path / "model")
    assert trained.metrics["test"] is not None


def test_a_step_gets_the_outputs_of_a_teacher_for_the_rows_of_its_batch(
    studies: Studies, tmp_path: Path
) -> None:
    model = {"name": "mlp", "widths": []}
    data = {"dataset": "diabetes", "batch_size": 32}
    # It hardly learns, so that its answers are far from the targets.
    parts = {"optimizer": {"name": "sgd", "learning_rate": 1e-6}, "train": {"epochs": 1}}
    big = load_document({"name": "big", "data": data, "model": model, **parts}, tmp_path)
    studies.train(big, tmp_path / "big")
    student = a_task(
        tmp_path,
        "search.trials=2",
        code=LINES.replace('batch["y"]', 'batch["teacher"][:, 0]'),
        space={"task.rate": {"float": [0.05, 0.1]}},
        search={**DOCUMENT["search"], "objective": {"minimize": "error"}},
        train={"epochs": 20},
        compression={"teacher": {"from": "big"}},
        data=data,
    )
    best = studies.run(student).progress.best
    assert best is not None
    folder = tmp_path / "sub"
    folder.mkdir()
    with Storage.read(studies.url) as storage:
        target, today = folder / "best.yaml", date(2026, 11, 28)
        target.write_text(export_trial(storage, "descent", best.number, target, today).text)
    trained = studies.train(load_experiment(target), tmp_path / "model")

    assert trained.curve[-1].metrics == studies.curves(student)[best.number][-1]
    # The features have a mean of 0, so a line through 0 that fits the answers has their slopes.
    kernel = load_model(tmp_path / "big").members[0].weights["params"]["head"]["kernel"]
    rows = load_data(big.training.data, tmp_path, None).validation
    expected = np.abs((rows.x @ np.asarray(kernel))[:, 0] - rows.y.ravel()).mean()
    assert trained.curve[-1].metrics["error"] == pytest.approx(expected, rel=0.01)


def test_a_method_that_does_not_fit_is_refused_before_the_first_trial(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = a_task(tmp_path, code=DESCENT.replace('state["n"] + 1', 'state["n"] + 0.5'))

    with pytest.raises(HpoError, match="keep shapes and types"):
        backend_of(experiment, studies.around, print)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"dataset": "diabetes", "store": "float16"},
            r"data\.store: a task of your own reads float32: remove",
        ),
        (
            {"dataset": "digits", "extra": "more.npz"},
            r"data\.extra: a task of your own draws its rows itself: remove",
        ),
    ],
)
def test_data_that_a_task_does_not_read_are_refused(
    studies: Studies, tmp_path: Path, data: dict[str, Any], told: str
) -> None:
    np.savez(tmp_path / "more.npz", x=np.ones((1, 8, 8, 1), np.uint8), y=[1])
    experiment = a_task(
        tmp_path,
        code=LINES,
        data={**data, "batch_size": 32},
        space={"task.rate": {"float": [0.001, 0.1]}},
        search={**DOCUMENT["search"], "objective": {"minimize": "error"}},
    )

    with pytest.raises(HpoError, match=told):
        backend_of(experiment, studies.around, print)
