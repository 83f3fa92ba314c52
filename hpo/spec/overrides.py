"""`--set path=value`: leaves of a spec replaced from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.errors import SpecError, cut, one_line
from hpo.spec.file.document import Document, KeyPath, Place, parse_value
from hpo.spec.marks import Spec
from hpo.spec.roots import Root, file_of, root_of
from hpo.spec.schema import default_of, leaves_at, variants_of
from hpo.spec.sections.goal import Objective
from hpo.spec.space.entries import ENTRY_KEYS, KINDS


def apply_overrides(
    document: Document, overrides: Sequence[str], folder: Path
) -> tuple[Document, list[str]]:
    """The document with `path=value` overrides applied in turn, and what is wrong with them.

    Values are YAML. Where a `name` is set, leaves that the new variant does not have go; names are
    set first, so that the others meet the variant that they are for. `space.model.dropout=0.3`
    replaces an entry, `space.model.dropout.float=[0, 0.3]` its distribution.
    """
    lines: list[str] = []
    values, places = dict(document.values), dict(document.places)
    for text in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".name")):
        where = f"--set {cut(text)}"
        name, equals, written = text.partition("=")
        name = name.strip()
        if not equals or not all(name.split(".")):
            lines.append(
                one_line(f"{where}: is not an override: write path=value, model.dropout=0.3")
            )
            continue
        try:
            value = parse_value(written.strip() or "null", Place(where))
        except SpecError as error:
            lines += error.mistakes
            continue
        entries = values.get("space")
        entries = entries if isinstance(entries, Mapping) else {}
        if _always_varies(entries.get(name, ...)):
            cure = f"--set space.{name}={cut(written.strip())}"
            lines.append(f"{where}: changes nothing, because {name} varies: write {cure}")
            continue
        root = root_of(values, folder)
        path = _key_path(name, entries, root)
        if path[0] == "space" and len(path) > 1:
            values["space"] = _set_entry(dict(entries), path[1:], value)
        else:
            _set(file_of(root), values, path, value)
        for old in [old for old in places if old[: len(path)] == path]:
            del places[old]
        for end in range(1, len(path) + 1):
            if path[:end] not in places:
                places[path[:end]] = Place(where, root=path)
    return replace(document, values=values, places=places), lines


def _key_path(name: str, entries: Mapping[str, Any], root: Root) -> tuple[str, ...]:
    if not name.startswith("space."):
        return tuple(name.split("."))
    key = name.removeprefix("space.")
    leaf, _, part = key.rpartition(".")
    is_part = part in ENTRY_KEYS and (leaf in entries or bool(leaves_at(root, leaf)))
    return ("space", leaf, part) if is_part else ("space", key)


def _set_entry(entries: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**entries, path[0]: value}
    leaf, part = path
    entry = dict(entries[leaf]) if isinstance(entries.get(leaf), Mapping) else {}
    if part in KINDS:
        gone = KINDS if part in ("float", "int") else (*KINDS, "log", "step")
        entry = {key: kept for key, kept in entry.items() if key not in gone}
    return {**entries, leaf: {**entry, part: value}}


def _set(spec: type[Spec] | None, values: dict[str, Any], path: KeyPath, value: Any) -> None:
    name, *rest = path
    assert isinstance(name, str)
    if not rest:
        values[name] = value
        return
    variants = variants_of(spec, name) if spec and name in spec.model_fields else None
    inner = values.get(name)
    if name not in values and spec and variants:
        inner = default_of(spec, name)
    inner = dict(inner) if isinstance(inner, Mapping) else {}
    values[name] = inner
    chosen = None
    if variants is not None:
        key = rest[0]
        is_switch = key == variants.tag or (len(variants.specs) > 1 and key in variants.specs)
        chosen = variants.chosen({key: value} if is_switch else inner)
        if chosen is Objective:
            # Its two keys exclude each other, so the new one replaces the old.
            inner.clear()
        if is_switch and chosen is not None:
            for other in inner.keys() - chosen.model_fields.keys():
                del inner[other]
    _set(chosen, inner, tuple(rest), value)


def _always_varies(entry: Any) -> bool:
    return entry is not ... and not (isinstance(entry, Mapping) and "when" in entry)
