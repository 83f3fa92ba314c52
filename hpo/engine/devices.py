"""The devices that a process trains on, and JAX's settings, made once before JAX is first used."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hpo.errors import DeviceError

# Control groups of version 1 write about 2**63 where there is no limit.
_NO_LIMIT = 1 << 60


def local_devices(name: str | None = None) -> list[Any]:
    """The devices to train on: every accelerator of the machine, or one CPU device for each core.

    `name` is a platform of JAX itself (`cpu`, `tpu`) or of a plugin (`cuda`, or `gpu` for any GPU).
    None leaves the choice to JAX.

    Raises:
        DeviceError: for a platform that JAX does not have or cannot start.
    """
    import jax

    # Neither the user nor an earlier call has set the number of CPU devices.
    if jax.config.jax_num_cpu_devices < 1:  # type: ignore[attr-defined]
        # Small models train twice as fast with a pool on each core as with one pool over all cores.
        # If JAX is in use already, its devices cannot change any more.
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", core_count())
    try:
        return list(jax.local_devices(backend=name))
    except RuntimeError as error:
        reason = str(error).splitlines()[0].partition(" Available backends")[0].rstrip(".")
        known = ", ".join(_platforms())
        if not known:
            raise DeviceError(f"JAX cannot start its devices: {reason}.") from error
        raise DeviceError(
            f"--device {name}: JAX cannot use it here ({reason}). JAX has: {known}. "
            f"Choose one of these, or install the JAX plugin for {name}."
        ) from error


def _platforms() -> list[str]:
    """The platforms that JAX has started; empty if one of its plugins cannot start."""
    from jax.extend.backend import backends

    with suppress(RuntimeError):
        return sorted(backends())
    return []


def core_count() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(devices: list[Any]) -> str:
    """The text by which a study records its devices, such as `2 x cpu (x86_64)`."""
    kind = devices[0].device_kind
    detail = platform.machine() if kind == "cpu" else devices[0].platform
    return f"{len(devices)} x {kind} ({detail})"


def memory_bytes(device: Any) -> int | None:
    """The memory that programs on `device` may use, or None if it is unknown."""
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    available = available_bytes() if device.platform == "cpu" else None
    return None if available is None else available // core_count()


def cgroup_bytes(membership: str, root: Path) -> int | None:
    """The bytes that control groups (the limits of containers) leave a process; None for no limit.

    `membership` is the text of /proc/self/cgroup (see cgroups(7)), and groups are mounted at
    `root`.
    """
    free_bytes = []
    for group, files in _memory_groups(membership, root):
        with suppress(OSError, ValueError):  # no such file, or "max"
            used = int((group / files.usage).read_text())
            statistics = (group / "memory.stat").read_text()
            cached = re.search(rf"^{files.cache} (\d+)$", statistics, re.MULTILINE)
            free_bytes.append(
                int((group / files.limit).read_text()) - used + int(cached[1] if cached else 0)
            )
    return max(0, min(free_bytes)) if free_bytes else None


def cgroup_limit(membership: str, root: Path) -> int | None:
    """The smallest limit of the control groups of a process, in bytes; None for no limit.

    The arguments are those of `cgroup_bytes`.
    """
    limits = []
    for group, files in _memory_groups(membership, root):
        with suppress(OSError, ValueError):  # no such file, or "max"
            limits.append(int((group / files.limit).read_text()))
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


class _GroupFiles(NamedTuple):
    """The names of a control group's limit, of its usage and of its cache in `memory.stat`."""

    limit: str
    usage: str
    cache: str


def _memory_groups(membership: str, root: Path) -> Iterator[tuple[Path, _GroupFiles]]:
    """The folders of the control groups that limit the memory of a process."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, files = root, _GroupFiles("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "memory"
            files = _GroupFiles(
                "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            )
        else:
            continue
        # The limits of all parent groups apply too. In a container the path may be the host's, and
        # the container's own group is then mounted as the top one.
        group = top / path.lstrip("/")
        while group.is_relative_to(top):
            yield group, files
            group = group.parent


def available_bytes() -> int | None:
    """The memory that this process may still take; None on systems that do not report it."""
    try:
        meminfo = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    kibibytes = re.search(r"^MemAvailable: *(\d+) kB$", meminfo, re.MULTILINE)
    machine = int(kibibytes[1]) * 1024 if kibibytes else None
    group = None
    with suppress(OSError):
        group = cgroup_bytes(Path("/proc/self/cgroup").read_text(), Path("/sys/fs/cgroup"))
    return min((each for each in (machine, group) if each is not None), default=None)
