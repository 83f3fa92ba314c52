"""Memory that runs out while programs run, and how many lanes to go on with."""

from __future__ import annotations

from dataclasses import replace

import jax

from hpo.engine.mesh import Place, devices_of, even_lanes
from hpo.engine.programs.plans import Plan
from hpo.errors import DeviceError


def is_exhausted(error: BaseException) -> bool:
    """Whether XLA says by this error that a device has no memory left."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def halved(plan: Plan, place: Place) -> Plan:
    """The plan with half of its lanes.

    Raises:
        DeviceError: where each device has a single lane.
    """
    if plan.lanes <= len(devices_of(place)):
        raise DeviceError(
            "the device ran out of memory with a single lane: make data.batch_size or the model "
            "smaller, or end what else runs on it."
        )
    return replace(plan, lanes=even_lanes(place, plan.lanes // 2))
