"""Compiled code as bytes: kept on disk for the next process, and loaded by every like device.

JAX's own cache on disk makes each CPU device compile anew, because its keys hold the device. Ours
does not, and what it gives loads in 5 ms. JAX offers this through private classes only, so whoever
calls has to be ready to compile instead. JAX's cache keeps what ours does not: programs for several
devices, and those that run once.
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

# What loading raises for bytes that another JAX, or no JAX, has written.
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

# Of each kind of code on disk, all files together.
_MOST_BYTES = 2 << 30


def use_jax_cache(folder: Path | None) -> None:
    """Let JAX keep in `folder` what it compiles from now on, unless the user has named a folder.

    It is set once in a process, and a folder that cannot be written costs the next one time.
    """
    if folder is None or jax_config.compilation_cache_dir.value is not None:
        return
    # Another processor, which may share the folder, would not be told apart by JAX.
    own = folder / "jax" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    _make_room((folder / "jax").glob("*/*-cache"))  # JAX notes no use: those written first go
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(own))


def compile_to_keep(lowered: Any) -> Any:
    """An executable that `to_bytes` takes, which refuses those that JAX's cache has loaded.

    Nothing that is compiled here is written there, so that nothing is ever found there either.
    """
    with jax_config.persistent_cache_min_compile_time_secs(math.inf):
        return lowered.compile()


def to_bytes(compiled: Any) -> bytes:
    """The code of an executable that was compiled, not loaded, for one device."""
    code, _, _ = serialize_executable.serialize(compiled)
    return code


def load(code: bytes, in_tree: Any, out_tree: Any, device: Any) -> Any:
    """What `to_bytes` wrote, as an executable for `device`; the trees are those of `lower`."""
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
    """Compiled code in a folder of the user's; without a folder, it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """The code kept under `key`; None where there is none, or only a damaged file."""
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
        """Keep code under `key`, and delete the code longest unused if there is too much.

        A folder that cannot be written costs the next process time.
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
    """Delete the files longest unused until the rest take at most `_MOST_BYTES`."""
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
    """A name for code: the program's text and all that decides what it is compiled to."""
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
    """The instructions that code compiled here may use."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as file:
        return next((line for line in file if line.startswith(("flags", "Features"))), "")
    return ""
