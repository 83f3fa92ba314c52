"""The rows by which a model is explained: new data, or the validation rows of its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.data.corruptions import corrupted
from hpo.data.load import load_data
from hpo.data.new.validation import validation_rows
from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Answering, models_of
from hpo.trained.kinds.text import language_model, text_in
from hpo.trained.load import data_fingerprint
from hpo.trained.model import data_of_training
from hpo.trained.predict import NewData, read_new
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
    is_text = model.description.task == "language"
    if data is not None and is_text:
        return NewData(text_in(language_model(model, model.folder), local_data(data)))
    if data is not None:
        return read_new(model, local_data(data), with_target=True)
    what = "a text" if is_text else "data with targets"
    where = f"{model.folder}: give {what}: hpo explain {model.folder} DATA"
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
