"""The winner of a study, for a spec that was searched and is to be trained.

So is a trial that a spec names as a trained model: `model.from: {study: digits, trial: 7}`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from hpo.api.study import Study
from hpo.api.surroundings import typed_folder
from hpo.errors import HpoError, StudyError
from hpo.report.study_report import BaselineResult
from hpo.spec.experiment import Experiment
from hpo.spec.file.document import KeyPath
from hpo.spec.load import experiment_from_document, load_document, require_search
from hpo.spec.sections.goal import Objective
from hpo.spec.sections.models.pretrained import FROM, Named, TrialOf, named_trials
from hpo.spec.words import shown
from hpo.study.kept.files import KeptTrial
from hpo.study.signals import StopRequest
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.tables import NothingStoredError, Storage
from hpo.study.storage.trust import check_known
from hpo.study.surroundings import Surroundings
from hpo.trained.save import METRICS_FILE

# Where the models of trials lie beside a database; before model.from, teachers lay apart.
_KINDS = ("models", "teachers")


class Winner(NamedTuple):
    """The configuration of the best trial of a study, its number, and the study's baselines.

    `kept` is where its weights may be.
    """

    experiment: Experiment
    number: int
    baselines: tuple[BaselineResult, ...]
    kept: KeptTrial | None = None


def searched_winner(
    experiment: Experiment, overrides: Sequence[str], *, trust_code: bool
) -> Winner | None:
    """The best trial of the study of a spec.

    None for a spec in which nothing varies, or that was not searched yet.

    Raises:
        HpoError: for a study without a winner, or whose code has changed.
    """
    storage = experiment.study.storage
    if not len(experiment.space):
        return None
    try:
        with Storage.read(storage) as database:
            if database.find(experiment.name) is None:
                return None
    except NothingStoredError:
        return None
    study = Study(experiment.name, storage)
    exported = study.exported(trust_code=trust_code)
    check_known(exported.experiment, exported.tried, typed_folder(), is_trusted=trust_code)
    single = [text for text in overrides if not text.startswith(("search", "space", "name="))]
    found = load_document(exported.document, Path.cwd(), single)
    number = exported.trial.number
    return Winner(found, number, study.baselines, None if single else study.kept(number))


def best_trials(
    name: str, storage: str | None, top: int, *, trust_code: bool
) -> tuple[tuple[Winner, ...], Objective]:
    """The best trials of a study, best first, and the objective that ranks them.

    Raises:
        HpoError: for a study without a trial that can win, or whose code has changed.
    """
    study = Study(name, storage)
    # Without a winner, the export says why.
    numbers: list[int | None] = [trial.number for trial in study.top(top)]
    exports = [study.exported(one, trust_code=trust_code) for one in numbers or [None]]
    for one in exports:
        check_known(one.experiment, one.tried, typed_folder(), is_trusted=trust_code)
    found = [
        Winner(load_document(one.document, Path.cwd(), []), number, (), study.kept(number))
        for one in exports
        for number in (one.trial.number,)
    ]
    return tuple(found), require_search(exports[0].experiment).goal.first


def with_models(
    experiment: Experiment, around: Surroundings, say: Callable[[str], None]
) -> Experiment:
    """The experiment with folders of trained models where it names trials of studies.

    A folder lies beside the database, as `hpo.db.models/digits/trial-7-<hash>`. It is written
    once, from the weights that the search has kept: nothing is trained. A study that is resumed
    keeps the folders that it began with, also where another trial is the best one by now.

    Raises:
        HpoError: for a study or trial that is not there, and one whose weights are not kept.
    """
    trials = named_trials(experiment.document)
    stored: Mapping[str, Any] = {}
    if experiment.search is not None and not around.starts_over:
        stored = _stored_document(experiment.name, around.storage)
    began = _began_with(trials, stored, experiment.folder, around.storage)
    folders: dict[TrialOf, Path] = {}
    document = copy.deepcopy(dict(experiment.document))
    for path, (leaf, named) in trials.items():
        if named not in folders:
            folders[named] = began.get(named) or _taken(named, leaf, around, say)
        _at(document, path[:-1])[path[-1]] = os.path.relpath(folders[named], experiment.folder)
    return experiment_from_document(document, experiment.folder)


def trials_of_today(experiment: Experiment) -> dict[str, str]:
    """The name of the folder that `with_models` would write for each trial, by its spec.

    Raises:
        HpoError: for a study or trial that is not there.
    """
    found = {}
    for leaf, named in named_trials(experiment.document).values():
        with _told_at(leaf):
            study = Study(named.study, experiment.study.storage)
            # No code is run for a name; whether it may have changed is asked before the training.
            number = study.exported(named.trial, trust_code=True).trial.number
            found[str(named)] = _folder_name(number, study.kept(number))
    return found


def _stored_document(name: str, storage: str) -> Mapping[str, Any]:
    """The document of the stored study of this name; empty where there is none."""
    try:
        with Storage.read(storage) as database:
            found = database.find(name)
    except NothingStoredError:
        return {}
    return {} if found is None else found.document


def _at(document: Any, path: KeyPath) -> Any:
    """What stands at a place of a document; None where it has none."""
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _began_with(
    trials: Mapping[KeyPath, Named], stored: Mapping[str, Any], folder: Path, storage: str
) -> dict[TrialOf, Path]:
    """The folders from which a stored study began, by the trials that its spec names.

    A place of a spec moves where another is new, so that each text of the stored one may be it.
    """
    places: dict[TrialOf, list[Any]] = {}
    for path, (_, named) in trials.items():
        places.setdefault(named, []).append(_at(stored, path))
    found: dict[TrialOf, Path] = {}
    for named in sorted(places, key=lambda one: one.trial is None):
        homes = [CheckpointFolder.beside(storage, named.study, kind).path for kind in _KINDS]
        there, anywhere = (
            [place for text in texts if (place := _earlier(text, folder, named, homes))]
            for texts in (places[named], _texts(stored))
        )
        others = [place for place in (*there, *anywhere) if place not in found.values()]
        # The best trial may be one with a number in the spec, too: at the very place it is so.
        chosen = [*others, *there] if named.trial is None else [*there, *anywhere]
        if chosen:
            found[named] = chosen[0]
    return found


def _texts(value: Any) -> Iterator[str]:
    """Each text within plain values, in order."""
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, Mapping) else value
    for inner in parts if isinstance(value, Mapping | list | tuple) else ():
        yield from _texts(inner)


def _earlier(text: Any, folder: Path, named: TrialOf, homes: Sequence[Path]) -> Path | None:
    """The folder of that trial in one of these, which a stored spec has as a text."""
    number = "" if named.trial is None else f"{named.trial}-"
    if not isinstance(text, str) or not PurePath(text).name.startswith(f"trial-{number}"):
        return None
    try:
        place = (folder / text).resolve()
        is_home = place.parent in [home.resolve() for home in homes]
        return place if is_home and (place / METRICS_FILE).is_file() else None
    except (OSError, ValueError):  # no path
        return None


@contextmanager
def _told_at(leaf: str) -> Iterator[None]:
    """Say which leaf names the study or trial that is not there."""
    try:
        yield
    except HpoError as error:
        if isinstance(error, StudyError) or type(error) is HpoError:
            error.args = (f"{leaf}: {error}",)
        raise


def _taken(named: TrialOf, leaf: str, around: Surroundings, say: Callable[[str], None]) -> Path:
    """The folder of the model of a trial, which a spec names at `leaf`, written unless there."""
    from hpo.study.train import NotKeptError, train_to_folder  # imports JAX

    with _told_at(leaf):
        study = Study(named.study, around.storage)
        found = study.exported(named.trial, trust_code=around.trusts_code)
    check_known(found.experiment, found.tried, around.typed, is_trusted=around.trusts_code)
    number = found.trial.number
    kept = study.kept(number)
    home = CheckpointFolder.beside(around.storage, named.study, _KINDS[0]).path
    place = home / _folder_name(number, kept)
    if not (place / METRICS_FILE).is_file():
        one = load_document(found.document, Path.cwd(), [])
        place.parent.mkdir(parents=True, exist_ok=True)
        request = around, lambda _: None, say, StopRequest()
        name = "base" if leaf == FROM else "teacher"
        try:
            train_to_folder(one, place, *request, kept=kept, only_kept=True)
        except NotKeptError:
            raise NotKeptError(
                f"{leaf}: no weights that fit here are kept of trial {number} of "
                f"{shown(named.study)}: run hpo export {named.study} --trial {number} -o "
                f"{name}.yaml and hpo train {name}.yaml -o {name}, and write from: {name}."
            ) from None
        what = "Trials start from" if leaf == FROM else "The teacher is"
        say(f"{what} trial {number} of {named.study}, in {place}.")
    return place


def _folder_name(number: int, kept: KeptTrial) -> str:
    """The folder of a trial, with a hash of its results: a study that starts over has others."""
    results = repr([sorted(one.items()) for one in kept.metrics])
    return f"trial-{number}-{sha256(results.encode()).hexdigest()[:8]}"
