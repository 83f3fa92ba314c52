"""The leaves of a spec as it is written: the value of each, by default too, and what else it takes.

Where a `name` chooses a variant, the leaves are those of the variant that is chosen.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hpo.spec.experiment import SpecFile
from hpo.spec.file.document import Document
from hpo.spec.file.dump import value_text
from hpo.spec.file.include import known_spaces
from hpo.spec.file.passwords import without_passwords
from hpo.spec.load import read_document
from hpo.spec.marks import Names, Spec
from hpo.spec.registered import annotation_of
from hpo.spec.roots import file_of, root_of
from hpo.spec.schema import default_of, variants_of
from hpo.spec.space.entries import KINDS


@dataclass(frozen=True)
class SpecLeaf:
    """A leaf of a spec: its path, its value or default, and the names that it may take."""

    path: str
    value: Any
    is_default: bool
    names: tuple[str, ...] = ()


def spec_leaves(
    values: Mapping[str, Any], spec: type[Spec] = SpecFile, prefix: str = ""
) -> Iterator[SpecLeaf]:
    """The leaves of a spec with these values, in the order of its fields; its space is left out."""
    for field in spec.model_fields:
        if field == "space" and not prefix:
            continue
        path, variants, is_default = (
            f"{prefix}{field}",
            variants_of(spec, field),
            field not in values,
        )
        value = default_of(spec, field) if is_default else values[field]
        chosen = variants.chosen(value) if variants else None
        if variants is None or chosen is None:
            yield SpecLeaf(path, value, is_default, names_of(spec, field))
            continue
        for leaf in spec_leaves(value, chosen, f"{path}."):
            is_switch = leaf.path == f"{path}.{variants.tag}"
            yield replace(
                leaf,
                is_default=is_default or leaf.is_default,
                names=tuple(variants.specs) if is_switch else leaf.names,
            )


def origins(document: Document, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Each leaf of a valid document and each entry of its space: path, value as YAML, and origin.

    The origin is a line of the spec or of an included space, a `--set`, or `default`. Passwords
    are left out.
    """
    entries = document.values.get("space", {})
    values = without_passwords(document.values)
    for leaf in spec_leaves(values, file_of(root_of(values, folder))):
        place = document.place(tuple(leaf.path.split("."))).where
        varies = " (varies)" if leaf.path in entries else ""
        yield leaf.path, value_text(leaf.value), ("default" if leaf.is_default else place) + varies
    for entry, written in entries.items():
        place = document.place(("space", entry)).where
        yield f"space.{entry}", value_text(written), place


def offers(path: Path | None, overrides: Sequence[str]) -> dict[str, list[str]]:
    """The values to offer for each path that `--set` takes, by the spec in a file or by none.

    Values are the names that a leaf may take, or what it has now where that is a plain value.

    Raises:
        SpecError: for a file that cannot be read.
    """
    values = read_document(path, overrides)[0].values if path else {}
    values = without_passwords(values) if isinstance(values, Mapping) else {}
    section = values.get("space")
    entries = section if isinstance(section, Mapping) else {}
    # A search that the spec does not have can be set too.
    root = root_of(values, path.parent if path else Path())
    leaves = spec_leaves({"search": {}, **values}, file_of(root))
    found = {leaf.path: _values(leaf) for leaf in leaves}
    for unnamed in [path for path in found if path in ("model", "loss", "optimizer")]:
        variants = variants_of(root, unnamed)
        found[f"{unnamed}.name"] = list(variants.specs) if variants else []
        del found[unnamed]
    for entry, written in entries.items():
        if entry in ("include", "forbid"):
            continue
        if not isinstance(written, Mapping) or "when" not in written:
            found.pop(entry, None)  # no effect: a trial's value replaces it
        kind = next(
            (kind for kind in KINDS if isinstance(written, Mapping) and kind in written), ""
        )
        found[f"space.{entry}.{kind}" if kind else f"space.{entry}"] = []
    found["space.include"] = known_spaces()
    return found


def _values(leaf: SpecLeaf) -> list[str]:
    is_plain = isinstance(leaf.value, bool | int | float | str)
    now = value_text(leaf.value) if is_plain and leaf.value != "" else None
    return [*leaf.names, *([now] if now is not None and now not in leaf.names else [])]


def names_of(spec: type[Spec], field: str) -> tuple[str, ...]:
    """The names that a field may take; where it takes a list of them, lists of one: `[auroc]`."""
    return tuple(_names(annotation_of(spec, field), spec.model_fields[field].metadata))


def _names(annotation: Any, marks: Sequence[Any] = ()) -> Iterator[str]:
    for mark in marks:
        if isinstance(mark, Names):
            yield from mark.known()
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (name for name in get_args(annotation) if isinstance(name, str))
    elif get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from _names(inner, marks)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _names(member)
    elif get_origin(annotation) is tuple:
        yield from (f"[{name}]" for name in _names(get_args(annotation)[0]))
