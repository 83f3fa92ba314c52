"""The rows by which a model is explained: new data, or the validation rows of its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.data.corruptions import corrupted
from hpo.data.load import load_data
from hpo.data.new.validation import validation_rows
from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Answering, models_of
from hpo.trained.load import data_fingerprint
from hpo.trained.model import data_of_training
from hpo.trained.predict import NewData, other_answers, read_new
from hpo.trained.remote import local_data


def rows_to_explain(
    model: Answering,
    data: str | Path | None,
    folders: Sequence[Path],
    home: Path | None,
    *,
    is_trusted: bool = False,
) -> NewData:
    """The examples with targets at a path or URL; without one, the rows that validated.

    Paths in the spec of the model start at one of the `folders`; `home` has named data sets. A
    function of the user's own that gave the rows runs if it `is_trusted`.

    Raises:
        HpoError: for data that are unfit, or are not those of the training.
    """
    if model.description.task == "language":
        kind = other_answers(model.description.task, model.training.data.dataset)
        raise HpoError(f"{model.folder}: {kind}: hpo explain is for one answer of each row.")
    if data is not None:
        return read_new(model, local_data(data), with_target=True)
    where = f"{model.folder}: give data with targets: hpo explain {model.folder} DATA"
    if model.training.data.folds:
        raise HpoError(f"{where}. Every row of its folds has trained a member.")
    spec = data_of_training(models_of(model)[0], is_trusted=is_trusted)
    why = ""
    for folder in folders:
        try:
            found = corrupted(load_data(spec, folder, home), spec, folder)
        except HpoError as error:
            why = why or f"Its training data cannot be read: {error}"
            continue
        if found.fingerprint == data_fingerprint(model.folder):
            return NewData(validation_rows(spec, folder, home))
        why = "The data that its spec names have changed since its training."
    raise HpoError(f"{where}. {why}")
