"""Which values of static leaves one program serves: `train.merged`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field

from hpo.spec.marks import Count, Sizes, Spec, has_leaf, leaf_at, with_leaves
from hpo.spec.model import Activation
from hpo.spec.optimizer import OptimizerSpec, ScheduleSpec

if TYPE_CHECKING:
    from hpo.spec.experiment import Training

_Counts: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]


class Merged(Spec):
    """The values that one compiled program serves, for each leaf that it merges.

    A study writes them into the specs that it exports, because sums of floating-point numbers
    differ in their last bits between programs. Optimizers and schedules stand for all of their
    kind: only which of their numbers are zero matters here. Leaves of one value are not merged.
    """

    batch_size: _Counts = ()
    widths: Annotated[tuple[Sizes, ...], Field(strict=False)] = ()
    dense: _Counts = ()
    activation: Annotated[tuple[Activation, ...], Field(strict=False)] = ()
    optimizer: Annotated[tuple[OptimizerSpec, ...], Field(strict=False)] = ()
    schedule: Annotated[tuple[ScheduleSpec, ...], Field(strict=False)] = ()


# The leaf, or the part, that each field of `Merged` is about. Outer parts come after inner ones.
MERGEABLE: dict[str, str] = {
    "batch_size": "data.batch_size",
    "widths": "model.widths",
    "dense": "model.dense",
    "activation": "model.activation",
    "schedule": "optimizer.schedule",
    "optimizer": "optimizer",
}


@dataclass(frozen=True)
class Merging:
    """The values that programs serve, in a study; `by_size`: widths of a power of two together."""

    merged: Merged
    by_size: bool = False

    def of(self, training: Training) -> Training:
        """`training` with the values that its program serves, unless its spec says them."""
        if training.train.merged != "auto" or self == NOTHING:
            return training
        merged = self.merged
        if self.by_size:
            merged = merged.model_copy(
                update={
                    field: tuple(v for v in getattr(merged, field) if _bucket(v) == _bucket(own))
                    for field, own in sizes_of(training)
                }
            )
        return with_leaves(training, {"train.merged": merged if merged != Merged() else "none"})

    def pin(self) -> Mapping[str, Any]:
        """The choice as a study keeps it."""
        merged = self.merged.model_dump(mode="json", exclude_defaults=True)
        return {"merged": merged, "by_size": self.by_size}

    @classmethod
    def from_pin(cls, pin: Mapping[str, Any]) -> Merging:
        """The choice that a study has pinned."""
        return cls(Merged.model_validate(pin["merged"]), pin["by_size"])


NOTHING = Merging(Merged())


def served(training: Training) -> dict[str, tuple[Any, ...]]:
    """The values that the program of a training may serve, by the path of the leaf or part."""
    listed = training.train.merged
    if not isinstance(listed, Merged):
        return {}
    found = {
        path: getattr(listed, field)
        for field, path in MERGEABLE.items()
        if getattr(listed, field) and has_leaf(training, path)
    }
    if getattr(training.model, "norm", None) == "batch":
        # A batch norm's statistics are those of a whole batch, and of layers that are there.
        found.pop(MERGEABLE["batch_size"], None)
        path = MERGEABLE["widths"]
        if path in found:
            depth = len(leaf_at(training, path))
            found[path] = tuple(widths for widths in found[path] if len(widths) == depth)
    return found


def sizes_of(training: Training) -> Iterator[tuple[str, Any]]:
    """The sizes of a training's model that programs can merge."""
    for field in ("widths", "dense"):
        if has_leaf(training, MERGEABLE[field]):
            yield field, leaf_at(training, MERGEABLE[field])


def _bucket(size: int | tuple[int, ...]) -> int:
    """Equal for sizes that have the same power of two as the next above the largest."""
    return ((max(size) if isinstance(size, tuple) else size) - 1).bit_length()
