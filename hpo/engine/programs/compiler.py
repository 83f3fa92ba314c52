"""Compiles each program once, for all devices of a kind and for later processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from hpo.engine.devices import memory_bytes
from hpo.engine.mesh import Place, devices_of, even_lanes, sharding
from hpo.engine.program import Program
from hpo.engine.programs import calibration
from hpo.engine.programs.executables import (
    CodeCache,
    cache_key,
    compile_to_keep,
    load,
    to_bytes,
)
from hpo.engine.programs.lanes import Operation, operations
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.programs.merging import estimated_seconds
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.batches import DeviceData
from hpo.engine.training.task import task_of
from hpo.errors import DeviceError

# The most programs that stay loaded. Each takes megabytes, and loads from disk in milliseconds.
_MOST_PROGRAMS = 32


@dataclass(frozen=True)
class LaneOperations:
    """The compiled operations of a program on one device (see `lanes`)."""

    plan: Plan
    round: Any
    put: Any
    take: Any
    evaluate: Any = None  # only if validation rows are streamed
    key: str = ""  # a name for the round's code
    peak_bytes: int = 0  # memory that a round needs on each device, with data and lanes


@dataclass(frozen=True)
class _Code:
    """An operation's compiled code, which any device can load; None if JAX cannot serialise it."""

    operation: Operation
    in_tree: Any  # of its arguments
    out_tree: Any
    code: bytes | None


@dataclass(frozen=True)
class _Compiled:
    """The result of one compile (plan, peak bytes of a round, code), and its places."""

    future: Future[tuple[Plan, int, dict[str, _Code]]] = field(default_factory=Future)
    on: dict[Place, LaneOperations] = field(default_factory=dict)


class Compiler:
    """Compiles each program once; `programs` counts those that this process compiled."""

    def __init__(self, cache: Path | None = None) -> None:
        self.programs = 0
        self.seconds: dict[AnyProgram, float] = {}  # to compile each program
        self._cache = CodeCache(cache)
        self._lock = threading.Lock()
        # By program, the most recently used at the end, and then by the requested plans.
        self._kept: dict[Any, dict[tuple[Plan, tuple[Plan, ...]], _Compiled]] = {}

    def compile(
        self,
        program: AnyProgram,
        plans: Plans,
        data: DeviceData,
        lane: Any,
        device: Place,
        beside: int = 0,
    ) -> LaneOperations:
        """The operations for a device or a mesh; lanes are halved until they fit the memory.

        `beside` are bytes that a round needs beside its own, such as a chunk that is being fetched.
        The first device that asks compiles and measures which plan is best. Other devices of its
        kind load its code.

        Raises:
            DeviceError: if a single lane does not fit.
        """
        # The same program may be compiled for whole data sets and for chunks.
        shapes = tuple((a.shape, str(a.dtype)) for a in jax.tree.leaves(data))
        teacher = jax.tree.structure(data.teacher)  # its networks may differ in more than shapes
        which = program, shapes, teacher, len(devices_of(device))
        asked = plans.usual, plans.others
        with self._lock:
            by_plans = self._kept[which] = self._kept.pop(which, {})
            if len(self._kept) > _MOST_PROGRAMS:
                del self._kept[next(iter(self._kept))]
            is_first = asked not in by_plans
            known = by_plans.setdefault(asked, _Compiled())
        if is_first:
            try:
                known.on[device], codes = self._best(program, plans, data, lane, device, beside)
            except BaseException as error:
                with self._lock:  # the next caller tries again, maybe with more free memory
                    del by_plans[asked]
                known.future.set_exception(error)
                raise
            plan = known.on[device].plan
            with self._lock:  # the plan that is requested once it is pinned
                by_plans.setdefault((plan, ()), known)
            known.future.set_result((plan, known.on[device].peak_bytes, codes))
        plan, peak_bytes, codes = known.future.result()
        if device not in known.on:
            loaded = {
                name: self._ready(code, device, is_round=name == "round")
                for name, code in codes.items()
            }
            known.on[device] = LaneOperations(plan, **loaded, peak_bytes=peak_bytes)
        if len(known.on) == devices_of(device)[0].client.local_device_count():
            codes.clear()  # every device has loaded it
        return known.on[device]

    def kept_lanes(self, program: AnyProgram) -> int:
        """How many lanes the code of a program has that the cache keeps for `map`; 0 for none."""
        text = self._cache.read(_lanes_key(program)) or b""
        return int(text) if text.isdigit() else 0

    def _best(
        self,
        program: AnyProgram,
        plans: Plans,
        data: DeviceData,
        lane: Any,
        device: Place,
        beside: int,
    ) -> tuple[LaneOperations, dict[str, _Code]]:
        """The operations of the fastest plan if measuring pays, else of the usual one."""

        def compiled(plan: Plan, is_tried: bool) -> tuple[LaneOperations, dict[str, _Code]]:
            return self._compile(program, plan, data, lane, device, beside, is_tried)

        first = compiled(plans.usual, is_tried=False)
        usual = first[0].plan
        # Nothing is measured for a user's own task, whose step need not end on blank states.
        if not isinstance(program, Program):
            return first
        # Under `vmap` a merged program would run all of its branches.
        others = [] if program.merged else [p for p in plans.others if p != usual]
        if not others or usual.lanes < plans.usual.lanes:
            return first
        key = f"{first[0].key}.plan"
        known = calibration.from_bytes(self._cache.read(key))
        if known == usual:
            return replace(first[0], plan=known), first[1]
        # A known plan with fewer lanes is one of `others` that did not fit with all of its lanes.
        if known and any(known.form == p.form and known.lanes <= p.lanes for p in others):
            return compiled(known, is_tried=False)
        compile_seconds, part_seconds = estimated_seconds(program)
        parts = plans.epochs * program.order_shape[0]
        if not calibration.could_pay(compile_seconds, len(others), parts * part_seconds):
            return first

        def timed(operations: LaneOperations) -> float:
            return calibration.part_seconds(
                program, operations.plan, operations.round, data, lane, device
            )

        seconds = [timed(first[0])]
        if not calibration.pays(compile_seconds, len(others), parts * seconds[0]):
            return first
        found = [first]
        for plan in others:
            try:
                other = compiled(plan, is_tried=True)
                seconds.append(timed(other[0]))
            except (DeviceError, jax.errors.JaxRuntimeError) as error:
                if not isinstance(error, DeviceError) and not is_exhausted(error):
                    raise
                continue  # a plan that does not fit cannot be chosen
            found.append(other)
        tried = [operations.plan for operations, _ in found]
        best = calibration.best_plan(tried, seconds)
        self._cache.write(key, calibration.to_bytes(best))
        operations, codes = found[tried.index(best)]
        return replace(operations, plan=best), codes

    def _compile(
        self,
        program: AnyProgram,
        plan: Plan,
        data: DeviceData,
        lane: Any,
        device: Place,
        beside: int,
        is_tried: bool,
    ) -> tuple[LaneOperations, dict[str, _Code]]:
        """The operations of one plan; with `is_tried`, `programs` does not count it."""
        start = time.perf_counter()
        first, *others = devices_of(device)
        lanes = even_lanes(device, plan.lanes)
        while True:
            codes: dict[str, _Code] = {}
            compiled: dict[str, Any] = {}
            is_new, round_key = False, ""
            mesh = device if others else None
            made = operations(task_of(program), plan.form, lanes, data, lane, mesh)
            for name, operation in made.items():
                lowered = _lowered(operation, device)
                key = cache_key(lowered, device)
                round_key = key if name == "round" else round_key
                if others:  # no other place can load the code of a mesh
                    compiled[name], is_new = lowered.compile(), True
                    continue
                trees = lowered.in_tree, lowered.out_tree
                codes[name] = _Code(operation, *trees, self._cache.read(key))
                executable = _loaded(codes[name], device)
                if executable is None:
                    is_new = True
                    executable = compile_to_keep(lowered)
                    code = _code_of(executable)
                    codes[name] = _Code(operation, *trees, code)
                    if code is not None:
                        self._cache.write(key, code)
                compiled[name] = executable
            needed, available = _peak_bytes(compiled["round"]) + beside, memory_bytes(first)
            if available is None or needed <= available:
                break
            if lanes == 1 + len(others):
                raise DeviceError(
                    f"one lane needs {needed / 2**30:.1f} GiB and the device has "
                    f"{available / 2**30:.1f} GiB: make data.batch_size or the model smaller."
                )
            lanes = even_lanes(device, lanes // 2)
        with self._lock:
            self.programs += is_new and not is_tried
            if is_new and not is_tried:
                self.seconds[program] = time.perf_counter() - start
        if is_new and plan.form == "map" and not others:
            self._cache.write(_lanes_key(program), str(lanes).encode())
        plan = replace(plan, lanes=lanes, devices=1 + len(others))
        return LaneOperations(plan, **compiled, key=round_key, peak_bytes=needed), codes

    def _ready(self, code: _Code, device: Any, is_round: bool) -> Any:
        """An operation for another device of the kind for which it was compiled."""
        executable = _loaded(code, device)
        if executable is None:
            executable = compile_to_keep(_lowered(code.operation, device))
            with self._lock:
                self.programs += is_round
        return executable


def _lanes_key(program: AnyProgram) -> str:
    return f"{program.label}.lanes"


def _loaded(code: _Code, device: Any) -> Any | None:
    if code.code is None:
        return None
    try:
        return load(code.code, code.in_tree, code.out_tree, device)
    except Exception:  # code of another JAX can fail in any way, and this one can compile instead
        return None


def _code_of(executable: Any) -> bytes | None:
    try:
        return to_bytes(executable)
    except Exception:  # likewise: only the next process misses what cannot be serialised
        return None


def _lowered(operation: Operation, device: Place) -> Any:
    arguments = (
        jax.tree.map(partial(_placed, sharding(device, is_of_lanes=is_of_lanes)), argument)
        for argument, is_of_lanes in zip(operation.arguments, operation.of_lanes, strict=True)
    )
    return jax.jit(operation.function, donate_argnums=operation.donated).lower(*arguments)


def _placed(where: jax.sharding.Sharding, a: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where)


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
