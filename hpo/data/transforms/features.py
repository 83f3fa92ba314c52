"""What the examples of a data set are made of: how new data become examples like them.

It is plain values. With the arrays of a fit it is all that a trained model needs of its data set.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar, get_args

from hpo.errors import DataError
from hpo.spec.sections.data import TableFile
from hpo.spec.words import shown

if TYPE_CHECKING:
    from hpo.data.source import Source

T = TypeVar("T", bound=Hashable)
# What a column of numbers is read from: numbers, booleans, or a part of a date.
Part = Literal["number", "boolean", "days", "year", "month", "day", "weekday", "hour"]
# More of one are a mistake in the file: a spec could not have trained them.
_MOST_COLUMNS = 1_000_000


class NumberColumn(NamedTuple):
    """A column of numbers, and the column of a table that it is read from."""

    name: str
    part: Part


class TextColumn(NamedTuple):
    """A column of categories, whose indices are places in `values`; None for one of free texts."""

    name: str
    values: tuple[str, ...] | None


@dataclass(frozen=True)
class Features:
    """The inputs and targets of a data set by their names.

    A table has `numbers` and `texts`, in the order of `Source.x` and `Source.categories`. Other
    examples are arrays of a shape and type, as they are read. `targets` are columns of a table.
    `weight` is the column of weights and `weight_mean` the mean of those that trained.
    """

    numbers: tuple[NumberColumn, ...] = ()
    texts: tuple[TextColumn, ...] = ()
    shape: tuple[int, ...] = ()
    type: str = ""
    targets: tuple[str, ...] = ()
    weight: str | None = None
    weight_mean: float = 1.0

    @classmethod
    def of(cls, dataset: Any, source: Source, free_texts: Sequence[int]) -> Self:
        """Those of a data set by its spec and its training rows.

        `free_texts` are the places of its text columns that hold no categories.
        """
        mean = 1.0 if source.weight is None else float(source.weight.mean())
        if not (source.names or source.text_names):
            weight = None if source.weight is None else "weight"
            shape, kind = source.x.shape[1:], str(source.x.dtype)
            return cls(shape=shape, type=kind, weight=weight, weight_mean=mean)
        usual: Part = "number"
        parts = source.parts or (usual,) * len(source.names)
        found = cls(
            tuple(NumberColumn(*one) for one in zip(source.names, parts, strict=True)),
            tuple(
                TextColumn(name, None if place in free_texts else tuple(values))
                for place, (name, values) in enumerate(
                    zip(source.text_names, source.values, strict=True)
                )
            ),
        )
        if not isinstance(dataset, TableFile):
            return found
        return replace(found, targets=dataset.targets, weight=dataset.weight, weight_mean=mean)

    @property
    def is_table(self) -> bool:
        """Whether examples are rows of named columns."""
        return bool(self.numbers or self.texts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that new data need."""
        names = [*(one.name for one in self.numbers), *(one.name for one in self.texts)]
        return tuple(dict.fromkeys(names))

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it, without what is left at its default."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        usual = {item.name: item.default for item in fields(self)}
        return {name: _listed(value) for name, value in plain.items() if value != usual[name]}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The features that JSON says.

        Raises:
            ValueError: for anything else, with what is wrong.
        """
        if unknown := plain.keys() - {item.name for item in fields(cls)}:
            raise ValueError(f"has an unknown key {shown(sorted(unknown)[0])}")
        numbers = tuple(map(_number, _rows(plain.get("numbers", []), 2)))
        texts = tuple(map(_text, _rows(plain.get("texts", []), 2)))
        shape = tuple(_whole(size) for size in _list(plain.get("shape", [])))
        weight, mean = plain.get("weight"), plain.get("weight_mean", 1.0)
        if not isinstance(mean, float | int) or isinstance(mean, bool) or not 0 < mean < 1e308:
            raise ValueError(f"has a weight_mean of {shown(mean)}")
        targets = tuple(map(_word, _list(plain.get("targets", []))))
        lists: list[list[tuple[str, ...]]] = [[*numbers], [(one.name,) for one in texts]]
        lists.append([(name,) for name in targets])
        for columns in lists:
            if (twice := first_twice(columns)) is not None:
                raise ValueError(f"has the column {shown(twice[0])} twice")
        return cls(
            numbers,
            texts,
            shape,
            _word(plain.get("type", "")),
            targets,
            None if weight is None else _word(weight),
            float(mean),
        )


def check_columns(features: Features, names: Sequence[str], where: str) -> None:
    """Refuse new data that lack a column.

    Raises:
        DataError: with the columns that are missing.
    """
    known = {*names}
    lacking = [name for name in features.columns if name not in known]
    if lacking:
        more = f" and {len(lacking) - 3:,} more" if lacking[3:] else ""
        which = ", ".join(map(shown, lacking[:3])) + more
        raise DataError(
            f"{where}: has no column {which}, which the model was trained with: add it, with empty "
            "cells where it is not known."
        )


def first_twice(values: Sequence[T]) -> T | None:
    """The first value that a list has before; None if it has each once."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, tuple) else value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_COLUMNS:
        raise ValueError(f"has {shown(value)} where a list is expected")
    return value


def _rows(value: Any, length: int) -> list[list[Any]]:
    rows = [_list(row) for row in _list(value)]
    if any(len(row) != length for row in rows):
        raise ValueError("has a column that is not a pair")
    return rows


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"has {shown(value)} where a text is expected")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise ValueError(f"has {shown(value)} where a size is expected")
    return value


def _number(row: list[Any]) -> NumberColumn:
    name, part = row
    if part not in get_args(Part):
        raise ValueError(f"has a column of {shown(part)}")
    return NumberColumn(_word(name), part)


def _text(row: list[Any]) -> TextColumn:
    name, values = row
    found = None if values is None else tuple(map(_word, _list(values)))
    if (twice := first_twice(found or ())) is not None:
        raise ValueError(f"has the category {shown(twice)} twice")
    return TextColumn(_word(name), found)
