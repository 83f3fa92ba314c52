"""The process beside a driver that starts the commands of trials, watches them and ends them.

It speaks JSON lines on its standard input and output. Where the driver is gone, its input ends:
then it kills every command, so that none is left, and keeps the results that they had printed.
If this process is killed, the kernel kills its commands. It imports little.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from hpo.study.executors.process_group import (
    IGNORED,
    adopt_orphans,
    end_orphans,
    reap,
    resident_bytes,
)
from hpo.study.executors.seat import Seat, Settings
from hpo.study.executors.staying import Waiting

_TICK = 0.05  # seconds between two looks at files, limits and patience while commands run
_MEMORY_SECONDS = 0.5  # between two looks at the memory of the trials
_PATIENCE = 15.0  # seconds for another supervisor of the same study to end


# A pool and one of its lanes.
Place: TypeAlias = tuple[int, int]


class Supervisor:
    """The lanes of one driver, each with at most one command at a time."""

    def __init__(self, settings: Settings, source: int, target: int) -> None:
        self._settings, self._source, self._target = settings, source, target
        self._seats: dict[Place, Seat] = {}
        self._waiting: dict[
            Place, Mapping[str, Any]
        ] = {}  # puts for lanes whose command still ends
        self._idle = Waiting()
        self._in, self._out = b"", bytearray()
        self._is_closing = False
        self._memory_due = 0.0
        self._selector = selectors.DefaultSelector()
        self._wake, wakeup = os.pipe()
        for handle in (self._wake, wakeup, source, target):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(source, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def run(self) -> None:
        """Obey the driver until it closes or is gone."""
        try:
            self._watch()
        finally:
            self._idle.close()

    def _watch(self) -> None:
        while not (self._is_closing and not self._seats and not self._out):
            with suppress(InterruptedError):
                self._selector.select(_TICK if self._is_busy else None)
            with suppress(BlockingIOError):
                while os.read(self._wake, 4096):
                    pass
            if not self._hear():
                self._kill()
                return
            for pid, status in reap():
                for seat in self._seats.values():
                    seat.reaped(pid, status)
            self._look()
            self._flush()

    @property
    def _is_busy(self) -> bool:
        return bool(self._out) or any(seat.is_alive for seat in self._seats.values())

    def _hear(self) -> bool:
        """Obey the orders that have come; False once the driver is gone."""
        try:
            while chunk := os.read(self._source, 2**16):
                self._in += chunk
            return False
        except BlockingIOError:
            pass
        *lines, self._in = self._in.split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, order: Mapping[str, Any]) -> None:
        kind, pool = order["order"], order.get("pool", 0)
        place = pool, order.get("lane", -1)
        if kind == "close":
            self._is_closing = True
            self._waiting.clear()
            self._drop(self._seats.values())
        elif kind == "load":
            self._waiting = {at: put for at, put in self._waiting.items() if at[0] != pool}
            self._drop(seat for at, seat in self._seats.items() if at[0] == pool)
        elif kind == "snapshot":
            here = [seat for place, seat in self._seats.items() if place[0] == pool]
            states = [seat.state() for seat in here if not seat.is_leaving]
            states += [_untouched(put) for at, put in self._waiting.items() if at[0] == pool]
            self._say(pool, {"say": "taken", "states": states, "is_snapshot": True})
        elif kind == "put":
            self._waiting[place] = order
        elif place in self._waiting:
            self._change_waiting(place, order)
        elif place in self._seats:
            seat = self._seats[place]
            if kind == "extend":
                seat.extend(order["to_epoch"])
            elif not seat.is_leaving:
                seat.leave(kind)

    def _drop(self, seats: Iterable[Seat]) -> None:
        for seat in seats:
            if not seat.is_leaving:
                seat.leave("drop")

    def _change_waiting(self, place: Place, order: Mapping[str, Any]) -> None:
        """An order for a run whose lane is not free yet."""
        put = self._waiting[place]
        if order["order"] == "extend":
            self._waiting[place] = {**put, "to_epoch": order["to_epoch"]}
            return
        del self._waiting[place]
        if order["order"] == "take":
            self._say(place[0], {"say": "taken", "states": [_untouched(put)], "is_snapshot": False})

    def _look(self) -> None:
        memory = self._memory(time.monotonic())
        for place, seat in list(self._seats.items()):
            for message in seat.look(time.monotonic(), memory):
                self._say(place[0], message)
            if seat.has_left:
                del self._seats[place]
        for place, put in list(self._waiting.items()):
            if place not in self._seats:
                del self._waiting[place]
                seat = self._seats[place] = Seat(put, self._settings, self._selector, self._idle)
                for message in seat.look(time.monotonic(), memory):
                    self._say(place[0], message)

    def _memory(self, now: float) -> Mapping[int, int]:
        """The bytes that each session uses, twice a second where there is a limit; else empty."""
        if self._settings.memory_limit is None or not self._seats or now < self._memory_due:
            return {}
        self._memory_due = now + _MEMORY_SECONDS
        return resident_bytes()

    def _say(self, pool: int, message: Mapping[str, Any]) -> None:
        self._out += json.dumps({**message, "pool": pool}).encode() + b"\n"

    def _flush(self) -> None:
        while self._out:
            try:
                written = os.write(self._target, self._out)
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._kill()
                sys.exit(1)
            del self._out[:written]

    def _kill(self) -> None:
        """The driver is gone: nothing goes on, and results that were printed are kept."""
        for seat in self._seats.values():
            seat.kill()
        while any(seat.has_child for seat in self._seats.values()):
            pid, status = os.waitpid(-1, 0)
            for seat in self._seats.values():
                seat.reaped(pid, status)


def main() -> None:
    """Run as the supervisor of the process that started this one."""
    adopt_orphans()
    settings = Settings(**json.loads(sys.argv[1]))
    lock = _locked(Path(settings.folder))
    try:
        Supervisor(settings, 0, 1).run()
    finally:
        end_orphans()
    os.close(lock)


def _locked(folder: Path) -> int:
    """The lock of a study's folder: commands of a killed driver have ended once it is free."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > until:
                sys.exit(f"{folder}: commands of an earlier run still run: end them first.")
            time.sleep(0.02)


def _untouched(put: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": put["run"], "epoch": put["epoch"], "folder": put["launch"]["folder"]}
