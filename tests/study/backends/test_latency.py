"""`latency_ms` of a study: one engine, one measurement of each shape, by a made-up clock."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from typing import Any

import pytest

from hpo.errors import HpoError
from hpo.study.backends import latency
from hpo.study.log.notes import EXPORTED, decided_engine
from tests.study.whole import Studies, an_experiment

GOAL = (
    "search.objective=[{maximize: accuracy}, {minimize: latency_ms}]",
    "search.constraints=[{metric: latency_ms, at_most: 2.5}]",
    "space={model.widths: {choice: [[8], [4, 4]]}, optimizer.learning_rate: {float: [0.01, 0.1]}}",
    "search.scheduler={name: none}",
    "train.epochs=1",
)


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
