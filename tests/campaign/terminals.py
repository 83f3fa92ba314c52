"""Terminals and streams of every kind: narrow, in other encodings, closed, full, with no reader.

What cannot be written changes neither a run nor its exit code.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.campaign.attempts import Try
from tests.campaign.forked import Ended, start, trouble
from tests.campaign.samples import copy_finished, finished, model_results, results, write_inputs

COMMANDS = (
    *(("search", "spec.yaml"), ("search", "spec.yaml"), ("search", "spec.yaml", "--quiet")),
    *(("resume", "flowers"), ("list",), ("show", "flowers"), ("show", "flowers", "--json")),
    *(("export", "flowers"), ("check", "spec.yaml"), ("check", "spec.yaml", "--full"), ("schema",)),
    *(("train", "single.yaml", "-o", "new"), ("--help",), ("data", "list"), ("--version",)),
)
COLUMNS = (0, 1, 20, 40, 80, 1_000)
ENCODINGS = ("utf-8", "latin-1", "ascii")
STREAMS = ("file", "terminal", "closed", "full", "no reader")
_NO_READER = 141


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Run one command with one kind of stdout, stderr and terminal."""
    command = COMMANDS[number % len(COMMANDS)]
    if command[0] == "search":
        write_inputs(place)
        finished(place.parent)
    else:
        copy_finished(place)
    # Half of them can all be written, and most of these go to a terminal.
    streams = STREAMS if rng.random() < 0.5 else ("file", "terminal", "terminal")
    out, err = rng.choice(streams), rng.choice(streams)
    columns, encoding = rng.choice(COLUMNS), rng.choice(ENCODINGS)
    terminal = rng.choice(["xterm-256color", "dumb", "", "nonsense"])
    master, slave = os.openpty()
    os.set_blocking(master, False)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def setting() -> None:
        os.environ["TERM"] = terminal
        os.environ.pop("COLUMNS", None)
        _encode(encoding)
        for number, kind in ((1, out), (2, err)):
            _redirect(number, kind, slave)

    child = start(place, *command, setting=setting)
    os.close(slave)
    shown = bytearray()
    ended = child.wait(watch=lambda: shown.extend(_read(master)))
    shown += _read(master)
    os.close(master)
    what = f"{' '.join(command)}, stdout {out}, stderr {err}, {columns} columns, {encoding}"
    wrong = _wrong(command, out, ended, shown.decode(encoding, "replace"))
    is_search = command[0] in ("search", "resume")
    if not wrong and is_search and results(place) != results(finished(place.parent)):
        wrong = "other results"
    if not wrong and command[0] == "train":
        calm = model_results(finished(place.parent) / "model")
        wrong = "" if model_results(place / "new") == calm else "another model"
    yield Try(promise(out, err, encoding), wrong and f"{what}: {wrong}")


def promise(out: str, err: str, encoding: str) -> str:
    """The promise that these streams try; columns matter only where one is a terminal."""
    if {out, err} & {"closed", "full", "no reader"}:
        return "terminal: output closed, full or without a reader"
    where = "0 to 1,000 columns" if "terminal" in (out, err) else "output into files"
    return f"terminal: {where}" if encoding == "utf-8" else f"terminal: {where}, latin-1 or ASCII"


def _wrong(command: tuple[str, ...], out: str, ended: Ended, shown: str) -> str:
    plain = Ended(ended.code, "", ended.err, ended.cpu_seconds)  # a terminal gets escapes
    if "Traceback" in shown:
        return f"traceback: {shown[-300:]!r}"
    is_run = command[0] in ("search", "resume", "train")
    if out in ("file", "terminal") or is_run:
        return trouble(plain, codes=(0,))
    if ended.code == 2:  # said on stderr, if that can be written
        return trouble(plain) if ended.err else ""
    return trouble(plain, codes=(0, _NO_READER))


def _encode(encoding: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding)  # type: ignore[union-attr]


def _redirect(number: int, kind: str, terminal: int) -> None:
    if kind == "closed":
        os.close(number)
        name = {1: "stdout", 2: "stderr"}[number]
        # Python has no stream where a descriptor is closed.
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
    elif kind == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    elif kind == "no reader":
        reading, writing = os.pipe()
        os.dup2(writing, number)
        os.close(writing)
        os.close(reading)
    elif kind == "terminal":
        os.dup2(terminal, number)


def _read(master: int) -> bytes:
    with suppress(OSError):  # nothing there now, or nobody writes any more
        return os.read(master, 65_536)
    return b""
