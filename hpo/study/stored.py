"""The experiment that a study keeps: all that `hpo resume` needs besides the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.storage import StudyRecord


def stored_experiment(record: StudyRecord, where: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a study in the storage `where`, with `path=value` overrides applied.

    Its relative paths start where its spec lay, or in the working folder if that is gone. It goes
    by the study's name, which is another than its spec's for one that was set aside.

    Raises:
        SpecError: with every mistake, a line each, if a later version of hpo stored it.
    """
    folder = Path(record.provenance.get("folder", ""))
    folder = folder if folder.is_dir() else Path.cwd()
    document = {**record.document, "name": record.name}
    return experiment_from_document(document, folder, f"study {record.name} in {where}", overrides)
