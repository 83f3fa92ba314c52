"""The commands that this user has typed: a stored study runs no other one unasked.

A database may come from somebody else, and a command in it is code. So each search that a user
starts from a spec leaves a note in a folder of the user's own, and only that note lets `hpo resume`
run the command again.
"""

from __future__ import annotations

from typing import Any

from hpo.errors import StudyError
from hpo.own_files import is_noted, note
from hpo.spec.experiment import Experiment
from hpo.study.storage.database import database_path, parsed_url
from hpo.study.surroundings import Surroundings


def check_typed(experiment: Experiment, around: Surroundings) -> None:
    """Note that the user typed a command, or refuse one that comes from a database alone.

    A user without a folder for such notes has to trust a stored command each time.

    Raises:
        StudyError: for a command that this user never typed.
    """
    about = _about(experiment, around.storage)
    if not experiment.is_stored or around.trusts_code:
        note(around.typed, about)
    elif not is_noted(around.typed, about):
        training: Any = experiment.training
        raise StudyError(
            f"study '{experiment.name}' runs the command {training.command.text}, which was not "
            "typed by you on this machine: run hpo search with its spec, or add --trust-code."
        )


def _about(experiment: Experiment, url: str) -> Any:
    """What a note is about: the command, its space, its folder, the study and the database."""
    parsed = parsed_url(url)
    file = database_path(parsed)
    where = str(parsed) if file is None else str(file.resolve())
    training: Any = experiment.training
    values = [where, experiment.name, str(experiment.folder.resolve())]
    return [*values, training.model_dump(mode="json"), experiment.document.get("space", {})]
