"""The answers of a teacher for the training rows of a study: `compression.teacher.from`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.errors import HpoError
from hpo.spec.words import shown

_TASKS = ("classification", "multilabel", "regression", "segmentation")


def taught_by(name: str, folder: Path, data: DataSet) -> DataSet:
    """A data set whose rows that train have the outputs of a trained model as an array.

    A relative name of its folder starts at `folder`. It trained on the same rows, so that its
    answers tell nothing of validation rows.

    Raises:
        HpoError: for a folder without a trained model, or one of other data.
    """
    from hpo.trained.load import data_fingerprint
    from hpo.trained.model import load_model  # reads models, and few studies have one
    from hpo.trained.save import CODE_FOLDER

    where = f"compression.teacher.from: {shown(name)}"
    if data.task not in _TASKS:
        raise HpoError(f"{where}: a teacher answers for classes or values, not {data.task}.")
    there = (folder / Path(name).expanduser()).resolve()
    if (there / CODE_FOLDER).is_dir():
        raise HpoError(f"{where} has code of its own, which is not run here: name another teacher.")
    model = load_model(there)
    if data_fingerprint(there) != data.fingerprint:
        raise HpoError(
            f"{where} was trained on other rows, or scaled them in another way: train it with the "
            "section data of this spec, so that it has seen no validation rows."
        )
    parts = [data.train] if data.extra is None else [data.train, data.extra]
    answers = np.concatenate([model.outputs(part.x) for part in parts])
    if data.task == "regression" and answers.size != sum(part.y.size for part in parts):
        raise HpoError(f"{where} has several answers for a target, as quantiles are: name another.")
    held, rows = {**data.resident, ANSWERS: answers}, len(data.train)
    own = slice(0, rows), slice(rows, len(answers))
    train, *extra = (Split(held, one, data.train.scale) for one, _ in zip(own, parts, strict=False))
    return replace(data, train=train, extra=extra[0] if extra else None)
