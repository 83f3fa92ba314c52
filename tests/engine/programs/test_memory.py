"""The memory of a device beside the lanes in training: it is freed or counted in time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.pools.streaming import data_bytes
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler, _peak_bytes
from hpo.engine.programs.memory import bytes_of_row, is_exhausted, may_fit_in_parts
from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import DeviceError
from tests.engine.samples import a_training, tiny_data

_AMPLE = 10**9


def _load(pool: Pool, data: DataSet) -> None:
    program, _ = split(a_training(), data, "cpu")
    pool.load(program, Plans(Plan("map", 1)), data)


@pytest.fixture
def pool(compiler: Compiler) -> Pool:
    return Pool(local_devices("cpu")[0], compiler)


def test_old_lanes_are_freed_before_new_ones_are_made(
    pool: Pool, tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _load(pool, tiny)
    before, compile_ = jax.tree.leaves(pool._lanes), Compiler.compile
    freed: list[bool] = []

    def watched(*arguments: Any) -> Any:
        freed.extend(leaf.is_deleted() for leaf in before)
        return compile_(*arguments)

    monkeypatch.setattr(Compiler, "compile", watched)
    _load(pool, tiny)
    assert freed == [True] * len(before)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(pool._lanes))


@pytest.mark.parametrize(("room", "is_kept"), [(_AMPLE, True), (-1, False)])
def test_data_of_other_programs_stay_if_they_fit_beside_a_round(
    pool: Pool, tiny: DataSet, monkeypatch: pytest.MonkeyPatch, room: int, is_kept: bool
) -> None:
    other = tiny_data()
    _load(pool, other)
    held = data_bytes(other)
    needed = pool._operations.peak_bytes
    assert needed > held
    monkeypatch.setattr("hpo.engine.pools.pool.memory_bytes", lambda _: needed + held + room)
    _load(pool, tiny)
    assert pool._copies.bytes_beside(tiny) == (held if is_kept else 0)


def test_a_plan_is_measured_with_the_device_to_itself(
    pool: Pool, tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _load(pool, tiny_data())
    held: list[int] = []

    def compile_(*_: Any) -> Any:
        held.append(pool._copies.bytes_beside(tiny))
        raise DeviceError("enough seen")

    monkeypatch.setattr(Compiler, "compile", compile_)
    program, _ = split(a_training(), tiny, "cpu")
    with pytest.raises(DeviceError):
        pool.load(program, Plans(Plan("map", 1), (Plan("vmap", 1),)), tiny)
    assert held == [0]


def test_a_chunk_that_is_being_fetched_counts_beside_the_one_in_training(
    pool: Pool, tiny: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"dataset": "iris", "batch_size": 16, "device_budget": data_bytes(tiny) - 1}
    program, _ = split(a_training(data=spec), tiny, "cpu")
    pool.load(program, Plans(Plan("map", 1)), tiny)
    own = _peak_bytes(pool._operations.round)
    monkeypatch.setattr("hpo.engine.programs.compiler.memory_bytes", lambda _: own)
    with pytest.raises(DeviceError, match="one lane needs"):
        Pool(local_devices("cpu")[0], Compiler()).load(program, Plans(Plan("map", 1)), tiny)


def test_the_bytes_of_a_row_are_those_of_the_widest_step_without_the_weights() -> None:
    def outputs(weights: Any, x: Any) -> Any:
        return jax.jit(jnp.tanh)(x @ weights[0]) @ weights[1]

    weights = np.zeros((1000, 50), np.float32), np.zeros((50, 3), np.float32)
    # The first product reads 1,000 numbers of 4 bytes for each row, and writes 50.
    assert bytes_of_row(outputs, weights, (1000,), np.float32) == 4 * 1050
    # What is inside of another function counts: the tanh reads 50 numbers and writes them.
    assert bytes_of_row(outputs, (np.zeros((2, 50)), weights[1]), (2,), np.float32) == 4 * 100


@pytest.mark.parametrize(
    ("error", "halves_lanes", "halves_rows"),
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory."), True, True),
        (jax.errors.JaxRuntimeError("INTERNAL: YNNPACK operation failed"), False, True),
        (jax.errors.JaxRuntimeError("INTERNAL: std::bad_alloc"), False, True),
        (jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes"), False, False),
        (MemoryError(), False, True),
        (ValueError("RESOURCE_EXHAUSTED"), False, False),
    ],
)
def test_lanes_are_halved_where_a_device_is_full_and_rows_where_a_machine_may_be(
    error: Exception, halves_lanes: bool, halves_rows: bool
) -> None:
    assert (is_exhausted(error), may_fit_in_parts(error)) == (halves_lanes, halves_rows)
