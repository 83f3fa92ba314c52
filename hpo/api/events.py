"""The events of a running study, as `hpo.search(..., stream=True)` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from hpo.trial import HParams


@dataclass(frozen=True, slots=True)
class Started:
    """A run of the study begins.

    `metric` is that of the first objective. The spec asks for `trials` in all, of which earlier
    runs began `known`. A trial's full budget is `epochs`.
    """

    kind: ClassVar[Literal["started"]] = "started"
    study: str
    metric: str
    trials: int
    epochs: int
    known: int


@dataclass(frozen=True, slots=True)
class Proposed:
    """A trial begins with these `hparams`; under `pbt` it may also go on with new ones."""

    kind: ClassVar[Literal["proposed"]] = "proposed"
    trial: int
    hparams: HParams


@dataclass(frozen=True, slots=True)
class Reported:
    """A trial's validation metrics after `epoch` (1 is the first); NaN or infinite if it diverged.

    With several seeds they are means.
    """

    kind: ClassVar[Literal["reported"]] = "reported"
    trial: int
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial will not train again.

    `state` is complete, pruned, diverged or infeasible, `epochs` its budget. `value` is the first
    objective in the metric's own units; None without a finite result.
    """

    kind: ClassVar[Literal["ended"]] = "ended"
    trial: int
    state: str
    epochs: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Best:
    """This trial is the best of those trained in full that keep the constraints."""

    kind: ClassVar[Literal["best"]] = "best"
    trial: int
    value: float
    hparams: HParams


@dataclass(frozen=True, slots=True)
class Said:
    """A message for the user, one line."""

    kind: ClassVar[Literal["said"]] = "said"
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over; the last event.

    `reason` is `finished`, `exhausted`, `none_found`, `target`, `no_improvement` or `epochs` if the
    study is done, and `timeout` or `interrupted` if it can go on. `trials` is the number of trials
    that have begun, `epochs` that of all epochs trained, in all runs and over all seeds.
    """

    kind: ClassVar[Literal["finished"]] = "finished"
    study: str
    reason: str
    trials: int
    epochs: int


Event: TypeAlias = Started | Proposed | Reported | Ended | Best | Said | Finished

_KINDS: dict[str, type[Event]] = {
    kind.kind: kind for kind in (Started, Proposed, Reported, Ended, Best, Said, Finished)
}


def to_document(event: Event) -> dict[str, Any]:
    """An event as plain values, its kind first."""
    return {"kind": event.kind, **asdict(event)}


def from_document(document: Mapping[str, Any]) -> Event:
    """The event that plain values hold."""
    fields = dict(document)
    return _KINDS[fields.pop("kind")](**fields)
