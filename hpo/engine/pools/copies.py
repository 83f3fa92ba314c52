"""The copies of data sets that a pool keeps on its devices."""

from __future__ import annotations

import jax

from hpo.data.dataset import DataSet
from hpo.engine.mesh import Place, sharding
from hpo.engine.pools.streaming import data_bytes
from hpo.engine.training.batches import DeviceData, host_data


class Copies:
    """Copies of data sets on a device or a mesh: a study has several if `data.normalize` varies."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # The data set is kept beside its copy, so that no other object gets its id.
        self._held: dict[int, tuple[DataSet, DeviceData]] = {}

    def of(self, data: DataSet, budget: int | None) -> DeviceData:
        """The copy of a data set; frees the others if the budget is too small for a new one."""
        if id(data) not in self._held:
            if budget is not None and self.bytes_beside(data) + data_bytes(data) > budget:
                self._held.clear()
            copy = jax.device_put(host_data(data), sharding(self._place, is_of_lanes=False))
            self._held[id(data)] = (data, copy)
        return self._held[id(data)][1]

    def bytes_beside(self, data: DataSet) -> int:
        """The bytes of the other data sets on each device."""
        return sum(data_bytes(other) for other, _ in self._held.values() if other is not data)

    def keep_only(self, data: DataSet | None) -> bool:
        """Free all other copies; returns whether there were any."""
        others = [key for key, (held, _) in self._held.items() if held is not data]
        for key in others:
            del self._held[key]
        return bool(others)
