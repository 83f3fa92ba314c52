"""Examples of the user's own with targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.data.new.labelled import labelled
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

TABLE = "a,c,y\n" + "".join(f"{n},{'pq'[n % 2]},{['no', 'yes'][n % 2]}\n" for n in range(40))


def _read(folder: Path, file: str, dataset: Any, **data: Any) -> Source:
    spec = DataSpec.model_validate({"dataset": dataset, **data})
    return labelled("data.extra", file, folder, load_data(spec, folder, None), spec)


def test_rows_of_a_table_have_the_columns_and_classes_of_the_training(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "more.csv").write_text("y,c,a\nyes,q,7\nno,new,\n")
    source = _read(tmp_path, "more.csv", {"csv": "t.csv", "target": "y"})
    np.testing.assert_array_equal(source.x, [[7], [np.nan]])
    assert source.categories is not None
    assert [source.values[0][code] for code in source.categories[:, 0]] == ["q", "new"]
    assert [source.classes[number] for number in source.y] == ["yes", "no"]


def test_arrays_have_a_target_each(tmp_path: Path) -> None:
    x = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8, 1)
    np.savez(tmp_path / "more.npz", x=x, y=[3, 0, 9, 3, 1])
    source = _read(tmp_path, "more.npz", "digits")
    np.testing.assert_array_equal(source.x, x)
    assert source.y.tolist() == [3, 0, 9, 3, 1]


def test_other_data_are_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "more.csv").write_text("a,c,y\n1,p,maybe\n")
    table = {"csv": "t.csv", "target": "y"}
    with pytest.raises(DataError, match=r"more\.csv:2: .* 'maybe', a class that the training"):
        _read(tmp_path, "more.csv", table)
    with pytest.raises(DataError, match=r"none\.csv: there is no such file: correct the path"):
        _read(tmp_path, "none.csv", table)
    (tmp_path / "t.txt").write_text("abcdefgh" * 500)
    with pytest.raises(DataError, match=r"data\.extra: is for rows of a table, and for images and"):
        _read(tmp_path, "t.txt", {"text": "t.txt"})
