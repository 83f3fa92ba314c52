"""Which values of static leaves one program serves: `train.merged`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field, model_validator

from hpo.spec.marks import Count, Sizes, Spec, has_leaf, leaf_at, with_leaves
from hpo.spec.sections.model import Activation
from hpo.spec.sections.optimizer import OptimizerSpec, ScheduleSpec

if TYPE_CHECKING:
    from hpo.spec.experiment import Training

_Counts: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]


class Merged(Spec):
    """The values that one compiled program serves, for each leaf that it merges.

    A study writes them into the specs that it exports, because sums of floating-point numbers
    differ in their last bits between programs. Optimizers and schedules stand for all of their
    kind: only which of their numbers are zero matters here. Leaves of one value are not merged.

    A narrower model trains as a wider one whose other weights are zero. Models none of whose layers
    is wider than one of the `bounds` are spared the rest: a branch of the program is that narrow.
    """

    batch_size: _Counts = ()
    """Batch sizes that one program serves."""
    widths: Annotated[tuple[Sizes, ...], Field(strict=False)] = ()
    """Lists of widths that one program serves."""
    dense: _Counts = ()
    """Units of a dense layer that one program serves."""
    activation: Annotated[tuple[Activation, ...], Field(strict=False)] = ()
    """Activations that one program serves."""
    optimizer: Annotated[tuple[OptimizerSpec, ...], Field(strict=False)] = ()
    """Optimizers that one program serves."""
    schedule: Annotated[tuple[ScheduleSpec, ...], Field(strict=False)] = ()
    """Learning-rate schedules that one program serves."""
    bounds: _Counts = ()
    """Widths up to which narrower models have a branch of their own."""

    @model_validator(mode="after")
    def _bounds_rise(self) -> Merged:
        if self.bounds and not self.widths and not self.dense:
            raise ValueError("bounds are of merged sizes: list widths or dense, or leave them out")
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds {list(self.bounds)} do not rise: list each once, in order")
        return self


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
    """The values that programs serve, in a study."""

    merged: Merged

    def of(self, training: Training) -> Training:
        """`training` with the values that its program serves, unless its spec says them."""
        if training.train.merged != "auto" or self == NOTHING:
            return training
        return with_leaves(training, {"train.merged": self.merged})

    def pin(self) -> Mapping[str, Any]:
        """The choice as a study keeps it."""
        return {"merged": self.merged.model_dump(mode="json", exclude_defaults=True)}

    @classmethod
    def from_pin(cls, pin: Mapping[str, Any]) -> Merging:
        """The choice that a study has pinned."""
        return cls(Merged.model_validate(pin["merged"]))


# Not validated, because that would read the registries at import.
NOTHING = Merging(Merged.model_construct())


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
