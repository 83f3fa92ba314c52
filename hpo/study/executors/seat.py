"""A trial of a command in its lane: it trains, waits at a rung, pauses and ends.

It imports little.
"""

from __future__ import annotations

import difflib
import selectors
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpo.study.executors.process_group import ProcessGroup
from hpo.study.executors.record import Record, json_lines
from hpo.study.executors.results import ResultReader
from hpo.study.executors.staying import Waiting

# Where a trial notes the values that it draws itself (`hpo.api.functions.trial`).
DRAWN = "drawn.jsonl"
# A command at its rung may run on for this long, to save its checkpoint, before it is frozen.
_FREEZE_SECONDS = 1.0
# Why a trial leaves its lane: it pauses, has ended, or nobody asks for its state.
Leave = Literal["take", "clear", "drop"]


@dataclass(frozen=True)
class Settings:
    """What all trials of a command have in common; `folder` is that of the study."""

    folder: str
    metrics: Sequence[str]
    grace: float
    log_limit: int
    pattern: str | None = None
    time_limit: float | None = None
    memory_limit: int | None = None


class Seat:
    """The run in a lane. It starts its command when there is something left to train."""

    def __init__(
        self,
        put: Mapping[str, Any],
        settings: Settings,
        selector: selectors.BaseSelector,
        waiting: Waiting,
    ) -> None:
        self._waiting = waiting
        self.run, self._launch, self._settings = put["run"], put["launch"], settings
        self._to_epoch, self._told = put["to_epoch"], put["epoch"]
        self._folder = Path(self._launch["folder"])
        self._checkpoint = Path(self._launch["checkpoint"])
        self._files = [Path(file) for file in self._launch["files"]]
        self._record = Record(self._folder, self._launch["epochs"])
        self._selector = selector
        self._process: ProcessGroup | None = None
        self._reason: str | None = None  # why it failed
        self._is_limit = False  # whether it broke a limit
        self._is_told = False  # whether the driver knows that it failed
        self._has_warned = False  # whether it knows of an epoch that is reported twice
        self._leave: Leave | None = None
        self._kill_at: float | None = None
        self._term_at: float | None = None
        self._frozen_seconds = 0.0
        self._frozen_at: float | None = None
        self._rung_at: float | None = None
        self._drawn_bytes = 0  # of the file of values that the trial drew itself, as told
        self._reported = 0.0  # when it last reported, by the clock of files

    # -- orders -----------------------------------------------------------------------------------

    def extend(self, to_epoch: int) -> None:
        """Let it train on."""
        self._to_epoch = to_epoch
        self._thaw()

    def leave(self, how: Leave) -> None:
        """Take it out of its lane, or end it for good, as soon as its command has ended."""
        self._leave = how
        is_complete = len(self._record.epochs) >= self._record.total
        if not self.is_alive:
            return
        if how == "clear" and is_complete and self._reason is None:
            # It has time to save what it has learnt.
            self._term_at = time.monotonic() + self._settings.grace
            self._thaw()
        elif how == "take" and self._is_about_to_save():
            self._term_at = time.monotonic() + _FREEZE_SECONDS
            self._thaw()
        else:
            self._terminate()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    # -- state ------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether its command runs."""
        return self._process is not None

    @property
    def has_child(self) -> bool:
        """Whether its command has not ended yet."""
        return self._process is not None and self._process.exit_code is None

    @property
    def is_leaving(self) -> bool:
        """Whether it was taken out or cleared."""
        return self._leave is not None

    @property
    def has_left(self) -> bool:
        """Whether its lane is free."""
        return self.is_leaving and not self.is_alive

    def state(self) -> dict[str, Any]:
        """Its state, as far as the driver knows."""
        return {"run": self.run, "epoch": self._told, "folder": str(self._folder)}

    # -- what happens -----------------------------------------------------------------------------

    def look(self, now: float, memory: Mapping[int, int]) -> Iterator[dict[str, Any]]:
        """Start, follow and end the command as time goes on; gives what the driver should know.

        `memory` are the bytes that each session uses, empty where they were not measured.
        """
        if self._process is not None:
            self._listen()
            if self._process.exit_code is None and self._process.has_answered(
                self._settings.memory_limit
            ):
                self._ended()
            self._enforce_limits(now, memory)
            if self._process.exit_code is not None:
                self._note_ending()
        yield from self._reports()
        if self._leave is None and self._process is None and self._has_work:
            self._start(now)
            yield from self._reports()
        self._wait_at_rung(now)
        if self.has_left:
            yield from self._leaving()

    def reaped(self, pid: int, status: int) -> None:
        """A child has ended: note it if it is this one's command."""
        if self._process is not None and self._process.pid == pid:
            self._process.reaped(status)
            self._ended()

    def _ended(self) -> None:
        """Take what is left of the results of a trial that has ended."""
        assert self._process is not None
        self._listen()
        for result in [*self._reader.finish(), *self._file_reader.finish()]:
            self._take(result)
        if self._process.exit_code == 0 and not self.is_leaving and self._reason is None:
            self._record.end()

    @property
    def _has_work(self) -> bool:
        return self._reason is None and len(self._record.epochs) < self._to_epoch

    def _start(self, now: float) -> None:
        self._checkpoint.mkdir(parents=True, exist_ok=True)
        self._record.begin(goes_on=any(self._checkpoint.iterdir()))
        self._reader = ResultReader(self._settings.metrics, self._settings.pattern)
        self._file_reader = ResultReader(self._settings.metrics)
        self._offsets = {file: _size(file) for file in self._files}
        self._marked = self._began = now
        self._frozen_seconds, self._frozen_at = 0.0, None
        self._kill_at = self._term_at = self._rung_at = None
        try:
            self._process = ProcessGroup(self._launch, self._settings.log_limit, self._waiting)
        except OSError as error:
            self._reason = f"cannot be started: {error.strerror or error}: {error.filename}"
            return
        self._selector.register(self._process.output, selectors.EVENT_READ)

    def _listen(self) -> None:
        """Read what the command has printed and written."""
        assert self._process is not None
        was_silent = self._process.is_silent
        for chunk in self._process.read():
            for result in self._reader.feed(chunk):
                self._take(result)
        if self._process.is_silent and not was_silent:
            self._selector.unregister(self._process.output)
        for file, offset in self._offsets.items():
            size = _size(file)
            if size == offset:
                continue
            with suppress(OSError), file.open("rb") as opened:
                opened.seek(offset if size > offset else 0)
                chunk = opened.read(2**24)
                self._offsets[file] = opened.tell()
                for result in self._file_reader.feed(chunk):
                    self._take(result)

    def _take(self, result: Any) -> None:
        assert self._process is not None
        now = time.monotonic()
        active = max(0.0, now - self._marked - self._frozen_seconds)
        self._marked, self._frozen_seconds = now, 0.0
        self._reported = time.time()
        if (note := self._record.take(result, active)) is not None:
            self._process.log.note(note)

    def _enforce_limits(self, now: float, memory: Mapping[int, int]) -> None:
        process, settings = self._process, self._settings
        assert process is not None
        if self._kill_at is not None and now >= self._kill_at:
            process.signal(signal.SIGKILL)
        if self._term_at is not None and (
            now >= self._term_at or (self._leave == "take" and not self._is_about_to_save())
        ):
            self._terminate()
        if self.is_leaving or self._reason is not None or process.exit_code is not None:
            return
        if settings.time_limit is not None and not process.is_frozen:
            spent = self._record.spent + now - self._marked - self._frozen_seconds
            if spent > settings.time_limit:
                self._fail(f"ran for longer than command.time_limit ({settings.time_limit:g} s)")
        used = memory.get(process.pid, 0)
        if settings.memory_limit is not None and used > settings.memory_limit:
            limit = f"{settings.memory_limit / 2**20:,.0f} MiB"
            self._fail(f"used {used / 2**20:,.0f} MiB, above command.memory_limit ({limit})")

    def _is_about_to_save(self) -> bool:
        """Whether it keeps a checkpoint, and has not written one since its last result."""
        written = [_changed(path) for path in self._checkpoint.glob("*")]
        return bool(written) and max(written) < self._reported

    def _fail(self, reason: str) -> None:
        self._reason, self._is_limit = reason, True
        self._terminate()

    def _terminate(self) -> None:
        """Ask the command to end, and kill it once it had its grace."""
        if self._process is not None and self._kill_at is None:
            self._kill_at, self._term_at = time.monotonic() + self._settings.grace, None
            self._process.signal(signal.SIGTERM)
            self._thaw()

    def _wait_at_rung(self, now: float) -> None:
        """Freeze a command that has reached its rung, once it had time to save its checkpoint."""
        process = self._process
        is_there = self._to_epoch <= len(self._record.epochs) < self._record.total
        if process is None or process.is_frozen or self.is_leaving or not is_there:
            self._rung_at = None
        elif self._rung_at is None:
            self._rung_at = now + _FREEZE_SECONDS
        elif now >= self._rung_at:
            self._frozen_at = now
            process.freeze()

    def _thaw(self) -> None:
        self._rung_at = None
        if self._process is not None and self._process.is_frozen:
            if self._frozen_at is not None:
                self._frozen_seconds += time.monotonic() - self._frozen_at
            self._process.thaw()

    def _note_ending(self) -> None:
        """The command has ended: say in the log how, and find out whether it failed."""
        process = self._process
        assert process is not None
        code = process.exit_code or 0
        if self._reason is None and not self.is_leaving:
            if code:
                self._reason = _ending(code) + _quoted(process.log.last_line)
            elif not self._record.epochs:
                self._reason = self._without_result(process.log.last_line)
        process.log.note(_ending(code) if self._reason is None else self._reason)
        if not process.is_silent:
            self._selector.unregister(process.output)
        process.close()
        self._process = None

    def _without_result(self, last_line: str) -> str:
        """Why a command that exited with status 0 failed."""
        name = " and ".join(self._settings.metrics)
        reported = [*self._reader.seen, *self._file_reader.seen]
        names = [seen for seen in dict.fromkeys(reported) if seen.lower() != "epoch"]
        missing = [metric for metric in self._settings.metrics if metric not in names]
        if self._record.beyond:
            return f"ended without a result: {self._record.beyond}: make train.epochs that many"
        if not names or not missing:
            line = f"{self._settings.metrics[0]}=0.31"
            text = f"ended without a result: let it print a line such as {line}"
            return text + _quoted(last_line)
        close = difflib.get_close_matches(missing[0], names, n=1, cutoff=0.5)
        text, instead = f"ended without a result for {name}", f"reported {', '.join(names)}"
        if close:
            return f"{text}. Did you mean {close[0]}? It {instead}"
        return f"{text}: it {instead}; command.results.pattern finds any line"

    def _reports(self) -> Iterator[dict[str, Any]]:
        """The results up to the rung that the driver does not know yet."""
        last = min(self._to_epoch, len(self._record.epochs))
        if self._record.repeated and not self._has_warned and self._leave is None:
            self._has_warned = True
            yield {"say": "repeated", "run": self.run, "what": self._record.repeated}
        if self._leave is None and last > self._told:
            yield from self._drawn()
            epochs = self._record.epochs[self._told : last]
            seconds = sum(self._record.seconds[self._told : last])
            reported = {"say": "reported", "run": self.run, "first": self._told + 1}
            yield {**reported, "epochs": epochs, "seconds": seconds}
            self._told = last
        is_due = self._told == len(self._record.epochs) < self._to_epoch
        if self._reason is not None and is_due and not self._is_told and self._leave is None:
            self._is_told = True
            yield from self._drawn()
            failed = {"say": "failed", "run": self.run, "epoch": self._told + 1}
            yield {**failed, "why": self._reason, "is_limit": self._is_limit}

    def _drawn(self) -> Iterator[dict[str, Any]]:
        """The values that the trial drew itself, where the driver does not know all of them."""
        file = self._folder / DRAWN
        if (size := _size(file)) > self._drawn_bytes:
            self._drawn_bytes = size
            values = {name: one for line in json_lines(file) for name, one in line.items()}
            yield {"say": "drew", "run": self.run, "values": values}

    def _leaving(self) -> Iterator[dict[str, Any]]:
        if self._leave == "take":
            keeps = self._checkpoint.is_dir() and any(self._checkpoint.iterdir())
            yield {"say": "taken", "states": [self.state()], "is_snapshot": False, "keeps": keeps}
        elif self._leave == "clear" and self._told < self._record.total:
            shutil.rmtree(self._checkpoint, ignore_errors=True)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _quoted(line: str) -> str:
    return f": {line}" if line else ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
