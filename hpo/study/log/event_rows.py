"""Events as rows of the database, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpo.errors import StudyError
from hpo.study.log.events import (
    Checkpoint,
    Cost,
    End,
    Event,
    Happening,
    Pause,
    Pin,
    Promote,
    Propose,
    ReplicaReport,
    Report,
    Start,
    Stop,
    Times,
)
from hpo.study.log.notes import Learn, Move, note_from
from hpo.trial import Exploit, Run, TrialState

# Made once, because `json.dumps` with an option makes a new encoder for every call.
_encode = json.JSONEncoder(allow_nan=False).encode


class EventRow(NamedTuple):
    """An event as the database holds it; `value` is JSON."""

    seq: int
    trial: int | None
    kind: str
    epoch: int | None
    value: str
    time_ms: int


def to_row(event: Event) -> EventRow:
    """An event as the database holds it."""
    what = event.what
    epoch: int | None = None
    value: dict[str, Any] = {}
    match what:
        case Report():
            epoch, value = what.epoch, {k: _json_number(v) for k, v in what.metrics.items()}
        case ReplicaReport():
            reported = {k: _json_number(v) for k, v in what.metrics.items()}
            epoch, value = what.epoch, {"run": what.run.key, "metrics": reported}
        case Propose():
            value = {"hparams": dict(what.hparams), "history_seq": what.history_seq}
        case Pause():
            epoch = what.epoch
        case Promote():
            epoch, value = what.epoch, {"to_epoch": what.to_epoch}
        case Exploit():
            epoch = what.epoch
            value = {"source": what.source, "hparams": dict(what.hparams)}
        case Checkpoint():
            epoch, value = what.epoch, {"file": what.file, "sha256": what.sha256}
            value |= {"run": what.run.key} if what.run != Run(what.run.trial) else {}
        case Cost():
            value = {name: _json_number(cost) for name, cost in what.costs.items()}
        case End():
            value = {"state": str(what.state)}
            value |= {"together": what.together} if what.together else {}
        case Start():
            value = {"driver": dict(what.driver), "differences": list(what.differences)}
        case Stop():
            value = {"reason": what.reason}
        case Pin():
            value = {"program": what.program, "plan": dict(what.plan)}
        case Move() | Learn():
            value = what.to_value()
        case Times():
            value = {name: dict(seconds) for name, seconds in what.threads.items()}
    return EventRow(event.seq, event.trial, what.kind, epoch, _encode(value), event.time_ms)


def from_rows(rows: Sequence[EventRow]) -> list[Event]:
    """The events of these rows.

    Raises:
        StudyError: for a kind of event that only a later version knows.
    """
    # One call of the parser for all rows takes half the time of one call for each.
    values = json.loads(f"[{','.join([row[4] for row in rows])}]")
    return [_event(row, value) for row, value in zip(rows, values, strict=True)]


def _event(row: EventRow, value: Any) -> Event:
    seq, trial, kind, epoch, _, time_ms = row
    what: Happening
    match kind:
        case "report":
            what = Report(_epoch(epoch), {name: float(number) for name, number in value.items()})
        case "replica":
            reported = {name: float(number) for name, number in value["metrics"].items()}
            what = ReplicaReport(_epoch(epoch), _run(trial, value), reported)
        case "propose":
            what = Propose(value["hparams"], value["history_seq"])
        case "pause":
            what = Pause(_epoch(epoch))
        case "promote":
            what = Promote(_epoch(epoch), value["to_epoch"])
        case "exploit":
            what = Exploit(value["source"], _epoch(epoch), value["hparams"])
        case "checkpoint":
            what = Checkpoint(_epoch(epoch), value["file"], value["sha256"], _run(trial, value))
        case "cost":
            what = Cost({name: float(number) for name, number in value.items()})
        case "end":
            what = End(TrialState(value["state"]), value.get("together", 0))
        case "start":
            what = Start(value["driver"], tuple(value["differences"]))
        case "stop":
            what = Stop(value["reason"])
        case "pin":
            what = Pin(value["program"], value["plan"])
        case "move" | "learn":
            what = note_from(kind, value)
        case "times":
            what = Times(value)
        case _:
            raise StudyError(
                f"event {seq} of the study is a '{kind}', which this version of hpo does not know:"
                " update hpo."
            )
    return Event(seq, trial, time_ms, what)


def _run(trial: int | None, value: Any) -> Run:
    """The run of an event: the trial's first one, unless its value says which."""
    assert trial is not None
    # Earlier logs have the number of the seed alone, as `replica`.
    return Run.parse(value["run"]) if "run" in value else Run(trial, value.get("replica", 0))


def _epoch(epoch: int | None) -> int:
    assert epoch is not None
    return epoch


def _json_number(number: float) -> float | str:
    # JSON has no infinity and no NaN; Python's `float` reads these words back.
    return number if math.isfinite(number) else str(float(number))
