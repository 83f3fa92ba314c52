"""The values of static leaves that one program serves: `train.merged`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from operator import le
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import Field, ValidationError, model_validator

from hpo.errors import SpecError
from hpo.spec.marks import Count, Merge, Sizes, Spec, has_leaf, leaf_at, merge_of, with_leaves
from hpo.spec.registered import needs_of
from hpo.spec.schema import all_leaves, leaves_at
from hpo.spec.sections.models.parts import Activation
from hpo.spec.sections.optimizer import OptimizerSpec, ScheduleSpec
from hpo.spec.techniques.used import needs_of_all

if TYPE_CHECKING:
    from hpo.spec.experiment import Training

_Counts: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]


@dataclass(frozen=True)
class UpTo:
    """Any list of layers up to these `sizes`, and no shorter than `fewest`, which a program serves.

    Within a program, `own` are the sizes of the trial's layers, the last one repeated, and `depth`
    is their number.
    """

    sizes: tuple[int, ...]
    fewest: int = 1
    own: Any = None
    depth: Any = None

    def holds(self, sizes: tuple[int, ...]) -> bool:
        """Whether a program that serves these serves that list."""
        is_deep = self.fewest <= len(sizes) <= len(self.sizes)
        return is_deep and all(map(le, sizes, self.sizes))

    def below(self, bound: float) -> UpTo:
        """The same without layers wider than `bound`."""
        return replace(self, sizes=tuple(int(min(size, bound)) for size in self.sizes))


class Merged(Spec):
    """The values that one compiled program serves, for each leaf that it merges.

    A study writes them into the specs that it exports, because sums of floating-point numbers
    differ in their last bits between programs. Optimizers and schedules stand for all of their
    kind: only which of their numbers are zero matters here. Leaves of one value are not merged.

    A narrower model trains as a wider one whose other weights are zero. Models that fit within one
    of the `bounds` train in a branch of the program with arrays of that width.
    """

    may_vary: ClassVar[bool] = False

    batch_size: _Counts = ()
    """Batch sizes that one program serves."""
    widths: Annotated[tuple[Sizes, ...], Field(strict=False)] = ()
    """Lists of widths that one program serves."""
    widest: _Counts = ()
    """The widest layers of one program, which serves all lists of widths up to them."""
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
        if self.bounds and not (self.widths or self.widest or self.dense):
            raise ValueError(
                "bounds apply to merged sizes: list widths or dense, or leave them out"
            )
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds {list(self.bounds)} do not rise: list each once, in order")
        if self.widths and self.widest:
            raise ValueError("widths and widest both merge model.widths: leave one out")
        return self


# The path of the sizes that `Merged.widest` is about, and that of the optimizer.
WIDTHS, _OPTIMIZER = "model.widths", "optimizer"


@cache
def mergeable() -> dict[str, str]:
    """The leaf, or the part, that each field of `Merged` is about, by the marks of the specs.

    Inner parts come before outer ones.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    sections, kinds = list(_training().model_fields), list(Merge)
    for path, leaf in all_leaves(_training()):
        how, field = merge_of(leaf.owner, leaf.field), leaf.field
        if how is not None and field in Merged.model_fields:
            section = sections.index(path.partition(".")[0])
            found[field] = (section, -path.count("."), kinds.index(how)), path
    return {field: path for field, (_, path) in sorted(found.items(), key=lambda item: item[1])}


def how_merged(training: Training, path: str) -> Merge | None:
    """How the program of a training serves several values of a leaf; None where it cannot."""
    outer, _, field = path.rpartition(".")
    if outer and not has_leaf(training, outer):
        return None
    owner: Any = leaf_at(training, outer) if outer else training
    kind: type[Spec] = type(owner)
    return merge_of(kind, field) if field in kind.model_fields else None


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
        """The choice that a study has pinned.

        Raises:
            SpecError: for names that are unknown here.
        """
        try:
            return cls(Merged.model_validate(pin["merged"]))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("merged", *first["loc"])))
            raise SpecError([f"the pinned {where}: {first['msg']}"]) from error


def check_pin(pin: Mapping[str, Any]) -> None:
    """Refuse a pin that is none; names that only its author has registered may stand in it.

    Raises:
        ValueError: with what is wrong first.
    """
    try:
        Merged.model_validate(pin["merged"])
    except ValidationError as error:
        for found in error.errors():
            if found["type"] != "union_tag_invalid":
                where = ".".join(map(str, ("merged", *found["loc"])))
                raise ValueError(f"{where}: {found['msg']}") from error


# Not validated, because that would read the registries at import.
NOTHING = Merging(Merged.model_construct())


def served(training: Training) -> dict[str, tuple[Any, ...]]:
    """The values that the program of a training may serve, by the path of the leaf or part."""
    listed = training.train.merged
    if not isinstance(listed, Merged):
        return {}
    found = {
        path: getattr(listed, field)
        for field, path in mergeable().items()
        if getattr(listed, field) and how_merged(training, path) is not None
    }
    if listed.widest and how_merged(training, WIDTHS) is not None:
        found[WIDTHS] = (UpTo(listed.widest),)
    needs = needs_of_all(training)
    if _stands_apart(training.optimizer):
        found.pop(_OPTIMIZER, None)
    elif _OPTIMIZER in found:
        found[_OPTIMIZER] = tuple(o for o in found[_OPTIMIZER] if not _stands_apart(o))
    for path in list(found):
        own, how = leaf_at(training, path), how_merged(training, path)
        if (how is Merge.ROWS and "whole batch" in needs) or (
            how is Merge.SIZE and "own sizes" in needs
        ):
            del found[path]
        elif how is Merge.SIZE and isinstance(own, tuple) and "same depth" in needs:
            found[path] = tuple(_as_deep(found[path], len(own)))
    return found


def _stands_apart(optimizer: Any) -> bool:
    """Whether an optimizer has a program of its own, without others and what they allow."""
    return bool({"own sizes", "own average", "all rows"} & needs_of("optimizer", optimizer))


def _as_deep(listed: tuple[Any, ...], depth: int) -> Iterator[Any]:
    """The listed sizes of as many layers."""
    for sizes in listed:
        if isinstance(sizes, UpTo):
            yield UpTo(sizes.sizes[:depth], depth)
        elif len(sizes) == depth:
            yield sizes


def sizes_of(training: Training) -> Iterator[tuple[str, Any]]:
    """Path and value of the sizes of a training's model that programs can merge."""
    for path in mergeable().values():
        if how_merged(training, path) is Merge.SIZE:
            yield path, leaf_at(training, path)


@cache
def size_paths() -> frozenset[str]:
    """The paths of the sizes that programs can merge."""
    return frozenset(
        path
        for path in mergeable().values()
        for leaf in leaves_at(_training(), path)
        if merge_of(leaf.owner, leaf.field) is Merge.SIZE
    )


def _training() -> type[Training]:
    from hpo.spec.experiment import Training  # imports this module

    return Training
