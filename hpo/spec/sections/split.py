"""How rows are split by a column of a table instead of at random: `data.split`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hpo.spec.marks import Spec
from hpo.spec.sections.search import duration_seconds


def _gap(written: Any) -> Any:
    """The gap as it is written, which is checked.

    Raises:
        ValueError: for text that is not a duration.
    """
    try:
        duration_seconds(written)
    except ValueError:
        raise ValueError("is not a gap: write a number of rows, or 12h or 7d for dates") from None
    return written


class GroupSplit(Spec):
    """Groups of rows, such as the visits of a patient, that stay in one split."""

    group: str
    """The column whose equal values are a group. Shares of `validation` and `test` are met as
    nearly as whole groups allow."""
    feature: bool = False
    """Whether the column is a feature too."""


class TimeSplit(Spec):
    """A forward split: the latest rows are the test, those before them validate."""

    time: str
    """The column of dates or numbers that orders the rows. Rows of equal time are in one split."""
    gap: Annotated[
        Annotated[int, Field(ge=0)] | str,
        BeforeValidator(_gap, json_schema_input_type=Annotated[int, Field(ge=0)] | str),
    ] = 0
    """What is left out before validation and before the test: a number of rows, or a duration such
    as 12h or 7d where the column holds dates."""
    feature: bool = False
    """Whether the column is a feature too."""


class ColumnSplit(Spec):
    """A column of the words train, validation and test."""

    column: str
    """The column with the words train, validation (or valid, val, dev) and test. Where it never
    says validation or test, that split is drawn from the rows that train."""


SplitSpec = GroupSplit | TimeSplit | ColumnSplit


def key_of(split: SplitSpec) -> str:
    """The key of a split that names the column which decides: its first one."""
    return next(iter(type(split).model_fields))


def column_of(split: SplitSpec) -> str:
    """The column that decides."""
    column: str = getattr(split, key_of(split))
    return column
