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


def test_those_of_a_series_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 31)]
    rows = [f"{day},{place}" for place, day in enumerate(days)]
    (tmp_path / "days.csv").write_text("\n".join(["day,power", *rows[::-1]]))
    series = {"csv": "days.csv", "target": "power", "time": "day", "window": 2}
    document = {
        "name": "days",
        "data": {"dataset": series, "batch_size": 8},
        "model": {"name": "mlp"},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 1},
    }
    spec = load_document(document, tmp_path).training.data
    found = validation_rows(spec, tmp_path, None)
    assert (np.diff(found.y) == 1).all()
    assert len(found) > 2


def test_those_of_a_text_are_its_part_after_the_training(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 100))))
    document = {
        "name": "text",
        "data": {"dataset": {"text": "text.txt", "length": 2}, "test": 0.1, "validation": 0.2},
        "model": {"name": "rnn"},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 1},
    }
    spec = load_document(document, tmp_path).training.data
    found = validation_rows(spec, tmp_path, None).y - 0x4E00
    assert found.tolist() == [*range(70, 90)]
