"""The commands that this user has typed: a stored study runs no other one unasked.

A database may come from somebody else, and a command in it is code. So each search that a user
starts from a spec leaves a mark in a folder of the user's own, and only that mark lets `hpo resume`
run the command again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hpo.errors import StudyError
from hpo.own_files import own_folder, read_own, write_own
from hpo.spec.experiment import Experiment
from hpo.study.storage.database import database_path, parsed_url
from hpo.study.surroundings import Surroundings


def check_typed(experiment: Experiment, around: Surroundings) -> None:
    """Note that the user typed a command, or refuse one that comes from a database alone.

    A user without a folder for such notes has to trust a stored command each time.

    Raises:
        StudyError: for a command that this user never typed.
    """
    home = around.typed
    folder = None if home is None else own_folder(home, setting="XDG_STATE_HOME")
    mark = None if folder is None else folder / _name(experiment, around.storage)
    if not experiment.is_stored or around.trusts_code:
        if mark is not None:
            write_own(mark, b"typed")
        return
    if mark is None or read_own(mark) is None:
        training: Any = experiment.training
        raise StudyError(
            f"study '{experiment.name}' runs the command {training.command.text}, which was not "
            "typed by you on this machine: run hpo search with its spec, or add --trust-code."
        )


def _name(experiment: Experiment, url: str) -> str:
    """The name of the mark: another one for another command, space, folder, study or database."""
    parsed = parsed_url(url)
    file = database_path(parsed)
    where = str(parsed) if file is None else str(file.resolve())
    training: Any = experiment.training
    values = [where, experiment.name, str(experiment.folder.resolve())]
    text = [*values, training.model_dump(mode="json"), experiment.document.get("space", {})]
    return hashlib.sha256(json.dumps(text, sort_keys=True, default=str).encode()).hexdigest()
