"""Kills: studies that are killed at any moment, and that `hpo` itself then goes on with.

A moment is a time, a statement of SQL (so that a transaction is open) or an operation on a file (in
start-up, or while a checkpoint is written). After a few kills the same command runs to its end. The
study must then be the one that was never killed: to the bit where sampler and scheduler do not
depend on timing. Elsewhere no stored event may change, and each curve must be the one that its
hparams give in a study that was never killed.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.campaign.attempts import Try
from tests.campaign.forked import Ended, hpo, start, trouble

# Sampler and scheduler, and whether their decisions depend on nothing but the seed.
PAIRS = (
    ("random", "none", True),
    ("random", "hyperband", True),
    ("qmc", "successive_halving", True),
    ("grid", "none", True),
    ("random", "pbt", True),
    ("tpe", "asha", False),
    ("gp", "median", False),
    ("cmaes", "patience", False),
    ("curve_gp", "hyperband", False),
    ("nsga2", "none", False),
)
SETTINGS = ("clock moved by a day", "all lanes NaN", "one trial", "no home")
_MOST_KILLS = 4
_REAL_SHARE = 20  # one study in that many is driven by real processes
_DAY_SECONDS = 86_400.0

Events = list[tuple[Any, ...]]


class Plan(NamedTuple):
    """What is killed: the spec, whether its decisions are certain, and what the process meets."""

    promise: str
    document: dict[str, Any]
    is_certain: bool
    setting: Callable[[random.Random], None] | None = None


class Calm(NamedTuple):
    """A study that was never killed, and what a kill can choose its moment from."""

    events: Events
    best: str
    seconds: float
    statements: int
    operations: int


# The calm studies of this run, by their specs.
_calm: dict[str, Calm] = {}


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Kill a study a few times, let it end, and compare it with a calm one."""
    is_real = number % _REAL_SHARE == _REAL_SHARE - 1
    plan = _plan(number, rng, is_real)
    write_spec(place, plan.document)
    calm = _calm_study(place, plan)
    kills, stored = 0, list[Events]()
    setting = plan.setting and partial(plan.setting, rng)
    for _ in range(rng.randint(1, _MOST_KILLS)):
        killed = _kill_real(place, rng) if is_real else _kill(place, rng, calm, setting)
        if isinstance(killed, Ended):  # the study ended before
            if found := trouble(killed, codes=(0,)):
                yield Try(plan.promise, found)
                return
            break
        kills += 1
        stored.append(events_of(place / "hpo.db"))
    ended = hpo(place, "search", "spec.yaml", "--quiet", setting=setting)
    found = trouble(ended, codes=(0,)) or _difference(place, plan, calm, stored)
    if kills or found:
        yield Try(plan.promise, found, max(kills, 1))


def spec(sampler: str, scheduler: str) -> dict[str, Any]:
    """A spec that trains in no time."""
    space: dict[str, Any] = {
        "model.dropout": {"float": [0.0, 0.5]},
        "optimizer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
    }
    if sampler == "grid":
        space = {"optimizer.learning_rate": {"choice": [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3]}}
    learns = {"startup_trials": 2} if sampler in ("tpe", "gp", "cmaes", "curve_gp") else {}
    settings = {"pbt": {"population": 6, "interval": 1}}.get(scheduler, {})
    return {
        "name": "flowers",
        "data": {"dataset": "iris", "validation": 40, "test": 0, "batch_size": 16},
        "model": {"name": "mlp", "widths": [4], "dropout": 0.1},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "train": {"epochs": 3},
        "space": space,
        "search": {
            "sampler": {"name": sampler, **learns},
            "scheduler": {"name": scheduler, **settings},
            "objective": {"maximize": "accuracy"},
            "baselines": False,
            "trials": 6,
        },
        "study": {"checkpoint_seconds": 0.01},
    }


def write_spec(place: Path, document: dict[str, Any]) -> None:
    """Write `spec.yaml` into a folder."""
    (place / "spec.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def events_of(database: Path) -> Events:
    """The log of the only study in a database: sequence number, trial, kind, epoch and value."""
    if not database.exists():
        return []
    query = "select seq, trial, kind, epoch, value from hpo_events order by seq"
    with (
        suppress(sqlite3.OperationalError),  # no tables yet
        closing(sqlite3.connect(database, timeout=10)) as connection,
    ):
        return connection.execute(query).fetchall()
    return []


def decisions(events: Events) -> Events:
    """What a study has come to: hparams, curves, copies and ends.

    A pause and a promotion tell when a lane was free, which depends on timing.
    """
    found = []
    for _, trial, kind, epoch, value in events:
        if kind in ("report", "exploit", "end"):
            found.append((trial, kind, epoch, value))
        elif kind == "propose":
            found.append((trial, kind, epoch, json.dumps(json.loads(value)["hparams"])))
    return sorted(found, key=repr)


def best_of(place: Path) -> str:
    """The exported winner of a study, without the lines that say when and where."""
    ended = hpo(place, "export", "flowers")
    lines = [line for line in ended.out.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines) or f"nothing: {ended.code} {ended.err}"


def _plan(number: int, rng: random.Random, is_real: bool) -> Plan:
    # The studies of real processes are numbered 19, 39, 59 ..., and must not be all of one pair.
    which = number // _REAL_SHARE if is_real else number
    sampler, scheduler, is_certain = PAIRS[which % len(PAIRS)]
    document, promise = spec(sampler, scheduler), f"kill: {sampler} with {scheduler}"
    if is_real:
        return Plan("kill: processes that a shell starts", document, is_certain)
    # A quarter of the studies meets something else besides.
    what = SETTINGS[number // 4 % len(SETTINGS)] if number % 4 == 3 else ""
    if not what:
        return Plan(promise, document, is_certain)
    promise = f"kill: {what}"
    if what == "clock moved by a day":
        return Plan(promise, document, is_certain, _move_clock)
    if what == "no home":
        return Plan(promise, spec("random", "none"), True, _leave_home)
    if what == "one trial":
        scheduler = document["search"]["scheduler"]
        document["search"] |= {"trials": 1}
        if scheduler["name"] == "pbt":
            document["search"]["scheduler"] = {"name": "none"}
        return Plan(promise, document, is_certain)
    document["optimizer"] = {"name": "sgd", "learning_rate": 1e30}
    document["space"] = {"model.dropout": {"choice": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]}}
    document["search"]["objective"] = {"minimize": "loss"}
    document["search"]["scheduler"] = {"name": "none"}
    document["search"]["sampler"] = {"name": rng.choice(["random", "grid", "tpe"])}
    return Plan(promise, document, document["search"]["sampler"]["name"] != "tpe")


def _calm_study(place: Path, plan: Plan) -> Calm:
    """The same study, never killed, with the number of moments at which it can be killed."""
    key = json.dumps(plan.document)
    if key not in _calm:
        folder = place / "calm"
        folder.mkdir()
        write_spec(folder, plan.document)
        began = time.monotonic()
        counts = folder / "counts"
        ended = hpo(
            folder, "search", "spec.yaml", "--quiet", setting=lambda: _Moments(folder).note(counts)
        )
        seconds = time.monotonic() - began
        if found := trouble(ended, codes=(0,)):
            raise SystemExit(f"a study that nobody kills fails: {plan.document}: {found}")
        statements, operations = map(int, counts.read_text().split())
        events = decisions(events_of(folder / "hpo.db"))
        ends = sum(kind == "end" for _, kind, *_ in events)
        if ends != plan.document["search"]["trials"]:
            raise SystemExit(f"a study that nobody kills has {ends} ends: {plan.document}")
        _calm[key] = Calm(events, best_of(folder), seconds, statements, operations)
    return _calm[key]


def _kill(
    place: Path, rng: random.Random, calm: Calm, setting: Callable[[], None] | None
) -> Ended | None:
    """Start the search and kill it; gives how it ended where it was faster."""
    kind = rng.choice(["time", "time", "statement", "operation"])
    number = rng.randint(1, calm.statements if kind == "statement" else calm.operations)

    def prepare() -> None:
        if setting is not None:
            setting()
        if kind != "time":
            _Moments(place).kill_at(kind, number)

    child = start(place, "search", "spec.yaml", "--quiet", setting=prepare)
    if kind == "time":
        time.sleep(rng.uniform(0, calm.seconds))
        child.kill()
    ended = child.wait()
    return None if ended.code == -signal.SIGKILL and "still running" not in ended.err else ended


def _kill_real(place: Path, rng: random.Random) -> Ended | None:
    """The same with a process of its own, which takes seconds to start."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", "search", "spec.yaml", "--quiet"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Half of them in start-up, half of them once the study trains.
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, 3))
    else:
        count = rng.randint(1, 30)
        while process.poll() is None and len(events_of(place / "hpo.db")) < count:
            time.sleep(0.01)
            if time.monotonic() - began > 120:
                break
    process.kill()
    out, err = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    return Ended(process.returncode, out, err, 0.0)


def _difference(place: Path, plan: Plan, calm: Calm, stored: list[Events]) -> str:
    """How a study differs from what it must be; empty if it does not."""
    events = events_of(place / "hpo.db")
    if broken := not_kept(place, events, stored):
        return broken
    doubled = [e[1:4] for e in events if e[2] == "report"]
    if len(doubled) != len(set(doubled)):
        return "an epoch is stored twice"
    found = decisions(events)
    if lost := lost_reports(events, plan.document["train"]["epochs"]):
        return lost
    if plan.promise == "kill: all lanes NaN" and (well := not_diverged(events)):
        return well
    if plan.is_certain:
        return unequal(place, found, calm.events, calm.best)
    return _unequal_curves(place, plan, found)


def not_kept(place: Path, events: Events, stored: list[Events]) -> str:
    """What is wrong with a log, given what was stored before each kill; empty if nothing."""
    for earlier in stored:
        if events[: len(earlier)] != earlier:
            return "an event that was stored has changed or is lost"
    checked = hpo(place, "check-study", "flowers")
    return f"check-study: {checked.err.strip()[:300]}" if checked.code else ""


def unequal(place: Path, found: Events, calm: Events, best: str) -> str:
    """How decisions and a winner differ from those of a study never killed; empty if not."""
    if found != calm:
        changed = sorted(set(map(repr, found)) ^ set(map(repr, calm)))
        return f"the study differs from one never killed: {changed[:4]}"
    return "" if best_of(place) == best else "the winner differs"


def lost_reports(events: Events, epochs: int) -> str:
    """Which trial has not a report for each epoch up to its end; empty if all have.

    A complete trial has those of all epochs, and another one has none after one that is missing.
    """
    reported: dict[int, list[int]] = {}
    for _, trial, kind, epoch, value in events:
        if kind == "report":
            reported.setdefault(trial, []).append(epoch)
        elif kind == "end" and json.loads(value)["state"] == "complete":
            found = sorted(reported.get(trial, []))
            if found != list(range(1, epochs + 1)):
                return f"trial {trial} is complete with reports of the epochs {found}"
    for trial, found in reported.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            return f"trial {trial} has reports of the epochs {sorted(found)} alone"
    return ""


def not_diverged(events: Events) -> str:
    """Which trial has a finite loss, or another end than a diverged one; empty if none has."""
    ends = {trial: json.loads(value) for _, trial, kind, _, value in events if kind == "end"}
    for trial, end in ends.items():
        if end["state"] != "diverged":
            return f"trial {trial} has not diverged: {end}"
    for _, trial, kind, epoch, value in events:
        loss = json.loads(value)["loss"] if kind == "report" else None
        if isinstance(loss, int | float) and math.isfinite(loss):
            return f"trial {trial} has a finite loss in epoch {epoch}: {value}"
    return ""


def _unequal_curves(place: Path, plan: Plan, found: Events) -> str:
    """Compare the curves with those of a study that is given the same hparams, and never killed."""
    points = {trial: json.loads(v) for trial, kind, _, v in found if kind == "propose"}
    trials = plan.document["search"]["trials"]
    ends = [trial for trial, kind, _, _ in found if kind == "end"]
    if sorted(points) != list(range(trials)) or sorted(ends) != list(range(trials)):
        return f"{len(points)} trials, {len(ends)} of them ended, in place of {trials}"
    folder = place / "again"
    folder.mkdir()
    search = {"sampler": {"name": "random"}, "scheduler": {"name": "none"}}
    search["start"] = [points[number] for number in range(trials)]
    document = plan.document | {"search": plan.document["search"] | search}
    write_spec(folder, document)
    ended = hpo(folder, "search", "spec.yaml", "--quiet")
    if wrong := trouble(ended, codes=(0,)):
        return f"the study of the same hparams: {wrong}"
    oracle = {event[:3]: event[3] for event in decisions(events_of(folder / "hpo.db"))}
    for trial, kind, epoch, value in found:
        if kind in ("propose", "report") and oracle.get((trial, kind, epoch)) != value:
            there = oracle.get((trial, kind, epoch))
            return f"trial {trial}, {kind} {epoch}: {value} in place of {there}"
    return ""


class _Moments:
    """Counts the statements and file operations of this process, and kills it at one of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._counts = {"statement": 0, "operation": 0}
        self._kill_at: tuple[str, int] | None = None
        import sqlalchemy as sa

        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: self._pass("statement"))
        sa.event.listen(sa.Engine, "commit", lambda *_: self._pass("statement"))
        sys.addaudithook(self._audit)

    def kill_at(self, kind: str, number: int) -> None:
        self._kill_at = (kind, number)

    def note(self, file: Path) -> None:
        """Write the counts into a file when the process leaves."""
        leave = os._exit

        def noted(code: int) -> None:
            file.write_text(f"{self._counts['statement']} {self._counts['operation']}")
            leave(code)

        os._exit = noted  # type: ignore[assignment]

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else ""
        # A relative name is one in this folder, or in that of the checkpoints.
        if path and (not Path(path).is_absolute() or path.startswith(self._folder)):
            self._pass("operation")

    def _pass(self, kind: str) -> None:
        self._counts[kind] += 1
        if self._kill_at == (kind, self._counts[kind]):
            os.kill(os.getpid(), signal.SIGKILL)


def _move_clock(rng: random.Random) -> None:
    """Move the wall clock of this process by up to a day, back or forth."""
    moved = rng.choice([-1, 1]) * rng.uniform(0.5, 1) * _DAY_SECONDS
    clock, clock_ns = time.time, time.time_ns
    time.time = lambda: clock() + moved
    time.time_ns = lambda: clock_ns() + int(moved * 1e9)


def _leave_home(rng: random.Random) -> None:
    """Let this process have no home, and so no cache."""
    for name in ("HPO_CACHE", "HPO_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        os.environ.pop(name, None)
    os.environ["HOME"] = "nowhere"
