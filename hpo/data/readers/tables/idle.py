"""What `data.columns.by_name` says of a column although cells of its type do not read it.

Free of NumPy and pandas, so that `hpo check` can look at the head of a table at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from hpo.spec.sections.columns import Column, Columns, Treatment
from hpo.spec.words import shown

Cells = Literal["numbers", "categories", "texts"]
# The leaves that have an effect on cells of each type.
_READ: Mapping[str, frozenset[str]] = {
    "numbers": frozenset(("impute", "constant", "flag", "transform")),
    "categories": frozenset(("impute", "flag", "encode", "buckets", "smoothing")),
    "texts": frozenset(("flag", "features")),
}
_TYPED: Mapping[str, Cells] = {
    "boolean": "numbers",
    "date": "numbers",
    "category": "categories",
    "text": "texts",
}
# Leaves that one value of another leaf reads.
_READ_WHERE = {
    "constant": ("impute", "constant"),
    "buckets": ("encode", "hashing"),
    "smoothing": ("encode", "target"),
}


def idle_notes(file: str, columns: Columns, cells: Mapping[str, Cells]) -> Iterator[str]:
    """A sentence for each column with leaves that have no effect.

    `cells` says what the columns hold, for those whose spec leaves it open.
    """
    for name, own in columns.by_name.items():
        held = _TYPED.get(own.type, cells.get(name))
        if own.drop or held is None:
            continue
        treatment = columns.of(name)
        idle = [leaf for leaf in own.model_fields_set if not _is_read(leaf, own, held, treatment)]
        if not idle:
            continue
        leaves = ", ".join(sorted(idle))
        verb = "has" if len(idle) == 1 else "have"
        needed = [_READ_WHERE[leaf] for leaf in idle if leaf in _READ[held]]
        cure = f", or write {': '.join(needed[0])}" if needed else ""
        if held == "numbers" and own.type == "auto" and "encode" in idle:
            cure = ", or write type: category"
        yield (
            f"{file}: {leaves} of {shown(name)} in data.columns.by_name {verb} no effect on "
            f"{_cells_text(held, own)}: remove {'it' if len(idle) == 1 else 'them'}{cure}."
        )


def _is_read(leaf: str, own: Column, held: Cells, treatment: Treatment) -> bool:
    if leaf in ("type", "drop") or getattr(own, leaf) is None:
        return True
    other, value = _READ_WHERE.get(leaf, ("", ""))
    return leaf in _READ[held] and (not other or getattr(treatment, other) == value)


def _cells_text(held: Cells, own: Column) -> str:
    kinds = {"boolean": "booleans", "date": "dates"}
    return kinds.get(own.type, held)
