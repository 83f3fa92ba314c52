"""The devices that a process trains on, and JAX's settings, made once before JAX is first used."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from hpo.errors import DeviceError

PLATFORMS = ("cpu", "gpu", "tpu")


def local_devices(name: str | None = None) -> list[Any]:
    """The devices to train on: every accelerator of the machine, or one CPU device for each core.

    `name` is one of `PLATFORMS`, or None for JAX's own choice.

    Raises:
        DeviceError: for a platform that JAX does not find here.
    """
    import jax

    if name is not None and name not in PLATFORMS:
        raise DeviceError(f"unknown device '{name}'. Known names: {', '.join(PLATFORMS)}.")
    # Neither set by the user nor by an earlier call.
    if jax.config.jax_num_cpu_devices < 1:  # type: ignore[attr-defined]
        # A pool on a core of its own trains small models twice as fast as all cores together.
        jax.config.update("jax_num_cpu_devices", core_count())
    try:
        return list(jax.local_devices(backend=name))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"--device {name}: JAX finds none here ({reason}): leave the option out, "
            f"or install the jax package for it."
        ) from error


def core_count() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(devices: list[Any]) -> str:
    """What a study records of the devices, such as `2 x cpu (x86_64)`."""
    kind = devices[0].device_kind
    detail = platform.machine() if kind == "cpu" else devices[0].platform
    return f"{len(devices)} x {kind} ({detail})"


def memory_bytes(device: Any) -> int | None:
    """The memory that programs on `device` may use, or None where nobody knows."""
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    available = _available_bytes() if device.platform == "cpu" else None
    return None if available is None else available // core_count()


def _available_bytes() -> int | None:
    """Memory that the machine can still give; only Linux says how much of it caches files."""
    try:
        meminfo = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    kibibytes = re.search(r"^MemAvailable: *(\d+) kB$", meminfo, re.MULTILINE)
    return int(kibibytes[1]) * 1024 if kibibytes else None
