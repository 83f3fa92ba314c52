"""Reusable search spaces, included by name."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.errors import SpecError, cut
from hpo.spec.file.document import Document, KeyPath, Mistake, Place, parse_yaml
from hpo.spec.words import shown

_MOST_BYTES = 1_000_000
_AT: KeyPath = ("space", "include")


def packaged_folder(name: str) -> Path:
    """A folder that comes with hpo: inside the package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        SpecError: for a file that is far too long for a spec, or cannot be read as text.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SpecError([f"{path}: is larger than 1 MB, which no spec is: check the path"])
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError([f"{path}: there is no such file: check the path"]) from None
    except IsADirectoryError:
        raise SpecError([f"{path}: is a folder: name a YAML file in it"]) from None
    except OSError as error:
        raise SpecError(
            [f"{cut(str(path), 200)}: cannot be read ({error.strerror}): check the file"]
        ) from None
    except UnicodeDecodeError as error:
        raise SpecError([f"{path}: byte {error.start} is not UTF-8: save it as UTF-8"]) from None


def _open(path: str, flags: int) -> int:
    # Opening a pipe would wait for somebody to write; one that nobody writes to is empty.
    handle = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    return handle


def merge_includes(document: Document, folder: Path) -> tuple[Document, frozenset[str]]:
    """The document with included spaces in its `space`, and the paths that they gave.

    A file `NAME.yaml` is looked for beside the spec, in `search_spaces/` of the working folder,
    then among those that come with hpo. The spec's own entry for a path replaces an included one
    whole; included spaces that differ over a path are a mistake unless it does.

    Raises:
        SpecError: for an included file that is not YAML.
    """
    space = document.values.get("space") if isinstance(document.values, Mapping) else None
    if not isinstance(space, Mapping) or "include" not in space:
        return document, frozenset()
    own = {path: entry for path, entry in space.items() if path != "include"}
    forbidden = list(own["forbid"]) if isinstance(own.get("forbid"), list) else []
    names = [space["include"]] if isinstance(space["include"], str) else space["include"]
    mistakes = list(document.mistakes)
    entries: dict[str, Any] = {}
    places: dict[KeyPath, Place] = {}
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,100}", name):
            mistakes.append(Mistake(_AT, f"cannot be {shown(name)}: write a name or [names]"))
            continue
        path = _find(name, folder)
        if path is None:
            mistakes.append(Mistake(_AT, _no_such_space(name)))
            continue
        included = parse_yaml(read_text(path), str(path))
        forbidden, included = _with_rules(forbidden, included)
        places |= {
            ("space", *below): replace(place, hidden=1)
            for below, place in included.places.items()
            if below and (below[0] == "forbid" or below[0] not in {*own, *entries})
        }
        if not isinstance(included.values, Mapping):
            text = f"{path} is not a mapping: write paths with distributions, as under space"
            mistakes.append(Mistake(_AT, text))
            continue
        mistakes += [Mistake(("space", *at), text) for at, text in included.mistakes]
        for key, entry in included.values.items():
            if key in entries and key not in own and entries[key] != entry:
                text = f"{key} differs between included spaces: give it in this spec's space"
                mistakes.append(Mistake(_AT, text))
            entries[key] = entry
    if forbidden and isinstance(own.get("forbid", []), list):
        own["forbid"] = forbidden
    merged = {**document.values, "space": {**entries, **own}}
    every_place = {**places, **document.places}
    return replace(
        document, values=merged, places=every_place, mistakes=tuple(mistakes)
    ), frozenset(entries.keys() - own.keys())


def _with_rules(before: list[Any], included: Document) -> tuple[list[Any], Document]:
    """The rules `before` and those of an included space, and the rest of the latter.

    The places of its rules move behind those of the rules before.
    """
    values, places = included.values, included.places
    if not isinstance(values, Mapping) or "forbid" not in values:
        return before, included
    rules = values["forbid"] if isinstance(values["forbid"], list) else [values["forbid"]]
    moved: dict[KeyPath, Place] = {
        ("forbid", len(before) + index): places["forbid", index]
        for index in range(len(rules))
        if ("forbid", index) in places
    }
    kept = {path: place for path, place in places.items() if path[:1] != ("forbid",)}
    rest = {path: entry for path, entry in values.items() if path != "forbid"}
    return [*before, *rules], Document(rest, {**kept, **moved}, included.mistakes)


def _folders() -> tuple[Path, Path]:
    return Path("search_spaces"), packaged_folder("search_spaces")


def _find(name: str, folder: Path) -> Path | None:
    candidates = [place / f"{name}.yaml" for place in (folder, *_folders())]
    return next((path for path in candidates if path.is_file()), None)


def known_spaces() -> list[str]:
    """The names of the spaces in the working folder and of those that come with hpo."""
    return sorted({path.stem for place in _folders() for path in place.glob("*.yaml")})


def _no_such_space(name: str) -> str:
    known = known_spaces()
    close = difflib.get_close_matches(name, known, n=1)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    return f"there is no space '{name}'.{guess} Known spaces: {', '.join(known)}."
