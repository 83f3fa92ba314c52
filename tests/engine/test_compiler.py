"""The compiler: lanes that fit the memory, and one compile for all devices of a kind."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.data.dataset import DataSet
from hpo.engine.compiler import Compiler
from hpo.engine.devices import local_devices
from hpo.engine.plan import Plan
from hpo.engine.pool import Pool
from hpo.engine.program import split
from hpo.errors import DeviceError
from hpo.spec.experiment import Training
from tests.engine.samples import a_training

_TRAINING = a_training(train={"epochs": 1})


def _pool(data: DataSet, compiler: Compiler, lanes: int, device: int = 0) -> tuple[Pool, Plan]:
    pool = Pool(local_devices("cpu")[device], compiler)
    program, _ = split(_TRAINING, data, "cpu")
    return pool, pool.load(program, Plan("map", lanes), data, _TRAINING)


def _losses(pool: Pool, data: DataSet, training: Training) -> list[dict[str, float]]:
    pool.put(0, 0, training, split(training, data, "cpu")[1], None, 1)
    return [report.metrics for report in pool.round()]


def _limit_memory(monkeypatch: pytest.MonkeyPatch, *limits: int) -> None:
    """The device's memory at each of the compiler's attempts."""
    left = iter(limits)
    monkeypatch.setattr("hpo.engine.compiler.memory_bytes", lambda device: next(left))


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


def test_a_device_that_cannot_load_compiles_instead_and_learns_the_same(
    tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_loading(compiled: Any, device: Any) -> Any:
        raise AttributeError("JAX has no such private class")

    monkeypatch.setattr("hpo.engine.reload.load_on", no_loading)
    compiler = Compiler()
    curves = [
        _losses(_pool(tiny, compiler, lanes=1, device=device)[0], tiny, _TRAINING)
        for device in (0, 1)
    ]
    assert compiler.programs == 2
    assert curves[0] == curves[1]
