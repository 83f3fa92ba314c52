"""Compiled code as bytes: kept on disk for the next process, and loaded by all devices of a kind.

The keys of JAX's own cache on disk contain the device, so that each CPU device compiles again. Ours
do not, and an entry loads in 5 ms. JAX offers this through private classes only, so a caller must
be able to compile instead. JAX's cache keeps the other programs: those for several devices, and
those that run once.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax._src import compiler
from jax._src import config as jax_config
from jax.experimental import serialize_executable

from hpo.engine.mesh import Place, devices_of

# Raised when bytes are loaded that this version of JAX has not written.
LOAD_ERRORS = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)

# The most bytes that all files of a cache on disk may take.
_MOST_BYTES = 2 << 30


def use_jax_cache(folder: Path | None) -> None:
    """Let JAX cache what it compiles in `folder` from now on, unless the user has set a folder.

    It is set once in a process. If the folder cannot be written, the next process compiles again.
    """
    if folder is None or jax_config.compilation_cache_dir.value is not None:
        return
    # The keys of JAX do not contain the processor, and several machines may share the folder.
    own = folder / "jax" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    _make_room((folder / "jax").glob("*/*-cache"))  # JAX records no use, so the oldest are deleted
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(own))


def compile_to_keep(lowered: Any) -> Any:
    """An executable for `to_bytes`, which cannot take one that JAX's cache has loaded.

    So JAX's cache is not written here, and never holds this program.
    """
    with jax_config.persistent_cache_min_compile_time_secs(math.inf):
        return lowered.compile()


def to_bytes(compiled: Any) -> bytes:
    """The code of an executable that was compiled, not loaded, for one device."""
    code, _, _ = serialize_executable.serialize(compiled)
    return code


def load(code: bytes, in_tree: Any, out_tree: Any, device: Any) -> Any:
    """The executable for `device` from the bytes of `to_bytes`; the trees are those of `lower`."""
    unpickler: Any = _ToDevice(io.BytesIO(code), device.client, [device])  # type: ignore[no-untyped-call]
    executable, arguments, no_kwargs = unpickler.load()
    return jax.stages.Compiled(
        executable.load(),
        [],
        in_tree.unflatten(arguments),
        out_tree,
        no_kwargs=no_kwargs,
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


class CodeCache:
    """A cache of compiled code in a folder; without a folder, it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """The code kept under `key`; None if it is missing or damaged."""
        if self._folder is None:
            return None
        try:
            content = (self._folder / key).read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(self._folder / key)  # the time of its last use
        digest, code = content[:32], content[32:]
        return code if hashlib.sha256(code).digest() == digest else None

    def write(self, key: str, code: bytes) -> None:
        """Keep code under `key`, and delete the least recently used code above the limit.

        If the folder cannot be written, the next process compiles again.
        """
        if self._folder is None:
            return
        temporary = self._folder / f".{key}.{os.getpid()}"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
            temporary.replace(self._folder / key)
            _make_room(p for p in self._folder.iterdir() if re.fullmatch("[0-9a-f]{64}", p.name))


def _make_room(files: Iterable[Path]) -> None:
    """Delete the least recently used files until the rest take at most `_MOST_BYTES`."""
    found = []
    for file in files:
        with suppress(OSError):  # another process may have deleted it
            status = file.stat()
            found.append((status.st_mtime_ns, status.st_size, file))
    total = 0
    for _, size, file in sorted(found, reverse=True):
        total += size
        if total > _MOST_BYTES:
            with suppress(OSError):
                file.unlink()


def cache_key(lowered: Any, place: Place) -> str:
    """The key of code: a hash of the program's text and of all else that affects compiling."""
    device, *others = devices_of(place)
    parts = [
        lowered.as_text(),
        *([f"{1 + len(others)} devices"] if others else []),
        jax.__version__,
        metadata.version("jaxlib"),
        device.client.platform_version,
        device.device_kind,
        os.environ.get("XLA_FLAGS", ""),
        _processor() if device.platform == "cpu" else "",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _processor() -> str:
    """The instruction sets of this machine, which compiled code may use."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as file:
        return next((line for line in file if line.startswith(("flags", "Features"))), "")
    return ""
