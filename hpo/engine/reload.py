"""Compiled code carried from one device to another of its kind, in 5 ms instead of a compile.

JAX offers this through private classes only, so whoever calls has to be ready to compile instead.
"""

from __future__ import annotations

import io
from typing import Any

import jax
import numpy as np
from jax._src import compiler
from jax.experimental import serialize_executable


def load_on(compiled: Any, device: Any) -> Any:
    """A copy of a one-device executable that runs on another device of the same kind."""
    serialized, in_tree, out_tree = serialize_executable.serialize(compiled)
    unpickler: Any = _ToDevice(io.BytesIO(serialized), device.client, [device])  # type: ignore[no-untyped-call]
    executable, arguments, no_kwargs = unpickler.load()
    return jax.stages.Compiled(
        executable.load(), [], in_tree.unflatten(arguments), out_tree, no_kwargs=no_kwargs
    )


class _ToDevice(serialize_executable._JaxPjrtUnpickler):
    """Reads an executable as if it had been compiled for the one device given."""

    def persistent_load(self, pid: tuple[Any, ...]) -> Any:
        (device,) = self.execution_devices
        if pid[0] == "exec":
            options = compiler.get_compile_options(
                num_replicas=1, num_partitions=1, device_assignment=np.array([[device.id]])
            )
            return self.backend.deserialize_executable(pid[1], self.execution_devices, options)
        return device if pid[0] == "device" else self.backend
