"""Events that are about the whole study: what it learnt of others, how its ranges moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from hpo.space import RangeMove
from hpo.spec.words import count_text
from hpo.trial import HParams, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Move:
    """A dimension's range became another; see `RangeMove` for what it says."""

    kind: ClassVar[str] = "move"
    move: RangeMove

    def to_value(self) -> dict[str, Any]:
        """The note as plain values."""
        return asdict(self.move)

    def __str__(self) -> str:
        move = self.move
        bounds = f"{move.low:.6g} to {move.high:.6g}"
        when = f"after {count_text(move.trials, 'trial')}"
        return f"{move.path} ranges from {bounds} {when}: {move.reason}."


@dataclass(frozen=True, slots=True)
class Learn:
    """What the study at `source` tells this one; kept, for that study may change or go.

    `points` are its best configurations, to be tried here; `trials` those that trained in full, in
    the terms of this one, with a loss for each of our epochs, the values of our objectives where
    there are several, and by how much each breaks our constraints. They stand beside ours where
    `is_comparable`; else they are of another problem. Of several objectives, those that are
    `unmeasured` there are why it has no results for us.
    """

    kind: ClassVar[str] = "learn"
    source: str
    is_comparable: bool
    points: tuple[HParams, ...]
    trials: tuple[Trial, ...]
    unmeasured: tuple[str, ...] = ()

    def to_value(self) -> dict[str, Any]:
        """The note as plain values."""
        return {
            "source": self.source,
            "is_comparable": self.is_comparable,
            "points": [dict(point) for point in self.points],
            "trials": [
                [t.number, dict(t.hparams), list(t.losses), t.violation, list(t.values)]
                for t in self.trials
            ],
            "unmeasured": list(self.unmeasured),
        }

    def __str__(self) -> str:
        why = f", for it has not measured {' and '.join(self.unmeasured)}"
        return (
            f"From {self.source}: {count_text(len(self.points), 'configuration')} to try first,"
            f" and {count_text(len(self.trials), 'result')} for the sampler"
            f"{why if self.unmeasured else ''}."
        )


Note: TypeAlias = Move | Learn


def note_from(kind: str, value: Mapping[str, Any]) -> Note:
    """The note that `to_value` wrote."""
    if kind == Move.kind:
        # The written range is missing in what earlier versions wrote.
        written = value.get("written")
        return Move(RangeMove(**{**value, "written": tuple(written) if written else None}))
    return Learn(
        value["source"],
        value["is_comparable"],
        tuple(value["points"]),
        tuple(_result(*plain) for plain in value["trials"]),
        tuple(value.get("unmeasured", ())),
    )


def _result(
    number: int,
    hparams: HParams,
    losses: Sequence[float],
    # Both are missing in what earlier versions wrote.
    violation: float = 0.0,
    values: Sequence[float] = (),
) -> Trial:
    return Trial(number, hparams, TrialState.COMPLETE, tuple(losses), tuple(values), violation)
