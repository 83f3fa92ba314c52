"""Reads the experiment that a caller asks for: a spec file, a document or a stored study."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hpo.api.functions.decorator import Objective
from hpo.api.surroundings import default_storage
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document, load_experiment
from hpo.spec.sections.search import duration_seconds
from hpo.spec.words import shown

# The path of a spec file, its contents as plain values, or a function with `@hpo.objective`.
SpecLike: TypeAlias = str | Path | Mapping[str, Any] | Objective


def experiment_of(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    trials: int | None = None,
    timeout: str | float | None = None,
) -> Experiment:
    """The experiment of a spec, with `path=value` overrides applied.

    `trials` and `timeout` replace `search.trials` and `search.timeout`. A document's relative
    paths start in the working folder.

    Raises:
        SpecError: with every mistake, a line each.
        HpoError: for a timeout that is not a duration above 0.
    """
    spec = _written(spec)
    every = [*overrides, *search_overrides(trials, timeout)]
    if isinstance(spec, Mapping):
        return load_document(spec, Path(), every)
    if "\n" in str(spec):
        raise HpoError("spec: is YAML text: give the file's path, or yaml.safe_load(text).")
    return load_experiment(Path(spec), every)


def stored_study(
    name: str,
    storage: str | None = None,
    trials: int | None = None,
    timeout: str | float | None = None,
) -> Experiment:
    """The experiment of a stored study, with another total of trials or time where given.

    Raises:
        StudyError: if there is no such study, or its storage cannot be read.
        HpoError: for a timeout that is not a duration above 0.
    """
    from hpo.study.storage.stored import stored_experiment
    from hpo.study.storage.tables import Storage

    overrides = search_overrides(trials, timeout)
    with Storage.read(storage or default_storage()) as database:
        return stored_experiment(database.study(name), database.where, overrides)


def search_overrides(trials: int | None, timeout: str | float | None) -> list[str]:
    """The totals of a search as `path=value`.

    Raises:
        HpoError: for a timeout that is not a duration above 0.
    """
    found = [] if trials is None else [f"search.trials={trials}"]
    if timeout is None:
        return found
    try:
        is_number = isinstance(timeout, str) and timeout.isdecimal()
        seconds = float(timeout if is_number else duration_seconds(timeout))
    except ValueError as error:
        raise HpoError(f"--timeout {timeout}: {error}.") from error
    if not 0 < seconds < math.inf:
        raise HpoError(f"--timeout {timeout}: cannot be {seconds:g}: write 90s, 10m or 1h30m.")
    return [*found, f"search.timeout={seconds}"]


def override_texts(overrides: Mapping[str, Any] | None) -> list[str]:
    """Overrides of leaves as `path=value`, the value in JSON, which is YAML too.

    Raises:
        HpoError: for overrides that are no mapping, or a value that YAML cannot hold.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise HpoError(
            f"overrides: are paths with values, not {shown(overrides)}: give "
            "{'train.epochs': 81}."
        )
    return [f"{path}={_json(value, path)}" for path, value in (overrides or {}).items()]


def plain_spec(spec: SpecLike) -> str | dict[str, Any]:
    """A spec as JSON can hold it: the path of its file, or its document.

    Raises:
        HpoError: for a document with a value that YAML cannot hold.
    """
    spec = _written(spec)
    if not isinstance(spec, Mapping):
        return str(spec)
    document: dict[str, Any] = json.loads(_json(spec, "spec"))
    return document


def _written(spec: SpecLike) -> str | Path | Mapping[str, Any]:
    if isinstance(spec, Objective):
        return spec.document()
    if callable(spec):
        name = getattr(spec, "__name__", "function")
        raise HpoError(f'{name}: is no objective: write @hpo.objective(minimize="loss") above it.')
    return spec


def _json(value: Any, where: str) -> str:
    def plain(part: Any) -> Any:
        if isinstance(part, Mapping):
            return dict(part)
        if isinstance(part, Path):
            return str(part)
        if hasattr(part, "tolist"):  # NumPy's numbers and arrays
            return part.tolist()
        raise HpoError(
            f"{where}: YAML cannot hold {part!r} ({type(part).__name__}): use numbers, text, "
            "true, false, null, lists and mappings."
        )

    return json.dumps(value, default=plain)
