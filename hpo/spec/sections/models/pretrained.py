"""The leaf of every model that names a trained one, from whose weights it starts: `model.from`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hpo.errors import SpecError
from hpo.space import SearchSpace
from hpo.spec.file.document import Mistake, parse_yaml
from hpo.spec.file.urls import is_url, without_secrets
from hpo.spec.marks import Mark, Spec
from hpo.spec.words import shown

FROM = "model.from"
# A folder of a trained model has these files.
_FILES = ("metrics.json", "spec.yaml")


class Pretrained(Spec):
    """What every model has: where its first weights come from."""

    # Written so, because `from` is a word of Python's own.
    __annotations__ = {
        "from": Annotated[
            Annotated[str, AfterValidator(without_secrets)] | None,
            Mark.HOST,
            Field(
                default=None,
                description="A folder that hpo train wrote, or its URL: the model starts from its "
                "weights, with a new head where the classes differ.",
            ),
        ]
    }


def folder_of(model: Any) -> Any:
    """The folder from whose weights a model starts; None where it draws its own."""
    return getattr(model, "from", None)


def named_folders(model: Any, space: SearchSpace) -> tuple[str, ...]:
    """All folders from whose weights the trials of a space start, as they are written."""
    dimension = space.by_path.get(FROM)
    tried = getattr(dimension.distribution, "values", ()) if dimension else ()
    names = [folder_of(model), *tried]
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
