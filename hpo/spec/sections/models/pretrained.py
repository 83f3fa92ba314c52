"""The leaf of every model that names a trained one, from whose weights it starts: `model.from`.

It names a folder, its URL, or a trial of a study. So does `compression.teacher.from`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from hpo.errors import SpecError
from hpo.space import SearchSpace
from hpo.spec.file.document import KeyPath, Mistake, parse_yaml
from hpo.spec.file.urls import is_url, without_secrets
from hpo.spec.marks import Mark, Spec
from hpo.spec.words import shown

FROM = "model.from"
TEACHER_FROM = "compression.teacher.from"
# The sections that may name trained models, or values of a leaf that does.
_SECTIONS = ("model", "compression", "space", "search")
# A folder of a trained model has these files.
_FILES = ("metrics.json", "spec.yaml")


class TrialOf(Spec):
    """A trial of a study, whose weights `search.keep_weights` has kept."""

    study: str
    """The name of the study, in the same storage."""
    trial: Annotated[int, Field(ge=0)] | None = None
    """The number of the trial; the best one if left out."""


def _without_secrets(named: Any) -> Any:
    return without_secrets(named) if isinstance(named, str) else named


# Checked as a whole, because of a union nobody learns which of its parts refuses a text, and why.
ModelName: Any = Annotated[str | TrialOf | None, AfterValidator(_without_secrets)]


class Pretrained(Spec):
    """What every model has: where its first weights come from."""

    # Written so, because `from` is a word of Python's own.
    __annotations__ = {
        "from": Annotated[
            ModelName,
            Mark.HOST,
            Field(
                default=None,
                description="A folder that hpo train wrote, its URL, or a trial: {study: NAME, "
                "trial: 7}. The model starts from its weights, with a new head where the classes "
                "differ.",
            ),
        ]
    }


def folder_of(model: Any) -> Any:
    """The folder from whose weights a model starts; None where it draws its own."""
    return getattr(model, "from", None)


class Named(NamedTuple):
    """A trial that a spec names as a trained model, and the leaf whose value it is."""

    leaf: str
    trial: TrialOf


def named_trials(document: Mapping[str, Any]) -> dict[KeyPath, Named]:
    """The trials that a spec names as trained models, by where its document does so.

    They stand at `model.from` and `compression.teacher.from`, or among the values of these leaves
    in `space` and `search.start`, also within a whole `model`.
    """
    found = {}
    for path, value in _mappings({name: document.get(name) for name in _SECTIONS}, ()):
        leaf = _leaf_of(path)
        if leaf is not None and "study" in value:
            found[path] = Named(leaf, TrialOf.model_validate(value))
    return found


def _leaf_of(path: KeyPath) -> str | None:
    """The leaf whose value stands at a place of a document; None for one that names no model."""
    text = ".".join(key for key in path if isinstance(key, str) and key not in ("choice", "value"))
    for leaf in (FROM, TEACHER_FROM):
        is_condition = text.startswith("space.") and text.endswith(f".when.{leaf}")
        if is_condition or text in (leaf, f"space.{leaf}", f"search.start.{leaf}"):
            return leaf
    return None


def _mappings(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Each mapping within a plain value and where it stands, outer ones first."""
    if isinstance(value, Mapping):
        yield at, value
    parts = enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in value.items() if isinstance(value, Mapping) else parts:
        yield from _mappings(inner, (*at, key))


def named_folders(model: Any, space: SearchSpace) -> tuple[str, ...]:
    """All folders from whose weights the trials of a space start, as they are written."""
    names = [folder_of(model)]
    for path in (FROM, "model"):
        dimension = space.by_path.get(path)
        for value in getattr(dimension.distribution, "values", ()) if dimension else ():
            names.append(value.get("from") if isinstance(value, Mapping) else value)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def folder_mistakes(model: Any, space: SearchSpace, folder: Path) -> Iterator[Mistake]:
    """What is wrong with the folders that a model starts from, as far as their files tell.

    Their weights are not read. Relative names start at `folder`.
    """
    for name in named_folders(model, space):
        text = _trouble(model, name, folder / Path(name).expanduser())
        if text is not None:
            yield Mistake(("model", "from"), text)


def folder_trouble(name: str, there: Path) -> str | None:
    """What is wrong with a folder where a trained model should be; None for nothing.

    That of a URL is fetched when a search starts, and not looked at here.
    """
    if is_url(name) or all((there / file).is_file() for file in _FILES):
        return None
    found = "is no folder of a trained model" if there.is_dir() else "is not there"
    return f"{shown(name)} {found}: give a folder that hpo train wrote"


def _trouble(model: Any, name: str, there: Path) -> str | None:
    if text := folder_trouble(name, there):
        return text
    if is_url(name):
        return None
    own, other = getattr(model, "name", None), _model_in(there / "spec.yaml").get("name")
    if own is None or other is None or own == other:
        return None
    return f"{shown(name)} holds a model {shown(other)}, and this is {shown(own)}: name another"


def _model_in(spec: Path) -> Mapping[str, Any]:
    """The section `model` of the spec beside a trained model; empty where it cannot be read."""
    try:
        values = parse_yaml(spec.read_text(encoding="utf-8"), str(spec)).values
    except (OSError, ValueError, SpecError):
        return {}
    model = values.get("model") if isinstance(values, Mapping) else None
    return model if isinstance(model, Mapping) else {}
