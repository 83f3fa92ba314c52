"""Programs compiled once, for all devices of a kind."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import jax

from hpo.engine.devices import memory_bytes
from hpo.engine.lane import DeviceData, Lane
from hpo.engine.lanes import operations
from hpo.engine.plan import Plan
from hpo.engine.program import Program
from hpo.errors import DeviceError


@dataclass(frozen=True)
class LaneOperations:
    """The compiled operations of a program on one device (see `lanes`)."""

    plan: Plan
    round: Any
    put: Any
    take: Any


class Compiler:
    """Compiles each program once in the life of a process; `programs` and `seconds` count them."""

    def __init__(self) -> None:
        self.programs = 0
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._compiled: dict[Any, Future[LaneOperations]] = {}
        self._on_device: dict[Any, LaneOperations] = {}

    def compile(
        self, program: Program, plan: Plan, data: DeviceData, lane: Lane, device: Any
    ) -> LaneOperations:
        """The operations for `device`; lanes are halved until they fit its memory.

        The first device to ask compiles; others of its kind load what that one compiled.

        Raises:
            DeviceError: if a single lane does not fit.
        """
        key = (program, plan)
        with self._lock:
            ours = key not in self._compiled
            if ours:
                self._compiled[key] = Future()
            future = self._compiled[key]
        if ours:
            try:
                operations_ = self._compile(program, plan, data, lane, device)
            except BaseException as error:
                future.set_exception(error)
                raise
            self._on_device[key, device] = operations_
            future.set_result(operations_)
            return operations_
        first = future.result()
        if (key, device) not in self._on_device:
            try:
                from hpo.engine.reload import load_on

                loaded = LaneOperations(
                    first.plan,
                    *(load_on(c, device) for c in (first.round, first.put, first.take)),
                )
            except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
                # Loading leans on JAX's private classes: without them, the device compiles.
                loaded = self._compile(program, first.plan, data, lane, device)
            self._on_device[key, device] = loaded
        return self._on_device[key, device]

    def _compile(
        self, program: Program, plan: Plan, data: DeviceData, lane: Lane, device: Any
    ) -> LaneOperations:
        lanes, start = plan.lanes, time.monotonic()
        while True:
            compiled = {
                name: _compiled(operation.function, operation.arguments, operation.donated, device)
                for name, operation in operations(program, plan.form, lanes, data, lane).items()
            }
            needed, available = _peak_bytes(compiled["round"]), memory_bytes(device)
            if available is None or needed <= available:
                break
            if lanes == 1:
                raise DeviceError(
                    f"one lane needs {needed / 2**30:.1f} GiB and the device has "
                    f"{available / 2**30:.1f} GiB: make data.batch_size or the model smaller."
                )
            lanes //= 2
        with self._lock:
            self.programs += 1
            self.seconds += time.monotonic() - start
        return LaneOperations(Plan(plan.form, lanes), **compiled)


def _compiled(function: Any, arguments: Any, donated: tuple[int, ...], device: Any) -> Any:
    sharding = jax.sharding.SingleDeviceSharding(device)
    placed = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), arguments
    )
    return jax.jit(function, donate_argnums=donated).lower(*placed).compile()


def _peak_bytes(compiled: Any) -> int:
    usage = compiled.memory_analysis()
    if usage is None:
        return 0
    return int(
        usage.argument_size_in_bytes
        + usage.output_size_in_bytes
        - usage.alias_size_in_bytes
        + usage.temp_size_in_bytes
    )
