"""`latency_ms` of a study: one engine, one measurement of each shape, by a made-up clock."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from typing import Any

import pytest

from hpo.data.dataset import DataSet
from hpo.errors import ExportError, HpoError
from hpo.spec.experiment import Training
from hpo.study.backends import latency
from hpo.study.log.notes import EXPORTED, decided_engine
from hpo.trial import TrialState
from tests.study.whole import Studies, an_experiment

GOAL = (
    "search.objective=[{maximize: accuracy}, {minimize: latency_ms}]",
    "search.constraints=[{metric: latency_ms, at_most: 2.5}]",
    "space={model.widths: {choice: [[8], [4, 4]]}, optimizer.learning_rate: {float: [0.01, 0.1]}}",
    "search.scheduler={name: none}",
    "train.epochs=1",
)
GRID = {"sampler": {"name": "grid"}, "scheduler": {"name": "none"}, "trials": 3, "baselines": False}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The latencies that were measured: 1, 2, 3, ..."""
    numbers, found = count(1), []

    def fastest(call: Callable[[], Any]) -> float:
        call()
        found.append(float(next(numbers)))
        return found[-1]

    monkeypatch.setattr(latency, "fastest_ms", fastest)
    return found


@pytest.mark.skipif(not find_spec("onnxruntime"), reason="the extra `onnx` is not installed")
def test_each_shape_is_measured_once_and_a_resume_keeps_the_numbers(
    studies: Studies, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    studies.run(an_experiment(*GOAL, "search.trials=5"))
    studies.run(an_experiment(*GOAL, "search.trials=8"))
    state = studies.state(an_experiment(*GOAL))
    shapes = {
        number: str(state.trial(number).hparams["model.widths"]) for number in range(len(state))
    }
    assert len(state) == 8
    assert len({*shapes.values()}) == len(measured) == 2
    by_shape = {(shape, state.costs[number]["latency_ms"]) for number, shape in shapes.items()}
    assert len(by_shape) == 2
    trial = state.trial(0)
    assert trial.values[1] == state.costs[0]["latency_ms"]
    assert str(decided_engine(state.notes)) in studies.said

    # What was measured by one engine is not compared with what another one measures.
    monkeypatch.setattr("hpo.trained.exported.folder.find_spec", lambda _: None)
    with pytest.raises(HpoError, match=r"the study measured it by onnxruntime, and now .* install"):
        studies.run(an_experiment(*GOAL, "search.trials=9"))


def test_without_the_extra_jax_measures_all_trials_and_the_study_says_so(
    studies: Studies, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.trained.exported.folder.find_spec", lambda _: None)
    studies.run(an_experiment(*GOAL, "search.trials=2"))
    monkeypatch.undo()
    studies.run(an_experiment(*GOAL, "search.trials=3"))
    state = studies.state(an_experiment(*GOAL))
    engine = decided_engine(state.notes)
    assert engine is not None
    assert engine.name != EXPORTED
    assert "needs onnx and onnxruntime, which are not installed" in str(engine)
    assert measured == []
    assert all(state.costs[number]["latency_ms"] > 0 for number in range(3))


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, measured: list[float]) -> list[Training]:
    """The trainings whose models were exported; 4 bits cannot be, and two layers with tanh."""
    found: list[Training] = []

    def call_of(training: Training, data: DataSet, platform: str) -> Callable[[], Any]:
        found.append(training)
        model: Any = training.model
        if training.compression.activations.bits == 4:
            raise ExportError("--format onnx: 4 bits cannot be exported")
        if (getattr(model, "widths", ()), model.activation) == ((4, 4), "tanh"):
            raise ExportError("--format onnx: a deep tanh cannot be exported")
        return lambda: None

    monkeypatch.setattr(latency, "exported_call", call_of)
    monkeypatch.setattr(latency, "check_extra", lambda _: None)
    return found


def test_a_choice_under_a_condition_is_tried_beside_what_it_needs(
    studies: Studies, exported: list[Training], measured: list[float]
) -> None:
    space = {
        "model.name": {"choice": ["mlp", "tabm"]},
        "model.members": {"choice": [2, 4], "when": {"model.name": "tabm"}},
    }
    spec = an_experiment(*GOAL[:2], *GOAL[3:], space=space, search=GRID)
    studies.run(spec)
    state = studies.state(spec)
    assert str(decided_engine(state.notes)).startswith("latency_ms is that of the exported model")
    found = {
        (trial.hparams["model.name"], trial.hparams.get("model.members")): costs["latency_ms"]
        for trial, costs in ((trial, state.costs[trial.number]) for trial in state.trials)
    }
    assert found.keys() == {("mlp", None), ("tabm", 2), ("tabm", 4)}
    assert sorted(found.values()) == measured == [1, 2, 3]


def test_two_choices_that_cannot_be_exported_together_end_their_trial_alone(
    studies: Studies, exported: list[Training]
) -> None:
    space = {
        "model.widths": {"choice": [[8], [4, 4]]},
        "model.activation": {"choice": ["relu", "tanh"]},
    }
    spec = an_experiment(*GOAL[:2], *GOAL[3:], space=space, search={**GRID, "trials": 4})
    studies.run(spec)
    state = studies.state(spec)
    lost = [trial for trial in state.trials if trial.state is TrialState.DIVERGED]
    assert [dict(trial.hparams) for trial in lost] == [
        {"model.widths": [4, 4], "model.activation": "tanh"}
    ]
    (said,) = [text for text in studies.said if "counts as diverged" in text]
    assert said.endswith("of this trial --format onnx: a deep tanh cannot be exported")
    assert sum("latency_ms" in costs for costs in state.costs.values()) == 3


def test_a_choice_outside_of_the_model_that_cannot_be_exported_leaves_the_study_to_jax(
    studies: Studies, exported: list[Training], measured: list[float]
) -> None:
    space = {"compression.activations.bits": {"choice": [None, 4]}}
    spec = an_experiment(*GOAL[:1], *GOAL[3:], space=space, search={**GRID, "trials": 2})
    studies.run(spec)
    state = studies.state(spec)
    assert "JAX: --format onnx: 4 bits cannot be" in str(decided_engine(state.notes))
    assert measured == []
    assert all(state.costs[number]["latency_ms"] > 0 for number in range(2))


def test_of_images_that_grow_the_whole_ones_alone_are_measured(
    studies: Studies, exported: list[Training], measured: list[float]
) -> None:
    rate = {"optimizer.learning_rate": {"float": [0.01, 0.1]}}
    search = {"budget": "size", "name": "successive_halving", "eta": 4, "min_epochs": 1}
    spec = an_experiment(
        GOAL[0],
        space=rate,
        data={"dataset": "digits", "rows": 400, "batch_size": 64},
        search={**GRID, "sampler": {"name": "random"}, "trials": 4, "scheduler": search},
    )
    studies.run(spec)
    assert len(measured) == 1
    assert len(studies.state(spec)) == 4
