"""Places: where a pool's lanes live, one device or a mesh of several.

On a mesh, each device holds an equal share of the lanes and a whole copy of the data, and trains
its own lanes as one device alone would: a round needs no word between devices.
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
    """Where to have pools: on each device one, or one over all of them."""
    if not is_meshed or len(devices) == 1:
        return list(devices)
    # Under the default, explicit axes, lanes and data could not be mixed.
    return [jax.make_mesh((len(devices),), (LANES,), (AxisType.Auto,), devices=tuple(devices))]


def devices_of(place: Place) -> list[Any]:
    """The devices of a place, in the order of their lanes."""
    return list(place.devices.flat) if isinstance(place, Mesh) else [place]


def sharding(place: Place, *, is_of_lanes: bool) -> jax.sharding.Sharding:
    """How an array lies at a place: cut along its leading axis `L`, or whole on every device."""
    if isinstance(place, Mesh):
        return NamedSharding(place, spec(is_of_lanes=is_of_lanes))
    return SingleDeviceSharding(place)


def spec(*, is_of_lanes: bool) -> PartitionSpec:
    """The same as the axes of a mesh that an array is cut along."""
    return PartitionSpec(LANES) if is_of_lanes else PartitionSpec()


def even_lanes(place: Place, lanes: int) -> int:
    """So many lanes or a few more, so that each device of the place has as many as the others."""
    count = len(devices_of(place))
    return math.ceil(lanes / count) * count


def fewer_lanes(place: Place, lanes: int) -> int:
    """So many lanes or a few less, equally many on each device, and one at least."""
    count = len(devices_of(place))
    return max(1, lanes // count) * count
