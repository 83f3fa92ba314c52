"""Measures which plan of a program is fastest: briefly, once on a machine, and only if it pays.

Two choices are not among the plans, because they were never faster on 2 shared CPU cores (rough
figures). One is a call for each step. A step of a CNN with 32 and 64 filters on 128 images of 28x28
took 68 ms of CPU time in a round of six steps. In six rounds it took 76 ms. With 8 and 16 filters
on 64 images of 8x8 it took 0.9 and 1.3 ms. The convolutions have a form for loops (see
`convolution`). The other is one pool over all cores. Two trials of `benchmarks/fashion_cnn.yaml`
trained an epoch each in 4 s with a pool for each core. One after the other over both cores, they
took 8 s and a fifth more CPU time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from hpo.engine.mesh import Place, sharding
from hpo.engine.programs.plans import Plan
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.batches import DeviceData
from hpo.engine.training.task import task_of

# Compiling and timing the other plans may take this share of the program's own training time.
_SHARE = 0.05
# A plan replaces the usual one if it takes less than this share of its time.
_GAIN = 0.9
_TIMED_SECONDS = 0.1
# Estimates for a machine without measurements may be too low by this factor.
_ESTIMATE_WITHIN = 10.0


def pays(compile_seconds: float, others: int, seconds_ahead: float) -> bool:
    """Whether compiling and timing `others` more plans costs little beside `seconds_ahead`."""
    return others > 0 and others * (compile_seconds + 4 * _TIMED_SECONDS) < _SHARE * seconds_ahead


def could_pay(compile_seconds: float, others: int, estimated_seconds: float) -> bool:
    """Whether measuring may pay by the estimate, so that the usual plan should be timed."""
    return pays(compile_seconds, others, _ESTIMATE_WITHIN * estimated_seconds)


def part_seconds(
    program: AnyProgram, plan: Plan, round_: Any, data: DeviceData, lane: Any, place: Place
) -> float:
    """The seconds of a plan for a micro-batch of one lane: the minimum of four tries."""
    count, best = 1, float("inf")
    for _ in range(4):
        lanes = jax.device_put(
            jax.tree.map(lambda a: np.zeros((plan.lanes, *a.shape), a.dtype), lane),
            sharding(place, is_of_lanes=True),
        )
        knobs = np.ones((plan.lanes, len(program.knobs)), np.float32)
        feed = {
            name: np.zeros((plan.lanes, *a.shape), a.dtype)
            for name, a in task_of(program).feed_shapes(is_chunked=data.is_chunked).items()
        }
        counts = np.full(plan.lanes, count, np.int32)
        jax.block_until_ready(lanes)
        start = time.perf_counter()
        jax.block_until_ready(round_(lanes, data, knobs, feed, counts))
        seconds = time.perf_counter() - start
        each = seconds / (plan.lanes * count)
        best = min(best, each)
        most = program.order_shape[0]
        # Less than a whole epoch, so that no evaluation is timed.
        count = int(np.clip(_TIMED_SECONDS / (plan.lanes * each), 1, max(1, most - 1)))
    return best


def best_plan(plans: Sequence[Plan], seconds: Sequence[float]) -> Plan:
    """The first plan, unless another is clearly faster; its `why` holds the measured times."""
    fastest = min(range(len(plans)), key=seconds.__getitem__)
    chosen = fastest if seconds[fastest] < _GAIN * seconds[0] else 0
    others = ", ".join(
        f"{each / seconds[chosen]:.2g} times as fast as {plan.form} with {plan.lanes}"
        for plan, each in zip(plans, seconds, strict=True)
        if plan is not plans[chosen]
    )
    figure = f"{1e6 * seconds[chosen]:.0f} µs for a lane's micro-batch"
    return replace(
        plans[chosen], why=f"measured: {figure}, {others}" if others else f"measured: {figure}"
    )


def to_bytes(plan: Plan) -> bytes:
    """A measured plan for the cache."""
    return json.dumps(plan.pin()).encode()


def from_bytes(content: bytes | None) -> Plan | None:
    """The plan that `to_bytes` wrote; None for any other content."""
    try:
        return None if content is None else Plan.from_pin(json.loads(content))
    except (KeyError, TypeError, ValueError):
        return None
