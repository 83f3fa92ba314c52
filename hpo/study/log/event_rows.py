"""Events as rows of the database, and back."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from hpo.engine.programs.plans import Form
from hpo.errors import DamagedError, StudyError
from hpo.spec.merging import check_pin
from hpo.study.log.baseline import Baseline, baseline_from
from hpo.study.log.damage import UNREADABLE, said
from hpo.study.log.events import (
    MERGING,
    Checkpoint,
    Cost,
    Draw,
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
    StopReason,
    Times,
)
from hpo.study.log.notes import Engine, Learn, Move, Numbers, Precision, note_from
from hpo.trial import Exploit, Run, TrialState

# Made once, because `json.dumps` with an option makes a new encoder for every call.
_encode = json.JSONEncoder(allow_nan=False).encode


class EventRow(NamedTuple):
    """An event as the database holds it; `value` is JSON.

    Events of versions before 0.3.0 have no checksum.
    """

    seq: int
    trial: int | None
    kind: str
    epoch: int | None
    value: str
    time_ms: int
    checksum: int | None = None


def checksum(study_id: int, row: EventRow) -> int:
    """The CRC-32 of all fields of an event, and of the study that it belongs to."""
    seq, trial, kind, epoch, value, time_ms, _ = row
    text = f"{study_id} {seq} {trial!r} {kind} {epoch!r} {time_ms} {value}"
    return zlib.crc32(text.encode())


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
        case Draw():
            value = dict(what.values)
        case End():
            value = {"state": str(what.state)}
            value |= {"together": what.together} if what.together else {}
        case Start():
            value = {"driver": dict(what.driver), "differences": list(what.differences)}
        case Stop():
            value = {"reason": what.reason}
        case Pin():
            value = {"program": what.program, "plan": dict(what.plan)}
        case Move() | Learn() | Numbers() | Precision() | Engine() | Baseline():
            value = what.to_value()
        case Times():
            value = {name: dict(seconds) for name, seconds in what.threads.items()}
    return EventRow(event.seq, event.trial, what.kind, epoch, _encode(value), event.time_ms)


def from_rows(rows: Sequence[EventRow], where: str = "the log") -> list[Event]:
    """The events of these rows, which the database `where` holds.

    Raises:
        DamagedError: for an event whose value is not one that hpo stores.
        StudyError: for a kind of event that only a later version knows.
    """
    try:
        # One call of the parser for all rows takes half the time of one call for each.
        values = json.loads(f"[{','.join([row[4] for row in rows])}]")
        return [_event(row, value) for row, value in zip(rows, values, strict=True)]
    except UNREADABLE as error:
        for row in rows:
            try:
                _event(row, json.loads(row.value))
            except UNREADABLE as reason:
                place = f"hpo_events, event {row.seq}"
                raise DamagedError(where, f"{place}: {said(reason)}") from reason
        raise DamagedError(where, f"hpo_events: {said(error)}") from error


def _event(row: EventRow, value: Any) -> Event:
    seq, trial, kind, epoch, _, time_ms, _ = row
    what: Happening
    match kind:
        case "report":
            what = Report(_epoch(epoch), {name: float(number) for name, number in value.items()})
        case "replica":
            reported = {name: float(number) for name, number in value["metrics"].items()}
            what = ReplicaReport(_epoch(epoch), _run(trial, value), reported)
        case "propose":
            what = Propose(_mapping(value["hparams"]), _whole(value["history_seq"]))
        case "pause":
            what = Pause(_epoch(epoch))
        case "promote":
            what = Promote(_epoch(epoch), _whole(value["to_epoch"]))
        case "exploit":
            what = Exploit(_whole(value["source"]), _epoch(epoch), _mapping(value["hparams"]))
        case "checkpoint":
            file, sha256 = _text(value["file"]), _text(value["sha256"])
            what = Checkpoint(_epoch(epoch), file, sha256, _run(trial, value))
        case "cost":
            what = Cost({name: float(number) for name, number in value.items()})
        case "draw":
            what = Draw(_mapping(value))
        case "end":
            what = End(TrialState(value["state"]), _whole(value.get("together", 0)))
        case "start":
            what = Start(_mapping(value["driver"]), tuple(map(_text, value["differences"])))
        case "stop":
            what = Stop(_reason(value["reason"]))
        case "pin":
            what = Pin(_text(value["program"]), _pinned(value["program"], _mapping(value["plan"])))
        case "move" | "learn" | "numbers" | "precision" | "engine":
            what = note_from(kind, value)
        case "baseline":
            what = baseline_from(value)
        case "times":
            what = Times({thread: _seconds(found) for thread, found in value.items()})
        case _:
            raise StudyError(
                f"event {seq} of the study is a '{kind}', which this version of hpo does not know:"
                " update hpo."
            )
    return Event(seq, trial, time_ms, what)


def _run(trial: int | None, value: Any) -> Run:
    """The run of an event: the trial's first one, unless its value says which."""
    # Earlier logs have the number of the seed alone, as `replica`.
    if "run" in value:
        return Run.parse(_text(value["run"]))
    return Run(_whole(trial), _whole(value.get("replica", 0)))


def _epoch(epoch: int | None) -> int:
    if epoch is None:
        raise ValueError("its epoch is missing")
    return epoch


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is not a count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a mapping")
    return value


def _pinned(program: str, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan of a program, or of what programs merge, once it is known to be one."""
    if program == MERGING:
        check_pin(plan)
        _text(plan["why"])
        if type(plan["programs"]) not in (int, float) or not 0 <= plan["programs"] < math.inf:
            raise ValueError(f"{plan['programs']!r} is not a number of programs")
        return plan
    if plan["form"] not in get_args(Form):
        raise ValueError(f"lanes do not run as {plan['form']!r}")
    if not _whole(plan["lanes"]) or not _whole(plan.get("devices", 1)):
        raise ValueError("a plan has at least one lane on one device")
    for name in ("why", "program"):
        _text(plan.get(name, ""))
    return plan


def _reason(value: Any) -> StopReason:
    if value not in get_args(StopReason):
        raise ValueError(f"a study does not stop for {value!r}")
    reason: StopReason = value
    return reason


def _seconds(value: Any) -> dict[str, float]:
    if not all(isinstance(seconds, int | float) for seconds in _mapping(value).values()):
        raise TypeError(f"{value!r} are not seconds")
    return _mapping(value)


def _json_number(number: float) -> float | str:
    # JSON has no infinity and no NaN; Python's `float` reads these words back.
    return number if math.isfinite(number) else str(float(number))
