"""The lease of a study: only one driver holds it, and a driver that has lost it stops.

Every append renews the lease in the same transaction, so that a driver whose study was taken over
cannot write another event.
"""

from __future__ import annotations

import math
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hpo.errors import StudyError
from hpo.study.storage.rows import read_rows
from hpo.study.storage.tables import LEASES, STUDIES, Storage, renew_lease

EXPIRY_SECONDS = (
    60.0  # a driver on another machine counts as gone after this long without a heartbeat
)
RENEW_SECONDS = 5.0
# Clocks of machines differ by minutes. A heartbeat further ahead than this tells nothing of its
# age, so that it is watched: it counts as stale once it has not moved for EXPIRY_SECONDS.
AHEAD_SECONDS = 600.0


class Lease:
    """The right to drive a study, held from `acquire` until `release`."""

    def __init__(
        self, storage: Storage, study_id: int, token: str, clock: Callable[[], float]
    ) -> None:
        self.token = token
        self._storage = storage
        self._study_id = study_id
        self._clock = clock
        self._renewed = clock()

    def renew(self) -> None:
        """Send a heartbeat, at most every few seconds; call it in every round.

        Raises:
            StudyError: if another process has taken the study over.
        """
        now = self._clock()
        if now - self._renewed < RENEW_SECONDS:
            return
        with self._storage.writing() as connection:
            if not renew_lease(connection, self._study_id, self.token, int(now * 1000)):
                raise StudyError(
                    f"another process has taken over the study in {self._storage.where}: this one"
                    " stops."
                )
        self._renewed = now

    def release(self) -> None:
        """Give the lease up."""
        mine = (LEASES.c.study_id == self._study_id) & (LEASES.c.token == self.token)
        with self._storage.writing() as connection:
            connection.execute(sa.delete(LEASES).where(mine))

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(
    storage: Storage,
    study_id: int,
    clock: Callable[[], float] = time.time,
    say: Callable[[str], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Lease:
    """Take the lease of a study, at once if the process that held it no longer runs.

    A process on another machine counts as gone `EXPIRY_SECONDS` after its last heartbeat. If that
    lies far in the future, this call watches for as long whether it moves, and says so by `say`.

    Raises:
        StudyError: while another process drives the study.
    """
    still = _watched(storage, study_id, clock, say, sleep)
    now_ms = int(clock() * 1000)
    token = secrets.token_hex(16)
    mine = {
        "token": token,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()) or "",
        "since_ms": now_ms,
        "heartbeat_ms": now_ms,
    }
    by_study = LEASES.c.study_id == study_id
    with storage.writing() as connection:
        holder = _holder(storage, connection, study_id)
        if holder is not None and holder != still and _may_drive(holder, now_ms):
            raise _refusal(connection, holder)
        # Where transactions may interleave, the key and the token let one of two processes win.
        try:
            if holder is None:
                connection.execute(sa.insert(LEASES).values(study_id=study_id, **mine))
                won = True
            else:
                old = by_study & (LEASES.c.token == holder.token)
                won = connection.execute(sa.update(LEASES).where(old).values(mine)).rowcount == 1
        except sa.exc.IntegrityError:
            won = False
    if not won:
        raise StudyError("another process took the study at the same moment: wait for it.")
    return Lease(storage, study_id, token, clock)


def driver_of(
    storage: Storage, study_id: int, clock: Callable[[], float] = time.time
) -> str | None:
    """The process that drives a study now, such as `process 41 on host`; None if none does."""
    with storage.reading() as connection:
        holder = _holder(storage, connection, study_id)
    if holder is None or not _is_alive(holder, int(clock() * 1000)):
        return None
    return f"process {holder.pid} on {holder.host}"


def process_start(pid: int) -> str | None:
    """When a process of this machine started, by the kernel's clock.

    A process that got the number of an earlier one has another start. None if no process has the
    number; empty if the machine does not tell (no /proc).
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it runs as another user
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # Fields 3 and 22 of proc(5), counted after the name, which may hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, though in a container it may never be collected.
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def _holder(storage: Storage, connection: sa.Connection, study_id: int) -> sa.Row[Any] | None:
    query = sa.select(LEASES).where(LEASES.c.study_id == study_id)
    rows = read_rows(connection, query, LEASES, storage.where)
    return rows[0] if rows else None


def _watched(
    storage: Storage,
    study_id: int,
    clock: Callable[[], float],
    say: Callable[[str], None] | None,
    sleep: Callable[[float], None],
) -> sa.Row[Any] | None:
    """The lease with a heartbeat far in the future that did not move while this watched it."""
    with storage.reading() as connection:
        first = _holder(storage, connection, study_id)
    if first is None or not _is_ahead(first, int(clock() * 1000)):
        return None
    if say is not None:
        say(
            f"Process {first.pid} on {first.host} held the study, by a clock far ahead of this"
            f" one: watching for {EXPIRY_SECONDS:.0f} s whether it still runs."
        )
    for _ in range(math.ceil(EXPIRY_SECONDS / RENEW_SECONDS)):
        sleep(RENEW_SECONDS)
        with storage.reading() as connection:
            if _holder(storage, connection, study_id) != first:
                return None
    return first


def _may_drive(holder: sa.Row[Any], now_ms: int) -> bool:
    """Whether a lease is in the way of another driver, unless it was watched."""
    return _is_ahead(holder, now_ms) or _is_alive(holder, now_ms)


def _is_ahead(holder: sa.Row[Any], now_ms: int) -> bool:
    is_elsewhere = holder.host != socket.gethostname()
    return bool(is_elsewhere and holder.heartbeat_ms - now_ms > AHEAD_SECONDS * 1000)


def _is_alive(holder: sa.Row[Any], now_ms: int) -> bool:
    if holder.host != socket.gethostname():
        age_ms = now_ms - holder.heartbeat_ms
        return bool(-AHEAD_SECONDS * 1000 <= age_ms < EXPIRY_SECONDS * 1000)
    start = process_start(holder.pid)
    return start is not None and bool(start == holder.process_start)


def _refusal(connection: sa.Connection, holder: sa.Row[Any]) -> StudyError:
    name = connection.execute(
        sa.select(STUDIES.c.name).where(STUDIES.c.id == holder.study_id)
    ).scalar_one()
    since = datetime.fromtimestamp(holder.since_ms / 1000).strftime("%H:%M")
    return StudyError(
        f"study '{name}' is being driven by process {holder.pid} on {holder.host} since {since}:"
        " wait for it, or stop it."
    )
