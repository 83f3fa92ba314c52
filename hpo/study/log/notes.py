"""Events about the whole study: what it learnt from other studies, how its ranges moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, TypeAlias

from hpo.space import RangeMove
from hpo.spec.file.passwords import without_password
from hpo.spec.words import count_text
from hpo.trial import HParams, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Move:
    """The range of a dimension changed; see `RangeMove`."""

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
    """What this study learnt from the study at `source`, kept because that may change or vanish.

    `points` are its best configurations, to be tried here. `trials` are those that it trained in
    full, converted to this study. Each has a loss for every epoch of ours, values of our objectives
    where there are several, and violations of our constraints. With `is_comparable`, the sampler
    treats them like our own results, else like those of another problem. `unmeasured` names our
    objectives that it did not measure, because of which it gives no results.
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
        why = f", because it has not measured {' and '.join(self.unmeasured)}"
        return (
            f"From {without_password(self.source)}:"
            f" {count_text(len(self.points), 'configuration')} to try first,"
            f" and {count_text(len(self.trials), 'result')} for the sampler"
            f"{why if self.unmeasured else ''}."
        )


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which numbers of the study's own code are static, with the reasons; the others are knobs.

    They are written as the spec does: `model.rate`, `loss.gamma`.
    """

    kind: ClassVar[str] = "numbers"
    static: Mapping[str, str]

    def to_value(self) -> dict[str, Any]:
        """The note as plain values."""
        return {"static": dict(self.static)}

    def __str__(self) -> str:
        if not self.static:
            return "All numbers of your code are knobs: no value of them compiles a program."
        return " ".join(_static_text(path, why) for path, why in self.static.items())


def _static_text(path: str, why: str) -> str:
    """Why a number of own code is static, and what to do about it."""
    leaf = path.rpartition(".")[2]
    return (
        f"{path} is static, because {why} needs a Python number: each of its values "
        f"compiles a program. Compute with jax.numpy there, or write static: [{leaf}] to keep it."
    )


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision that `train.precision: auto` stands for, and what was measured.

    `program` is the label that the program has in float32. Earlier releases noted one precision for
    the whole study, without one.
    """

    kind: ClassVar[str] = "precision"
    name: str
    why: str
    program: str = ""

    def to_value(self) -> dict[str, Any]:
        """The note as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        whose = f"Trials of program {self.program}" if self.program else "Trials"
        return f"{whose} train in {self.name}: {self.why}."


EXPORTED: Final = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that measures `latency_ms` in the study, and why not the one of exported models.

    One engine measures all trials, since those of several cannot be compared.
    """

    kind: ClassVar[str] = "engine"
    name: str
    why: str = ""

    def to_value(self) -> dict[str, Any]:
        """The note as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.name == EXPORTED:
            return "latency_ms is that of the exported model in onnxruntime, for one row on a CPU."
        return f"latency_ms is that of the model in {self.name}: {self.why.rstrip('.')}."


Note: TypeAlias = Move | Learn | Numbers | Precision | Engine


def decided_engine(notes: Iterable[Note]) -> Engine | None:
    """The engine that a study has decided on, from its notes."""
    return next((note for note in notes if isinstance(note, Engine)), None)


def decided_precision(notes: Iterable[Note]) -> Precision | None:
    """The precision that an earlier release decided on for a whole study, from its notes."""
    return next((n for n in notes if isinstance(n, Precision) and not n.program), None)


def decided_numbers(notes: Iterable[Note]) -> Numbers | None:
    """What a study has decided of the numbers of its own code, from its notes."""
    return next((note for note in notes if isinstance(note, Numbers)), None)


def note_from(kind: str, value: Mapping[str, Any]) -> Note:
    """The note that `to_value` wrote."""
    if kind == Move.kind:
        # Notes of earlier versions lack the range as written in the spec.
        written = value.get("written")
        return Move(RangeMove(**{**value, "written": tuple(written) if written else None}))
    if kind == Numbers.kind:
        return Numbers({str(name): str(why) for name, why in value["static"].items()})
    if kind == Engine.kind:
        return Engine(str(value["name"]), str(value["why"]))
    if kind == Precision.kind:
        program = str(value.get("program", ""))
        return Precision(str(value["name"]), str(value["why"]), program)
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
    # Notes of earlier versions lack both.
    violation: float = 0.0,
    values: Sequence[float] = (),
) -> Trial:
    return Trial(number, hparams, TrialState.COMPLETE, tuple(losses), tuple(values), violation)
