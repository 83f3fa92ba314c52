"""Places: the lanes of a pool lie on one device, or on a mesh of several.

On a mesh, each device holds an equal share of the lanes and a whole copy of the data. It trains its
lanes as a single device does: devices do not communicate during a round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

# A JAX device, or a mesh whose one axis is the lanes.
Place: TypeAlias = Any

# The name of that axis.
LANES = "lanes"


def places(devices: Sequence[Any], *, is_meshed: bool) -> list[Place]:
    """The places of a study's pools: each device, or one mesh over all of them."""
    if not is_meshed or len(devices) == 1:
        return list(devices)
    # With JAX's default, explicit axes, an operation cannot combine lanes with data.
    return [jax.make_mesh((len(devices),), (LANES,), (AxisType.Auto,), devices=tuple(devices))]


def devices_of(place: Place) -> list[Any]:
    """The devices of a place, in the order of their lanes."""
    return list(place.devices.flat) if isinstance(place, Mesh) else [place]


def sharding(place: Place, *, is_of_lanes: bool) -> jax.sharding.Sharding:
    """The sharding of an array at a place: split along its leading axis `L`, or whole on each
    device.
    """
    if isinstance(place, Mesh):
        return NamedSharding(place, spec(is_of_lanes=is_of_lanes))
    return SingleDeviceSharding(place)


def spec(*, is_of_lanes: bool) -> PartitionSpec:
    """The axes of a mesh along which an array is split."""
    return PartitionSpec(LANES) if is_of_lanes else PartitionSpec()


def even_lanes(place: Place, lanes: int) -> int:
    """The number of lanes, rounded up to a multiple of the place's devices."""
    count = len(devices_of(place))
    return math.ceil(lanes / count) * count


def fewer_lanes(place: Place, lanes: int) -> int:
    """The number of lanes, rounded down to a multiple of the devices, at least one for each."""
    count = len(devices_of(place))
    return max(1, lanes // count) * count
