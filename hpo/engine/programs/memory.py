"""Recognises that a device has run out of memory, and continues with fewer lanes."""

from __future__ import annotations

from dataclasses import replace

import jax

from hpo.engine.mesh import Place, devices_of, even_lanes
from hpo.engine.programs.plans import Plan
from hpo.errors import DeviceError


def is_exhausted(error: BaseException) -> bool:
    """Whether this is XLA's error for a device that has run out of memory."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


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
