"""The winner of a study, for a spec that was searched and is to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpo.api.study import Study
from hpo.api.surroundings import typed_folder
from hpo.report.study_report import BaselineResult
from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document, require_search
from hpo.spec.sections.goal import Objective
from hpo.study.kept.files import KeptTrial
from hpo.study.storage.tables import NothingStoredError, Storage
from hpo.study.storage.trust import check_known


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
