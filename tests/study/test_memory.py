"""Memory that runs out while lanes train: fewer lanes, and no trial lost or told twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from hpo.engine.programs.compiler import Compiler, LaneOperations
from hpo.engine.programs.plans import Plan
from hpo.engine.training.task import Progress
from hpo.errors import DeviceError
from hpo.study.executors.local import LocalExecutor
from hpo.study.executors.messages import (
    Loaded,
    Message,
    Order,
    Put,
    Refused,
    Snapshot,
    Take,
    Taken,
    TooLarge,
)
from hpo.trial import Run, TrialState
from tests.engine.samples import tiny_data
from tests.study.whole import Studies, an_experiment

FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1024 bytes.")


@pytest.fixture
def run_out(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """`run_out(lanes, rounds)`: with more lanes than that, a pool's memory lasts few rounds."""

    def patch(lanes: int, rounds: int) -> None:
        compile_ = Compiler.compile

        def short(self: Compiler, *arguments: Any) -> LaneOperations:
            operations = compile_(self, *arguments)
            if operations.plan.lanes <= lanes:
                return operations
            calls = itertools.count()

            def round_(*arguments: Any) -> Any:
                result = operations.round(*arguments)  # the lanes given to it are gone now
                if next(calls) >= rounds:
                    raise FULL
                return result

            return replace(operations, round=round_)

        monkeypatch.setattr(Compiler, "compile", short)

    return patch


def test_a_study_goes_on_with_half_the_lanes_to_the_same_results(
    tmp_path: Path, compile_cache: Path, run_out: Callable[[int, int], None]
) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "short").mkdir()
    calm, short = (Studies(tmp_path / name, compile_cache) for name in ("calm", "short"))
    experiment = an_experiment("train.lanes=4")
    calm.run(experiment)
    run_out(1, 3)
    short.run(experiment)

    state = short.state(experiment)  # folding refuses an epoch that is told twice
    assert {pin["lanes"] for pin in state.pins.values()} == {1}
    assert [trial.state for trial in state.trials] == [
        trial.state for trial in calm.state(experiment).trials
    ]
    assert short.curves(experiment) == calm.curves(experiment)
    assert short.said == []


def test_a_study_whose_single_lane_does_not_fit_ends_and_says_what_to_do(
    tmp_path: Path, compile_cache: Path, run_out: Callable[[int, int], None]
) -> None:
    studies, experiment = Studies(tmp_path, compile_cache), an_experiment("train.lanes=2")
    run_out(0, 1)
    studies.run(experiment)
    states = {trial.state for trial in studies.state(experiment).trials}
    assert TrialState.DIVERGED in states
    assert all(state.is_finished for state in states)
    (said,) = studies.said
    assert "ran out of memory with a single lane: make data.batch_size or the model" in said


def test_a_training_goes_on_with_fewer_lanes_and_says_so(
    tmp_path: Path, compile_cache: Path, run_out: Callable[[int, int], None]
) -> None:
    studies = Studies(tmp_path, compile_cache)
    experiment = an_experiment("train.seeds=3", "train.form=map", "train.lanes=2")
    calm = studies.train(experiment, tmp_path / "calm")
    run_out(1, 5)
    short = studies.train(experiment, tmp_path / "short")
    assert studies.said == ["The memory has run out: training goes on with 1 lane."]
    assert (short.curve, short.by_run) == (calm.curve, calm.by_run)

    studies.said.clear()
    run_out(1, 2)
    alone = an_experiment("train.form=vmap", "train.lanes=2")
    assert len(studies.train(alone, tmp_path / "alone").curve) == 4
    (said,) = studies.said
    assert said.endswith("with 1 lane, so the last bits may differ from those of its study.")


def test_a_training_that_does_not_fit_ends_in_one_line(
    tmp_path: Path, compile_cache: Path, run_out: Callable[[int, int], None]
) -> None:
    run_out(0, 1)
    with pytest.raises(DeviceError, match="ran out of memory with a single lane: make data"):
        Studies(tmp_path, compile_cache).train(an_experiment(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


class FullPool:
    """A pool of two lanes whose device has no memory left."""

    program: Any = "program"
    has_work = False
    lane_count = 2

    def __init__(self, plan: Plan | None) -> None:
        self._plan = plan

    def occupied(self) -> list[int]:
        return [1]

    def occupant(self, lane: int) -> tuple[Run, Progress]:
        return Run(7), Progress(0, 0)

    def put(self, *_: Any) -> None:
        raise FULL

    def take(self, lane: int) -> Any:
        raise FULL

    def halve(self) -> Plan:
        if self._plan is None:
            raise DeviceError("nothing is left")
        return self._plan


def _answers(pool: Any, orders: Sequence[Order]) -> list[Message]:
    executor = LocalExecutor([pool], Compiler(), lambda _: tiny_data())
    executor.send(0, orders)
    executor.close()
    return executor.receive(1.0)


PUT = Put(0, Run(8), None, None, None, 1)  # type: ignore[arg-type]
LOADED, TOO_LARGE = (
    Loaded(0, "program", Plan("map", 1)),  # type: ignore[arg-type]
    TooLarge(0, "program", "nothing is left"),  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    ("order", "first", "lost"),
    [
        (PUT, [], (Run(7), Run(8))),
        (Take(1), [], (Run(7),)),
        (Snapshot(), [Taken(0, (), is_snapshot=True)], (Run(7),)),
    ],
    ids=["put", "take", "snapshot"],
)
def test_every_trial_of_a_pool_without_memory_is_given_back(
    order: Order, first: list[Message], lost: tuple[Run, ...]
) -> None:
    refused = Refused(0, lost)
    assert _answers(FullPool(Plan("map", 1)), [order]) == [*first, LOADED, refused]
    assert _answers(FullPool(None), [order]) == [*first, refused, TOO_LARGE]


def test_another_error_is_not_mistaken_for_a_full_memory() -> None:
    class Broken(FullPool):
        def put(self, *_: Any) -> None:
            raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    (failed,) = _answers(Broken(Plan("map", 1)), [PUT])
    assert "INTERNAL" in str(failed.error)  # type: ignore[union-attr]
