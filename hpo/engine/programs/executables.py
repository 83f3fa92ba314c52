"""Compiled code as bytes: kept on disk for the next process, and loaded by all devices of a kind.

The keys of JAX's own cache on disk contain the device, so that each CPU device compiles again. Ours
do not, and an entry loads in 5 ms. JAX offers this through private modules only. They are imported
where they are used, so that a JAX without them costs the cache and nothing else. JAX's cache keeps
the other programs: those for several devices, and those that run once.

The code is in a pickle, and is native code itself. What protects the user is that a run opens only
files that no other user can have written (`hpo.own_files`). Behind that, the unpickler admits only
the names of JAX's format.
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
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import EnumMeta
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.engine.mesh import Place, devices_of
from hpo.own_files import is_own_entry, left_over, own_folder, read_own, say_unusable, write_own

# The most bytes that all files of a cache on disk may take.
_MOST_BYTES = 2 << 30
# What JAX reads in the folder of its cache: its files, and the folders of XLA.
_OF_JAX = ("*-cache", "*-atime", "xla_gpu_*")


def use_jax_cache(folder: Path | None) -> None:
    """Let JAX cache what it compiles in `folder` from now on, unless the user has set a folder.

    It is set once in a process. A folder of the user's is not used if others can write there.
    If the folder cannot be written, the next process compiles again.
    """
    settings: Any = jax.config
    named = settings.jax_compilation_cache_dir
    if named is not None:
        # Of a folder on another machine, nothing can be said.
        if "://" not in named and not _own_jax_folder(Path(named), "JAX_COMPILATION_CACHE_DIR"):
            _leave_jax_cache()
        return
    if folder is None or own_folder(folder) is None or own_folder(folder / "jax") is None:
        return
    # The keys of JAX do not contain the processor, and several machines may share the folder.
    own = folder / "jax" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    used = _own_jax_folder(own, "HPO_CACHE")
    if used is None:
        return
    _make_room((folder / "jax").glob("*/*-cache"))  # JAX records no use, so the oldest are deleted
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_dir", str(used))


def _own_jax_folder(folder: Path, setting: str) -> Path | None:
    """A folder that JAX may use: the user's own, with nothing in it that another user wrote.

    JAX looks at no owner, so entries of others, made while the folder was open, are deleted.
    """
    used = own_folder(folder, setting=setting)
    if used is None:
        return None
    for entry in [found for pattern in _OF_JAX for found in used.glob(pattern)]:
        with suppress(FileNotFoundError):  # another process may have deleted it
            if is_own_entry(entry):
                continue
            try:
                entry.unlink()
            except OSError:
                say_unusable(entry, "may be written by other users", "delete it", setting=setting)
                return None
    return used


def _leave_jax_cache() -> None:
    jax.config.update("jax_compilation_cache_dir", None)
    with suppress(ImportError, AttributeError):
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()  # JAX may have opened it already


def compile_to_keep(lowered: Any) -> Any:
    """An executable for `to_bytes`, which cannot take one that JAX's cache has loaded.

    So JAX's cache is not written here, and never holds this program.
    """
    with _beside_jax_cache():
        return lowered.compile()


def _beside_jax_cache() -> AbstractContextManager[Any]:
    try:
        from jax._src.config import persistent_cache_min_compile_time_secs as least_seconds

        context: AbstractContextManager[Any] = least_seconds(math.inf)
    except (ImportError, AttributeError):
        return nullcontext()
    return context


def to_bytes(compiled: Any) -> bytes:
    """The code of an executable that was compiled, not loaded, for one device."""
    from jax.experimental import serialize_executable

    code, _, _ = serialize_executable.serialize(compiled)
    return code


def load(code: bytes, in_tree: Any, out_tree: Any, device: Any) -> Any:
    """The executable for `device` from the bytes of `to_bytes`; the trees are those of `lower`.

    Bytes that this version of JAX has not written can raise any exception.
    """
    executable, arguments, no_kwargs = _Reader(code, device).load()
    return jax.stages.Compiled(
        executable.load(), [], in_tree.unflatten(arguments), out_tree, no_kwargs=no_kwargs
    )


# The names in the format of JAX 0.10 to 0.12, apart from `builtins.getattr`. Code with other names
# is compiled again by each process.
_ADMITTED = frozenset(
    {
        ("jax", "P"),
        ("jax._src.core", "ManualAxisType"),
        ("jax._src.core", "MemorySpace"),
        ("jax._src.core", "ShapedArray"),
        ("jax._src.interpreters.pxla", "AllArgsInfo"),
        ("jax._src.interpreters.pxla", "UnloadedMeshExecutable"),
        ("jax._src.layout", "AutoLayoutSingleton"),
        ("jax._src.layout", "Layout"),
        ("jax._src.linear_util", "DebugInfo"),
        ("jax._src.mesh", "AbstractMesh"),
        ("jax._src.mesh", "AxisType"),
        ("jax._src.named_sharding", "_unpickle_named_sharding"),
        ("jax._src.sharding_impls", "_unpickle_single_device_sharding"),
        ("jax._src.stages", "ArgInfo"),
        ("jaxlib._jax", "DeviceList"),
        ("numpy", "dtype"),
    }
)


class _Reader(pickle.Unpickler):
    """Reads an executable as if it had been compiled for the one device given."""

    def __init__(self, code: bytes, device: Any) -> None:
        super().__init__(io.BytesIO(code))
        self._device = device

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name, if JAX's format has it.

        Raises:
            UnpicklingError: for any other name.
        """
        if (module, name) == ("builtins", "getattr"):
            return _enum_member
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not in the format of JAX")
        return super().find_class(module, name)

    def persistent_load(self, pid: tuple[Any, ...]) -> Any:
        """The executable, the device or the client that JAX has written as a reference."""
        kind, *rest = pid
        if kind == "exec":
            from jax._src.compiler import get_compile_options
            from jax._src.lib import xla_client  # type: ignore[attr-defined]

            options = get_compile_options(
                num_replicas=1, num_partitions=1, device_assignment=np.array([[self._device.id]])
            )
            devices = xla_client.DeviceList((self._device,))
            return self._device.client.deserialize_executable(rest[0], devices, options)
        if kind not in ("device", "client"):
            raise pickle.UnpicklingError(f"a reference of kind {kind!r} is not in JAX's format")
        return self._device if kind == "device" else self._device.client


def _enum_member(enum: Any, name: str) -> Any:
    """The member of an Enum: JAX's format has no other use for `getattr`, which reaches any code.

    Raises:
        UnpicklingError: for anything else.
    """
    if not isinstance(enum, EnumMeta) or name not in enum.__members__:
        raise pickle.UnpicklingError("only members of an Enum are in the format of JAX")
    return enum.__members__[name]


class CodeCache:
    """A cache of compiled code in a folder; without a folder, it keeps nothing.

    It uses no folder in which other users can write, and no file that is not the user's own.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """The code kept under `key`; None if it is missing, damaged or kept under another key."""
        folder = self._folder and own_folder(self._folder)
        content = folder and read_own(folder / key)
        if not folder or not content:
            return None
        with suppress(OSError):
            os.utime(folder / key)  # the time of its last use
        digest, code = content[:32], content[32:]
        return code if _digest(key, code) == digest else None

    def write(self, key: str, code: bytes) -> None:
        """Keep code under `key`, and delete the least recently used code above the limit.

        If the folder cannot be written, the next process compiles again.
        """
        folder = self._folder and own_folder(self._folder)
        if not folder:
            return
        write_own(folder / key, _digest(key, code) + code)
        with suppress(OSError):
            for file in left_over(folder):
                file.unlink()
            _make_room(p for p in folder.iterdir() if re.fullmatch("[0-9a-f]{64}", p.name))


def _digest(key: str, code: bytes) -> bytes:
    """What a file begins with; the key is in it, so that no file can stand for another one."""
    return hashlib.sha256(key.encode() + b"\0" + code).digest()


def _make_room(files: Iterable[Path]) -> None:
    """Delete the least recently used files until the rest take at most `_MOST_BYTES`."""
    found = []
    for file in files:
        with suppress(OSError):  # another process may have deleted it
            status = file.lstat()
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
        *(["few optimizations"] if _leaves_out_optimizations() else []),
        jax.__version__,
        metadata.version("jaxlib"),
        device.client.platform_version,
        device.device_kind,
        os.environ.get("XLA_FLAGS", ""),
        _processor() if device.platform == "cpu" else "",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _leaves_out_optimizations() -> bool:
    """Whether the user has told JAX to leave out most optimizations."""
    settings: Any = jax.config
    return bool(settings.values.get("jax_disable_most_optimizations"))


def _processor() -> str:
    """The instruction sets of this machine, which compiled code may use."""
    with suppress(OSError), Path("/proc/cpuinfo").open() as file:
        return next((line for line in file if line.startswith(("flags", "Features"))), "")
    return ""
