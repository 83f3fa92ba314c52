"""The rows that validate, as they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.data.new.validation import validation_rows
from hpo.spec.load import load_document


@pytest.mark.parametrize("folds", [None, 3])
def test_their_features_are_those_of_the_split(folds: int | None) -> None:
    data = {"dataset": "iris", "batch_size": 8, "test": 0.2}
    document = {
        "name": "flowers",
        "data": data | ({"folds": folds} if folds else {}),
        "model": {"name": "mlp"},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 1},
    }
    spec = load_document(document, Path.cwd()).training.data
    loaded, found = load_data(spec, Path.cwd(), None), validation_rows(spec, Path.cwd(), None)
    if folds is None:
        np.testing.assert_array_equal(loaded.transform.apply(found), loaded.validation.arrays["x"])
        return
    rows = sum(len(fold.validation) for fold in loaded.folds)
    assert len(found) == rows
    assert len(np.unique(found.y)) == 3
