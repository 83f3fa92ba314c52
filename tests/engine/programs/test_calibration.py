"""Measuring plans: when it pays, which plan is chosen, and that it happens once."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.mesh import places
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs import calibration
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from tests.engine.samples import a_training

_MAP, _VMAP = Plan("map", 4), Plan("vmap", 4)


@pytest.mark.parametrize(
    ("compile_seconds", "others", "seconds_ahead", "does"),
    [(1.0, 1, 60.0, True), (1.0, 1, 20.0, False), (1.0, 3, 60.0, False), (1.0, 0, 1e9, False)],
)
def test_measuring_may_cost_a_twentieth_of_the_training(
    compile_seconds: float, others: int, seconds_ahead: float, does: bool
) -> None:
    assert calibration.pays(compile_seconds, others, seconds_ahead) == does


@pytest.mark.parametrize(
    ("seconds", "best"), [((1.0, 0.5), _VMAP), ((1.0, 0.95), _MAP), ((1.0, 2.0), _MAP)]
)
def test_another_plan_must_be_clearly_faster(seconds: tuple[float, ...], best: Plan) -> None:
    chosen = calibration.best_plan([_MAP, _VMAP], seconds)
    assert chosen == best
    assert f"{1e6 * seconds[chosen == _VMAP]:.0f} µs for a lane's micro-batch" in chosen.why


def test_a_measured_plan_says_how_much_faster_it_is_than_each_other_plan() -> None:
    plans = [_MAP, _VMAP, Plan("vmap", 16)]
    chosen = calibration.best_plan(plans, [1.3e-3, 2e-3, 1e-3])
    assert chosen.why == (
        "measured: 1000 µs for a lane's micro-batch, 1.3 times as fast as map with 4, "
        "2 times as fast as vmap with 4"
    )


def test_a_damaged_measurement_counts_as_none() -> None:
    assert calibration.from_bytes(calibration.to_bytes(_VMAP)) == _VMAP
    for content in (None, b"", b"{}", b"\xff", b"[]"):
        assert calibration.from_bytes(content) is None


def _load(data: DataSet, cache: Path | None, epochs: float) -> tuple[Plan, int]:
    compiler = Compiler(cache)
    program, _ = split(a_training(), data, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    plan = pool.load(program, Plans(_MAP, (_VMAP,), epochs), data)
    assert pool.lane_count == plan.lanes
    return plan, compiler.programs


def test_a_program_is_measured_once_for_a_machine(
    tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, programs = _load(tiny, tmp_path, epochs=1e9)
    assert programs == 1  # the other plan that is tried is not reported
    assert "measured" in plan.why

    def measured_again(*_: object) -> float:
        raise AssertionError

    monkeypatch.setattr(calibration, "part_seconds", measured_again)
    again, programs = _load(tiny, tmp_path, epochs=1e9)
    assert (again, again.why, programs) == (plan, plan.why, 0)


def test_a_program_of_several_devices_is_measured_once_too(
    tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mesh,) = places(local_devices("cpu")[:2], is_meshed=True)
    plans = Plans(Plan("vmap", 4), (Plan("vmap", 2),), 1e9)
    program, _ = split(a_training(), tiny, "cpu")
    seconds = iter([1.0, 0.5])
    monkeypatch.setattr(calibration, "part_seconds", lambda *_: next(seconds))
    first = Pool(mesh, Compiler(tmp_path)).load(program, plans, tiny)
    again = Pool(mesh, Compiler(tmp_path)).load(program, plans, tiny)  # `next` fails at a third
    assert (first, again, again.why, again.devices) == (Plan("vmap", 2), first, first.why, 2)


@pytest.mark.parametrize("epochs", [0.0, 1.0])
def test_a_short_training_measures_nothing(
    tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: float
) -> None:
    timed: list[object] = []
    monkeypatch.setattr(calibration, "part_seconds", lambda *_: timed.append(_))
    plan, programs = _load(tiny, tmp_path, epochs)
    assert (plan, programs, timed) == (_MAP, 1, [])


def test_an_estimate_may_be_ten_times_too_low() -> None:
    assert calibration.could_pay(1.0, 1, 6.0)
    assert not calibration.could_pay(1.0, 1, 2.0)
    assert not calibration.could_pay(1.0, 1, 0.0)


def test_the_faster_plan_is_taken(tiny: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 0.5])
    monkeypatch.setattr(calibration, "part_seconds", lambda *_: next(seconds))
    assert _load(tiny, None, epochs=1e9)[0] == _VMAP


def test_a_plan_that_runs_out_of_memory_is_not_chosen(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([1.0])

    def timed(*_: object) -> float:
        try:
            return next(seconds)
        except StopIteration:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory") from None

    monkeypatch.setattr(calibration, "part_seconds", timed)
    assert _load(tiny, None, epochs=1e9)[0] == _MAP
