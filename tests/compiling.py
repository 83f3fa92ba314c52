"""How XLA compiles in tests: quickly, but as for users in tests marked `optimized`.

Most programs of tests run for milliseconds. Compiled as for users they take XLA seconds, compiled
quickly a fifth of that. Lanes of one program still learn the same bits as alone. Programs that
differ, and processes that compile otherwise, may differ in rounding.
"""

from __future__ import annotations

import functools
import os
import threading
from importlib import import_module, metadata
from typing import Any

_FEW_OPTIMIZATIONS = "JAX_DISABLE_MOST_OPTIMIZATIONS"
# The newer way to generate code for a fusion of operations. XLA ends the process for a flag that it
# does not know, as that of JAX 0.12 does not know this one.
_EMITTERS = "xla_cpu_use_fusion_emitters"
# XLA generates the code of a program in 32 parts in threads, which costs small programs more than
# it brings: a fifth of the time of tests that compile.
_PARTS = "xla_cpu_parallel_codegen_split_count"
_USERS_PARTS = 32
_HAS_FLAGS = tuple(int(part) for part in metadata.version("jaxlib").split(".")[:2]) < (0, 11)
# These passes move work out of loops, which pays in loops that run for long. Without them XLA
# compiles large programs in four fifths of the time.
_WITHOUT = "xla_disable_hlo_passes"
_QUICK_FLAGS = f" --{_WITHOUT}=while-loop-invariant-code-motion,simplify-while-loops"
_QUICK_FLAGS += f" --{_EMITTERS}=false --{_PARTS}=1" if _HAS_FLAGS else ""
# The processes of pytest-xdist inherit what the first process has set.
_USERS_FLAGS = os.environ.get("XLA_FLAGS", "").replace(_QUICK_FLAGS, "")
# With 0 in the environment, every test compiles as for users.
_MAY_BE_QUICK = os.environ.get(_FEW_OPTIMIZATIONS, "1") == "1"


def _set_environment(is_quick: bool) -> None:
    """Set how the processes that tests start compile."""
    os.environ[_FEW_OPTIMIZATIONS] = str(int(is_quick))
    os.environ["XLA_FLAGS"] = _USERS_FLAGS + _QUICK_FLAGS * is_quick


def begin() -> None:
    """Compile quickly from now on; call it before JAX is imported."""
    if _MAY_BE_QUICK:
        _set_environment(is_quick=True)


def choose(*, is_quick: bool) -> None:
    """Compile quickly or as for users, in this process and those that it starts."""
    if not _MAY_BE_QUICK:
        return
    jax, compiler = import_module("jax"), import_module("jax._src.compiler")
    _choose_contexts(is_quick=is_quick)
    made = _read_flags()
    if jax.config.read(_FEW_OPTIMIZATIONS.lower()) == is_quick:
        return

    def as_for_users(*arguments: Any, **named: Any) -> Any:
        options = made(*arguments, **named)
        theirs: list[tuple[str, Any]] = [(_WITHOUT, "none")]  # no pass has that name
        if _HAS_FLAGS:
            theirs += [(_EMITTERS, True), (_PARTS, _USERS_PARTS)]
        options.env_option_overrides = [*options.env_option_overrides, *theirs]
        return options

    compiler.get_compile_options = made if is_quick else as_for_users
    jax.config.update(_FEW_OPTIMIZATIONS.lower(), is_quick)
    jax.clear_caches()
    _set_environment(is_quick)


@functools.cache
def _read_flags() -> Any:
    """JAX's own function for the options of a compile; XLA reads its flags at the first call."""
    made = import_module("jax._src.compiler").get_compile_options
    made(num_replicas=1, num_partitions=1)
    return made


# How many programs may be lowered in one context, which keeps the constants of all of them.
_MOST_USES = 200


def _choose_contexts(*, is_quick: bool) -> None:
    """Lower many programs in one context of MLIR, or each in its own as for users.

    JAX makes one for each program, and for each operation outside of programs: that takes as long
    as all else that is done to lower an operation.
    """
    mlir = import_module("jax._src.interpreters.mlir")
    made, shared = _contexts()
    if made is not None:
        mlir.make_ir_context = shared if is_quick else made


@functools.cache
def _contexts() -> tuple[Any, Any]:
    """JAX's own function for a new context, and one that gives a thread the same for long."""
    made = getattr(import_module("jax._src.interpreters.mlir"), "make_ir_context", None)
    kept = threading.local()  # a context that loads what it needs must not be in use elsewhere

    def one_of_this_thread() -> Any:
        if getattr(kept, "uses", _MOST_USES) >= _MOST_USES:
            kept.context, kept.uses = made(), 0
        kept.uses += 1
        return kept.context

    return made, one_of_this_thread
