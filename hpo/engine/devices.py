"""The devices that a process trains on, and JAX's settings, made once before JAX is first used."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from hpo.errors import DeviceError

PLATFORMS = ("cpu", "gpu", "tpu")


def local_devices(name: str | None, cache: Path | None) -> list[Any]:
    """The devices to train on: every accelerator of the machine, or one CPU device for each core.

    `name` is one of `PLATFORMS`, or None for JAX's own choice. Compiled programs are kept in the
    folder `cache`, so that the next process need not compile them again.

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
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
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
    if device.platform == "cpu" and hasattr(os, "sysconf"):
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return int(pages // core_count())
    return None
