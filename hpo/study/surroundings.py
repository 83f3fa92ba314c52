"""What a run takes from its machine and its caller rather than from the spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Surroundings:
    """Where a run keeps and finds things, and how it was asked to run.

    `storage` is the database's URL, `data_home` the folder of named data sets, `cache` that of
    compiled programs, `data_cache` that of preprocessed data sets, `profile` one for a trace.
    `typed` is the folder of notes about commands that the user has typed, and code that ran here.
    `began` is the process's start by `time.monotonic()`. With `starts_over`, an existing study of
    the same name is kept under another name. With `explains`, the run says how it runs programs
    and why. With `trusts_code`, it also runs code that has changed since the study began.
    """

    storage: str
    data_home: Path | None
    cache: Path | None
    device: str | None = None
    starts_over: bool = False
    data_cache: Path | None = None
    profile: Path | None = None
    began: float | None = None
    explains: bool = False
    trusts_code: bool = False
    typed: Path | None = None
