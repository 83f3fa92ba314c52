"""The rows by which a model is explained: new data, or the validation rows of its training."""

from __future__ import annotations

from pathlib import Path

from hpo.data.corruptions import corrupted
from hpo.data.load import load_data, parted, read_source
from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.load import metrics_document
from hpo.trained.predict import NewData, other_answers, read_new


def rows_to_explain(
    model: Answering, data: Path | None, folder: Path, home: Path | None
) -> NewData:
    """The examples with targets in a file; without one, the validation rows of the training.

    Paths in the spec of the model start at `folder`, `home` is that of named data sets.

    Raises:
        HpoError: for data that are unfit, or are not those of the training.
    """
    kind = other_answers(model.description.task, model.training.data.dataset)
    if kind is not None:
        raise HpoError(f"{model.folder}: {kind}: hpo explain is for one answer of each row.")
    if data is not None:
        return read_new(model, data, with_target=True)
    where = f"{model.folder}: give data with targets: hpo explain {model.folder} DATA"
    spec = model.training.data
    if spec.folds:
        raise HpoError(f"{where}. Every row of its folds has trained a member.")
    try:
        found = corrupted(load_data(spec, folder, home), spec, folder)
        source = parted(spec, read_source(spec, folder, home))[1]
    except HpoError as error:
        raise HpoError(f"{where}. Its training data cannot be read: {error}") from None
    provenance = metrics_document(model.folder).get("provenance")
    told = provenance.get("data_fingerprint") if isinstance(provenance, dict) else None
    if found.fingerprint != told:
        raise HpoError(f"{where}. The data that its spec names have changed since its training.")
    return NewData(source)
