"""The compiler: lanes that fit the memory, and one compile for all devices and processes."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs import calibration, compiler
from hpo.engine.programs.compiler import Compiler, LaneOperations
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.batches import DeviceData
from hpo.errors import DeviceError
from hpo.spec.experiment import Training
from tests.engine.samples import a_training, tiny_data

_TRAINING = a_training(train={"epochs": 1})


def _pool(data: DataSet, compiler: Compiler, lanes: int, device: int = 0) -> tuple[Pool, Plan]:
    pool = Pool(local_devices("cpu")[device], compiler)
    program, _ = split(_TRAINING, data, "cpu")
    return pool, pool.load(program, Plans(Plan("map", lanes)), data)


def _losses(pool: Pool, data: DataSet, training: Training) -> list[dict[str, float]]:
    pool.put(0, 0, training, split(training, data, "cpu")[1], None, 1)
    return [report.metrics for report in pool.round()]


def _limit_memory(monkeypatch: pytest.MonkeyPatch, *limits: int) -> None:
    """Sets the device's memory at each attempt of the compiler."""
    left = iter(limits)
    monkeypatch.setattr("hpo.engine.programs.compiler.memory_bytes", lambda device: next(left))


def test_lanes_are_halved_until_the_program_fits(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit_memory(monkeypatch, 100, 10**9)
    compiler = Compiler()
    pool, plan = _pool(tiny, compiler, lanes=5)
    assert plan == Plan("map", 2)
    assert pool.lane_count == 2
    assert compiler.programs == 1
    assert _losses(pool, tiny, _TRAINING)


def test_a_lane_that_does_not_fit_alone_is_refused_with_the_sizes(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit_memory(monkeypatch, 100)
    with pytest.raises(DeviceError, match=r"one lane needs 0\.0 GiB and the device has 0\.0 GiB"):
        _pool(tiny, Compiler(), lanes=1)


def _instead_of_compiling(monkeypatch: pytest.MonkeyPatch, fitting: Any) -> list[Plan]:
    """Replaces compiling by `fitting`, which changes the plan; returns the plans in order."""
    plans: list[Plan] = []

    def compile_(_: Compiler, program: Any, plan: Plan, *__: Any, **___: Any) -> Any:
        plans.append(plan)
        return LaneOperations(fitting(plan), None, None, None, key="key"), {}

    monkeypatch.setattr(Compiler, "_compile", compile_)
    return plans


def test_a_program_that_did_not_fit_is_tried_again_when_it_is_requested_again(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_once(plan: Plan) -> Plan:
        if len(plans) == 1:
            raise DeviceError("one lane needs too much")
        return plan

    plans, compiler_ = _instead_of_compiling(monkeypatch, refused_once), Compiler()
    with pytest.raises(DeviceError, match="one lane needs"):
        _pool(tiny, compiler_, lanes=1)
    assert _pool(tiny, compiler_, lanes=1)[1] == Plan("map", 1)


def test_lanes_stay_as_many_if_freed_data_make_room_for_them(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside_others_exhausted(plan: Plan) -> Plan:
        if pool._copies.bytes_beside(tiny):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return plan

    pool, program = Pool(local_devices("cpu")[0], Compiler()), split(_TRAINING, tiny, "cpu")[0]
    pool._copies.of(tiny_data(), None, is_whole=True)
    plans = _instead_of_compiling(monkeypatch, beside_others_exhausted)
    assert pool.load(program, Plans(Plan("map", 4)), tiny) == Plan("map", 4)
    assert plans == [Plan("map", 4)] * 2


def test_a_plan_that_was_measured_is_not_compiled_again_once_it_is_pinned(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([1.0, 0.5])
    monkeypatch.setattr(calibration, "part_seconds", lambda *_: next(seconds))
    plans = _instead_of_compiling(monkeypatch, lambda plan: plan)
    pool, program = Pool(local_devices("cpu")[0], Compiler()), split(_TRAINING, tiny, "cpu")[0]
    usual, other = Plan("map", 2), Plan("vmap", 2)
    assert pool.load(program, Plans(usual, (other,), 1e9), tiny) == other
    assert pool.load(program, Plans(other), tiny) == other
    assert plans == [usual, other]
    # A plan halved back to the usual number of lanes is the usual plan, not a faster one.
    assert pool.load(program, Plans(usual), tiny) == usual


def test_a_plan_whose_lanes_were_halved_is_not_compiled_again_once_it_is_pinned(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = _instead_of_compiling(monkeypatch, lambda plan: replace(plan, lanes=2))
    compiler_ = Compiler()
    assert _pool(tiny, compiler_, lanes=4)[1] == Plan("map", 2)
    assert _pool(tiny, compiler_, lanes=2)[1] == Plan("map", 2)
    assert plans == [Plan("map", 4)]


def test_a_measured_plan_whose_lanes_were_halved_is_not_measured_again(
    tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead_of_compiling(monkeypatch, lambda plan: replace(plan, lanes=min(plan.lanes, 4)))
    seconds = iter([1.0, 0.5])
    monkeypatch.setattr(calibration, "part_seconds", lambda *_: next(seconds))
    plans = Plans(Plan("vmap", 2), (Plan("vmap", 8),), 1e9)
    for _ in range(2):  # `next` fails at a third timing
        pool = Pool(local_devices("cpu")[0], Compiler(tmp_path))
        assert pool.load(split(_TRAINING, tiny, "cpu")[0], plans, tiny) == Plan("vmap", 4)


def test_the_most_recently_used_programs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def best(_: Compiler, program: Any, plans: Plans, *__: Any) -> tuple[LaneOperations, Any]:
        compiled.append(program)
        return LaneOperations(plans.usual, None, None, None), {}

    monkeypatch.setattr(Compiler, "_best", best)
    compiler_, device, nothing = Compiler(), local_devices("cpu")[0], Any

    def ask(program: Any) -> None:
        no_rows = DeviceData({}, {})
        compiler_.compile(program, Plans(Plan("map", 1)), no_rows, nothing, device)

    most = compiler._MOST_PROGRAMS
    for n in range(most + 8):
        ask(n)
        ask(0)
    assert compiled == [*range(most + 8)]
    assert len(compiler_._kept) == most
    ask(1)  # the least recently used one
    assert compiled[-1] == 1


def test_code_that_every_device_has_loaded_is_freed_and_its_text_at_once(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower, made = compiler._lowered, list[weakref.ref[Any]]()

    def watched(*arguments: Any) -> Any:
        lowered = lower(*arguments)
        made.append(weakref.ref(lowered))
        return lowered

    monkeypatch.setattr(compiler, "_lowered", watched)
    compiler_ = Compiler()
    held = []
    for n in range(len(local_devices("cpu"))):
        _pool(tiny, compiler_, lanes=1, device=n)
        gc.collect()
        ((known,),) = (by_plans.values() for by_plans in compiler_._kept.values())
        held.append(bool(known.future.result()[2]))
        assert not any(lowered() for lowered in made)
    assert held == [True] * (len(held) - 1) + [False]


def test_a_device_that_cannot_load_compiles_instead_and_learns_the_same(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_loading(*args: Any) -> Any:
        raise AttributeError("JAX has no such private class")

    monkeypatch.setattr("hpo.engine.programs.compiler.load", no_loading)
    compiler = Compiler()
    first, second = (
        _losses(_pool(tiny, compiler, lanes=1, device=device)[0], tiny, _TRAINING)
        for device in (0, 1)
    )
    assert first == second


def test_the_next_process_compiles_nothing_and_learns_the_same(
    tiny: DataSet, tmp_path: Path
) -> None:
    curves, programs = [], []
    for _ in range(2):
        compiler = Compiler(tmp_path)
        curves += [
            _losses(_pool(tiny, compiler, lanes=1, device=device)[0], tiny, _TRAINING)
            for device in (1, 0)
        ]
        programs.append(compiler.programs)
    assert programs == [1, 0]
    assert curves == curves[:1] * 4
