"""An executor whose trials are processes: a lane of a pool runs one command at a time."""

from __future__ import annotations

import json
import math
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hpo
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.stopwatch import Clock, Stopwatch
from hpo.errors import HpoError
from hpo.study.executors.alike import FirstTrials, all_failed, without_figures
from hpo.study.executors.messages import (
    Arrays,
    Copy,
    Drew,
    Load,
    Loaded,
    Message,
    Order,
    ProgramTimes,
    Put,
    Refused,
    Reported,
    Snapshot,
    State,
    Taken,
)
from hpo.study.executors.messages import Failed as ExecutorFailed
from hpo.study.executors.seat import Settings
from hpo.trial import Run

_START = (
    "import sys; sys.path.insert(0, {root!r});"
    " from hpo.study.executors.supervisor import main; main()"
)
_LOOK_SECONDS = 0.1
_MOST_SAID = 5  # sentences about trials that fail


@dataclass(frozen=True)
class Launch:
    """How the command of a trial is started: its words, environment and folders.

    `files` are those in which it may write results; `epochs` is the number of a full trial.
    `stays` are the words of a process that takes several trials.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    folder: str
    checkpoint: str
    files: Sequence[str]
    epochs: int
    shown: str = field(default="")
    stays: Sequence[str] = ()


class ProcessExecutor:
    """Runs commands in the lanes of pools, by a supervisor that outlives this process.

    `launch` makes what a `Put` starts, its folder included; `say` gets messages for the user.
    """

    def __init__(
        self,
        settings: Settings,
        launch: Callable[[Put, Load], Launch],
        say: Callable[[str], None],
        pools: int = 1,
    ) -> None:
        self.pools = pools
        self._settings, self._launch, self._say = settings, launch, say
        self._stopwatch = Stopwatch("idle")
        self._loaded: dict[int, Load] = {}
        self._messages: list[Message] = []
        self._failures = 0
        self._has_said_how_to_pause = self._has_said_drawn = False
        self._has_said_what_repeats = False
        self._first_trials = FirstTrials()
        self._rest = b""
        root = str(Path(hpo.__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(root=root), json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool, carried out in this order."""
        for order in orders:
            match order:
                case Load(program, plans, _):
                    self._loaded[pool] = order
                    self._order(pool, {"order": "load"})
                    self._messages.append(Loaded(pool, program, plans.usual))
                case Put() if order.lane >= self._loaded[pool].plans.usual.lanes:
                    self._messages.append(Refused(pool, (order.run,)))
                case Put():
                    self._order(pool, self._put(order, self._loaded[pool]))
                case Copy():
                    pass  # `hpo check` refuses the schedulers that send it
                case Snapshot():
                    self._order(pool, {"order": "snapshot"})
                case _:
                    self._order(pool, {"order": type(order).__name__.lower(), **asdict(order)})

    def receive(self, timeout_seconds: float) -> list[Message]:
        """Messages of the pools: waits for the first one, then gives all there are."""
        if not self._messages:
            self._read(timeout_seconds)
        while self._read(0):
            pass
        messages, self._messages = self._messages, []
        return messages

    def clocks(self) -> Mapping[str, Clock]:
        """Where the time of each pool went, by the pool's name."""
        return {f"pool {i}": self._stopwatch.read() for i in range(self.pools)}

    def program_times(self) -> ProgramTimes:
        """A command compiles nothing."""
        return ProgramTimes(0, (), ())

    def compiling(self) -> int:
        """A command compiles nothing."""
        return 0

    def close(self, look: Callable[[], None] | None = None) -> None:
        """End every command that is still there, each with its grace."""
        source, target = self._process.stdout, self._process.stdin
        assert source is not None
        assert target is not None
        if source.closed:
            return
        self._order(0, {"order": "close"})
        while self._process.poll() is None:
            self._read(_LOOK_SECONDS)
            if look is not None:
                look()
        while self._read(0):
            pass
        self._selector.close()
        source.close()
        target.close()

    def _put(self, put: Put, loaded: Load) -> dict[str, Any]:
        launch = self._launch(put, loaded)
        epoch = 0 if put.state is None else put.state.epoch
        return {
            "order": "put",
            "lane": put.lane,
            "run": put.run.key,
            "epoch": epoch,
            "to_epoch": put.to_epoch,
            "launch": asdict(launch),
        }

    def _order(self, pool: int, order: Mapping[str, Any]) -> None:
        self._stopwatch.turn_to("training")
        assert self._process.stdin is not None
        text = memoryview(json.dumps({**order, "pool": pool}).encode() + b"\n")
        with suppress(BrokenPipeError):  # its end is seen when messages are read
            while text:
                text = text[os.write(self._process.stdin.fileno(), text) :]

    def _read(self, timeout_seconds: float) -> bool:
        """Read messages of the supervisor; whether there were any."""
        assert self._process.stdout is not None
        if not self._selector.get_map() or not self._selector.select(timeout_seconds):
            return False
        chunk = self._process.stdout.read(2**16)
        if not chunk:
            self._selector.unregister(self._process.stdout)
            if self._process.wait() != 0:
                text = "the process that watches the commands has ended: start the study again."
                self._messages.append(ExecutorFailed(0, HpoError(text)))
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))
        return True

    def _hear(self, message: Mapping[str, Any]) -> None:
        pool = message["pool"]
        match message["say"]:
            case "reported":
                run = Run.parse(message["run"])
                self._first_trials.take(run, None)
                reports = tuple(
                    EpochReport(run, epoch, dict(metrics))
                    for epoch, metrics in enumerate(message["epochs"], start=message["first"])
                )
                seconds = {run: message["seconds"]}
                self._messages.append(Reported(pool, reports, float(len(reports)), seconds))
            case "drew":
                run, values = Run.parse(message["run"]), message["values"]
                self._messages.append(Drew(pool, run, values))
                self._say_drawn(run, values)
            case "failed":
                run, why = Run.parse(message["run"]), message["why"]
                self._fail(pool, run, message["epoch"], why)
                self._stop_if_alike(pool, run, why, is_limit=message["is_limit"])
            case "repeated" if not self._has_said_what_repeats:
                self._has_said_what_repeats = True
                self._say(
                    f"Trial {message['run']}: {message['what']} Report each epoch once, or name "
                    "the line that counts by command.results.pattern."
                )
            case "taken":
                states = tuple(map(_state, message["states"]))
                self._messages.append(Taken(pool, states, is_snapshot=message["is_snapshot"]))
                if states and not message.get("keeps", True):
                    self._say_how_to_pause(states[0])

    def _fail(self, pool: int, run: Run, epoch: int, why: str) -> None:
        """A trial that failed has no numbers: it ends as one that has diverged."""
        metrics = dict.fromkeys(self._settings.metrics, math.nan)
        self._messages.append(Reported(pool, (EpochReport(run, epoch, metrics),), 1.0))
        self._failures += 1
        if self._failures <= _MOST_SAID:
            self._say(f"Trial {run.key} failed: {why}.")
        if self._failures == _MOST_SAID:
            self._say("More trials that fail are not announced: hpo logs STUDY TRIAL shows why.")

    def _say_drawn(self, run: Run, values: Mapping[str, Any]) -> None:
        if not self._has_said_drawn:
            self._has_said_drawn = True
            self._say(
                f"Trial {run.key} draws {' and '.join(values)} at random, because the space has no "
                "value that the call allows. Such values are kept with their trials."
            )

    def _stop_if_alike(self, pool: int, run: Run, why: str, *, is_limit: bool) -> None:
        """End the search once its first trials have all failed in the same way."""
        ending, _, line = why.partition(":")
        # Values may decide how long a trial takes and what memory it uses.
        failure = None if is_limit else ending + without_figures(line)
        if self._first_trials.take(run, failure):
            text = f"{all_failed(f'it {why}')}; hpo logs STUDY TRIAL shows the output."
            self._messages.append(ExecutorFailed(pool, HpoError(text)))

    def _say_how_to_pause(self, state: State) -> None:
        if not self._has_said_how_to_pause and state.epoch > 0:
            self._has_said_how_to_pause = True
            self._say(
                f"Trial {state.run.key} pauses without a checkpoint, so it starts again from its "
                "first epoch if it goes on. Save one in $HPO_CHECKPOINT_DIR after each epoch, and "
                "load it at the start, to save that time."
            )


def folder_of(state: State) -> str:
    """The folder of the trial that a state is of."""
    return bytes(np.asarray(state.arrays["folder"])).decode()


def _state(given: Mapping[str, Any]) -> State:
    folder: Arrays = {"folder": np.frombuffer(given["folder"].encode(), np.uint8)}
    return State(Run.parse(given["run"]), given["epoch"], 0, folder)
