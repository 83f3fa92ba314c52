"""Traces a run with JAX's profiler."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import jax

from hpo.errors import HpoError

# Enough for many rounds; a second of small operations can fill tens of megabytes.
_SECONDS = 3.0


class Profile:
    """Traces a few seconds after the first epoch, when the first program has been compiled."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpoError(
                f"--profile {folder}: cannot be made ({error.strerror}): give another folder."
            ) from error
        self._folder, self._say = folder, say
        self._began: float | None = None
        self._is_over = False

    def look(self, has_trained: bool) -> None:
        """Start or end the trace when it is time."""
        if self._is_over or not has_trained:
            return
        if self._began is None:
            options = jax.profiler.ProfileOptions()
            # Tracing every Python call would fill the trace and slow the run down.
            options.python_tracer_level = 0
            jax.profiler.start_trace(
                self._folder, create_perfetto_trace=True, profiler_options=options
            )
            self._began = time.monotonic()
        elif time.monotonic() - self._began >= _SECONDS:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._began is None:
            self._say(f"--profile {self._folder}: no epoch has ended, so nothing was traced.")
        elif not self._is_over:
            self._end()

    def _end(self) -> None:
        assert self._began is not None
        self._is_over = True
        seconds = time.monotonic() - self._began
        jax.profiler.stop_trace()
        newest = max(self._folder.rglob("perfetto_trace.json.gz"), key=lambda f: f.stat().st_mtime)
        self._say(
            f"{seconds:.1f} seconds from the first epoch on are traced: open {newest} at "
            f"ui.perfetto.dev, or run `tensorboard --logdir {self._folder}` (plugin: xprof)."
        )
