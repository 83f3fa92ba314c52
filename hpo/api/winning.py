"""The winner of a study, for a spec that was searched and is to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.api.study import Study
from hpo.api.surroundings import typed_folder
from hpo.errors import StudyError
from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document
from hpo.study.storage.tables import Storage
from hpo.study.storage.trust import check_known


def searched_winner(
    experiment: Experiment, overrides: Sequence[str], *, trust_code: bool
) -> tuple[Experiment, int] | None:
    """The configuration of the best trial of the study of a spec, and its number.

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
    except StudyError:
        return None
    exported = Study(experiment.name, storage).exported(trust_code=trust_code)
    check_known(exported.experiment, exported.tried, typed_folder(), is_trusted=trust_code)
    single = [text for text in overrides if not text.startswith(("search", "space", "name="))]
    return load_document(exported.document, Path.cwd(), single), exported.trial.number
