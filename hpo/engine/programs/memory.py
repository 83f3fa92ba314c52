"""Recognises that a device has run out of memory, and goes on with fewer lanes, or rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
from jax.extend import core

from hpo.engine.mesh import Place, devices_of, even_lanes
from hpo.engine.programs.plans import Plan
from hpo.errors import DeviceError

# XLA's words for a device that gets no memory.
_EXHAUSTED = "RESOURCE_EXHAUSTED"
# Those for a machine without: of its library of kernels for CPUs, which fails otherwise too, and of
# C++.
_FAILED = ("YNNPACK operation failed", "std::bad_alloc")
# A prime number that hardly an axis of a model has: a size that it divides grows with the rows.
_ROWS = 1009


def is_exhausted(error: BaseException) -> bool:
    """Whether this is XLA's error for a device that has run out of memory."""
    return isinstance(error, jax.errors.JaxRuntimeError) and _EXHAUSTED in str(error)


def may_fit_in_parts(error: BaseException) -> bool:
    """Whether what ended with this error may fit with fewer rows at once.

    The device has run out of memory, or the machine. Some errors only may tell of that, so this is
    for work of which nothing is lost by another try, as a training may be.
    """
    if isinstance(error, MemoryError) or is_exhausted(error):
        return True
    is_of_xla = isinstance(error, jax.errors.JaxRuntimeError)
    return is_of_xla and any(text in str(error) for text in _FAILED)


def halved(plan: Plan, place: Place) -> Plan:
    """The plan with half of its lanes.

    Raises:
        DeviceError: if each device has only one lane.
    """
    if plan.lanes <= len(devices_of(place)):
        raise DeviceError(
            "the device ran out of memory with a single lane: make data.batch_size or the model "
            "smaller, or stop other programs on it."
        )
    return replace(plan, lanes=even_lanes(place, plan.lanes // 2))


def bytes_of_row(
    function: Callable[[Any, Any], Any], weights: Any, shape: tuple[int, ...], kind: Any
) -> int:
    """The most bytes of one row that any step of a function reads and writes together.

    The function takes weights and rows `[B, *shape]` of the type `kind`. Nothing is compiled. It
    stands for the memory that each further row takes, which XLA makes less by joining steps.
    """
    traced = jax.make_jaxpr(function)(weights, jax.ShapeDtypeStruct((_ROWS, *shape), kind))
    return _widest(traced.jaxpr) // _ROWS


def _widest(jaxpr: core.Jaxpr) -> int:
    """The most bytes that an equation reads and writes of what grows with the rows."""
    widest = 0
    for equation in jaxpr.eqns:
        values = (*equation.invars, *equation.outvars)
        widest = max(
            widest,
            sum(_growing_bytes(one.aval) for one in values),
            *map(_widest, core.jaxprs_in_params(equation.params)),
        )
    return widest


def _growing_bytes(aval: Any) -> int:
    sizes = getattr(aval, "shape", ())
    if not any(size and size % _ROWS == 0 for size in sizes):
        return 0
    return int(math.prod(sizes) * aval.dtype.itemsize)
