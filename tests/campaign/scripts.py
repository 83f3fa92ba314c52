"""Kills of a driver that has eight scripts under way, and `hpo resume` after each.

The scripts are deterministic, so each result follows from the hparams and the epoch. The study that
was killed ends as the one that nobody kills. No process of a trial outlives it, and no trial whose
results are stored runs again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.campaign.attempts import Try
from tests.campaign.forked import Child, hpo, start, trouble
from tests.campaign.kills import (
    Events,
    best_of,
    decisions,
    events_of,
    not_kept,
    unequal,
    write_spec,
)

EPOCHS, TRIALS, SLOTS = 4, 12, 8
PROMISE = "kill: driver with 8 scripts under way"
_MOST_KILLS = 4
_ORPHAN_SECONDS = 10.0

# A trial notes its starts and the epochs that it trains; `{report}` tells a result.
_TRAINS = """
echo "$e" >> "$HPO_FOLDER/begun"
while [ "$e" -lt "$HPO_EPOCHS" ]; do
  e=$((e + 1)); sleep 0.03; echo "$e" >> "$HPO_FOLDER/trained"
  {report}
  {save}
done
"""
_SAVE = 'echo "$e" > "$HPO_CHECKPOINT_DIR/n" && mv "$HPO_CHECKPOINT_DIR/n" "$HPO_CHECKPOINT_DIR/e"'
_FROM_CHECKPOINT = 'e=0; [ -f "$HPO_CHECKPOINT_DIR/e" ] && read -r e < "$HPO_CHECKPOINT_DIR/e"'


class Script(NamedTuple):
    """A script, where its results are read, and whether it goes on from a checkpoint."""

    text: str
    results: dict[str, str]
    goes_on: bool


def _script(start: str, report: str, save: str = _SAVE) -> str:
    return start + _TRAINS.replace("{report}", report).replace("{save}", save)


SCRIPTS = (
    Script(_script(_FROM_CHECKPOINT, 'echo "epoch=$e loss=$(($1 * 100 - e))"'), {}, goes_on=True),
    # It counts its results, has no checkpoint and does not end when it is asked to.
    Script(_script("trap '' TERM; e=0", "echo loss=$(($1 * 100 - e))", ""), {}, goes_on=False),
    # It reports in a file, and leaves processes behind in its session and in another one.
    Script(
        _script(
            "sleep 300 & setsid sleep 300 & setsid sh -c 'sleep 300 & sleep 300' & "
            + _FROM_CHECKPOINT,
            'echo "{\\"epoch\\": $e, \\"loss\\": $(($1 * 100 - e))}" >> "$HPO_FOLDER/m.jsonl"',
        ),
        {"file": "m.jsonl"},
        goes_on=True,
    ),
)
# Schedulers whose decisions depend on nothing but results.
SCHEDULERS = ("none", "successive_halving", "hyperband")


class Calm(NamedTuple):
    """A study that nobody kills."""

    events: Events
    best: str
    seconds: float


# The calm studies of this run, by their scripts and schedulers.
_calm: dict[tuple[int, str], Calm] = {}


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Kill the driver a few times, let the study end, and compare it with a calm one."""
    which, scheduler = number % len(SCRIPTS), SCHEDULERS[number // len(SCRIPTS) % len(SCHEDULERS)]
    calm = _calm_study(place, which, scheduler)
    _write(place, which, scheduler)
    kills, stored = 0, list[Events]()
    for _ in range(rng.randint(1, _MOST_KILLS)):
        child = start(place, *_command(place))
        if rng.random() < 0.75:
            _wait_for_scripts(child, place)
            time.sleep(rng.uniform(0, 0.2))
        else:
            time.sleep(rng.uniform(0, calm.seconds))
        child.kill()
        ended = child.wait()
        if ended.code != -signal.SIGKILL:  # the study ended before
            break
        kills += 1
        stored.append(events_of(place / "hpo.db"))
        _note_starts(place, stored[-1])
        if rng.random() < 0.5 and (left := _left_over(place, _ORPHAN_SECONDS)):
            yield Try(PROMISE, f"processes {left} outlive a driver that was killed", kills)
            return
    ended = hpo(place, *_command(place))
    found = trouble(ended, codes=(0,)) or _difference(place, SCRIPTS[which], calm, stored)
    if kills or found:
        yield Try(PROMISE, found, max(kills, 1))


def _write(place: Path, which: int, scheduler: str) -> None:
    script = SCRIPTS[which]
    (place / "train.sh").write_text(script.text)
    write_spec(
        place,
        {
            "name": "flowers",
            "command": {
                "run": "sh train.sh {a}",
                "slots": SLOTS,
                "grace": 0.2,
                "results": script.results,
            },
            "train": {"epochs": EPOCHS},
            "space": {"a": {"int": [1, 999]}},
            "search": {
                "sampler": {"name": "random"},
                "scheduler": {"name": scheduler},
                "objective": {"minimize": "loss"},
                "trials": TRIALS,
            },
        },
    )


def _command(place: Path) -> tuple[str, ...]:
    """Search, and resume once something of the study is stored."""
    if events_of(place / "hpo.db"):
        return ("resume", "flowers", "--quiet")
    return ("search", "spec.yaml", "--quiet")


def _calm_study(place: Path, which: int, scheduler: str) -> Calm:
    key = (which, scheduler)
    if key not in _calm:
        folder = place / "calm"
        folder.mkdir()
        _write(folder, which, scheduler)
        began = time.monotonic()
        ended = hpo(folder, *_command(folder))
        seconds = time.monotonic() - began
        if found := trouble(ended, codes=(0,)):
            raise SystemExit(f"a study that nobody kills fails: {key}: {found}")
        _calm[key] = Calm(decisions(events_of(folder / "hpo.db")), best_of(folder), seconds)
    return _calm[key]


def _wait_for_scripts(child: Child, place: Path) -> None:
    """Wait until all slots have a script, or the study has fewer trials left than slots."""
    until = time.monotonic() + 5
    while time.monotonic() < until and not child.has_ended:
        if len({folder for _, folder in _processes(place)}) >= SLOTS:
            return
        time.sleep(0.02)


def _note_starts(place: Path, events: Events) -> None:
    """Note how often trials that have ended were started until now; the first note stands."""
    for trial in {trial for _, trial, kind, _, _ in events if kind == "end"}:
        folder = _folder(place, trial)
        note, begun = folder / "begun-at-end", folder / "begun"
        if begun.exists() and not note.exists():
            note.write_text(begun.read_text())


def _difference(place: Path, script: Script, calm: Calm, stored: list[Events]) -> str:
    """How a study differs from what it must be; empty if it does not."""
    if left := _left_over(place, 0.0):
        return f"processes {left} outlive the study"
    events = events_of(place / "hpo.db")
    if broken := not_kept(place, events, stored):
        return broken
    found = decisions(events)
    points = {trial: json.loads(value) for trial, kind, _, value in found if kind == "propose"}
    for trial, kind, epoch, value in found:
        if kind == "report" and json.loads(value)["loss"] != points[trial]["a"] * 100 - epoch:
            return f"trial {trial}: {value} after epoch {epoch} with {points[trial]}"
    if differs := unequal(place, found, calm.events, calm.best):
        return differs
    return "".join(_repeated(place, script, trial) for trial in points)


def _repeated(place: Path, script: Script, trial: int) -> str:
    """What a trial has run again although its result was known; empty if nothing."""
    folder = _folder(place, trial)
    begun = (folder / "begun").read_text()
    note = folder / "begun-at-end"
    if note.exists() and note.read_text() != begun:
        return f"trial {trial} is started again after its end. "
    trained = Counter((folder / "trained").read_text().split())
    again = trained.total() - len(trained)
    # An epoch that ends after its report and before its checkpoint is trained twice.
    if script.goes_on and again >= len(begun.split()):
        return f"trial {trial} trains {again} epochs again in {len(begun.split())} starts. "
    return ""


def _folder(place: Path, trial: int) -> Path:
    return place / "hpo.db.trials" / "flowers" / str(trial)


def _left_over(place: Path, seconds: float) -> list[int]:
    """The processes of trials that still run after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        left = sorted(pid for pid, _ in _processes(place))
        if not left or time.monotonic() >= until:
            return left
        time.sleep(0.02)


def _processes(place: Path) -> Iterator[tuple[int, bytes]]:
    """The processes of the trials of a study, with the folders of the trials."""
    start_of = b"HPO_FOLDER=" + os.fsencode(place / "hpo.db.trials")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                for word in (entry / "environ").read_bytes().split(b"\0"):
                    if word.startswith(start_of):
                        yield int(entry.name), word
