"""Several targets: columns of labels or of quantities, from a table or a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from hpo.data.cache import DataCache
from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.errors import DataError
from hpo.spec.load import load_document
from hpo.spec.sections.data import CsvFile, DataSpec
from tests.documents import SMALL


def _table(folder: Path, columns: dict[str, Any], **keys: Any) -> DataSpec:
    """A spec of a table with a feature `x` and these columns."""
    rows = len(next(iter(columns.values())))
    lines = [
        ",".join(map(str, (row, *(column[row] for column in columns.values()))))
        for row in range(rows)
    ]
    (folder / "t.csv").write_text("\n".join([",".join(["x", *columns]), *lines]) + "\n")
    dataset = CsvFile(csv="t.csv", **{"target": tuple(columns), **keys})
    return DataSpec(dataset=dataset, batch_size=4)


_WORDS = {"red": [True, False] * 20, "big": [0, 1, 1, 1] * 10, "old": [1.0, 0.0, 0.0, 0.0] * 10}


def test_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    data = load_data(_table(tmp_path, _WORDS), tmp_path, None)
    assert (data.task, data.outputs, data.classes) == ("multilabel", 3, ())
    assert data.train.x.shape == (len(data.train), 1)
    expected = np.array([*_WORDS.values()], np.float32).T
    made = [data.train, data.validation, data.test]
    rows = np.concatenate([split.y for split in made if split is not None])
    assert rows.dtype == np.float32
    assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))


def test_columns_of_quantities_are_each_standardised_as_scikit_learn_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"low": rng.normal(5, 0.1, 50), "high": rng.normal(-900, 70, 50)}
    (tmp_path / "cache").mkdir(mode=0o700)
    cache = DataCache(tmp_path / "cache")
    spec = _table(tmp_path, columns)
    read, cached = (load_data(spec, tmp_path, None, cache) for _ in range(2))
    assert cache.usage().entries == 1
    for data in (read, cached):
        assert (data.task, data.outputs) == ("regression", 2)
        own = data.train.y * data.target_std + data.target_mean
        scaler = StandardScaler().fit(own)
        np.testing.assert_allclose(data.train.y, scaler.transform(own), atol=1e-5)
        np.testing.assert_allclose(data.target_std, scaler.scale_, rtol=1e-5)
        assert set(own[:, 1].round(3)) <= set(columns["high"].round(3))


def test_a_list_of_one_target_is_that_target(tmp_path: Path) -> None:
    data = load_data(_table(tmp_path, {"red": [True, False] * 20}), tmp_path, None)
    assert (data.task, data.classes) == ("classification", ("False", "True"))


def test_labels_are_quantities_where_the_spec_says_so(tmp_path: Path) -> None:
    data = load_data(_table(tmp_path, _WORDS, task="regression"), tmp_path, None)
    assert data.task == "regression"
    np.testing.assert_allclose(data.train.y.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "keys", "says"),
    [
        ({"a": [1, 0] * 5, "b": [2, 3] * 5}, {"task": "multilabel"}, "labels of 0 and 1, and 'a'"),
        ({"a": [1, 0] * 5, "b": ["u", "v"] * 5}, {}, r"target 'b' is not a number everywhere"),
        ({"a": [1, 0] * 5, "b": [0, 1] * 5}, {"task": "counts"}, "counts has one target"),
        ({"a": [1, 0] * 5}, {"target": "a", "task": "multilabel"}, "needs several targets"),
        ({"a": [1, 0] * 5, "b": [0, 1] * 5}, {"target": ("a", "c")}, "unknown column 'c'"),
        ({"a": [1, 0] * 5, "b": [0, 1] * 5}, {"target": ("a", "a")}, "'a' is listed twice"),
        ({"a": [1, 0] * 5, "b": [0, 1] * 5}, {"weight": "b"}, "'b' is the target"),
        ({"a": [1, 0] * 5, "b": [0, ""] * 5}, {}, "b"),
    ],
)
def test_targets_that_do_not_go_together_are_refused_in_one_line(
    tmp_path: Path, columns: dict[str, Any], keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says) as error:
        load_data(_table(tmp_path, columns, **keys), tmp_path, None)
    assert "\n" not in str(error.value)


def test_the_head_of_a_table_shows_gaps_of_every_target(tmp_path: Path) -> None:
    spec = _table(tmp_path, {"a": [1, 0, 1, 0], "b": [0, "", 1, 1]})
    (mistake,) = inspect_data(spec, tmp_path, None).mistakes
    assert "t.csv:3" in mistake.text
    assert "'b'" in mistake.text


SOURCE = """
import numpy as np

def several(kind="float"):
    rng = np.random.default_rng(0)
    y = rng.random((40, 3))
    return {"x": rng.random((40, 2)), "y": y if kind == "float" else (y > 0.5).astype(int)}
"""


@pytest.mark.parametrize(
    ("keys", "task"),
    [
        ({}, "regression"),
        ({"kind": "int"}, "multilabel"),
        ({"kind": "int", "task": "regression"}, "regression"),
    ],
)
def test_a_function_may_return_several_targets(
    tmp_path: Path, keys: dict[str, Any], task: str
) -> None:
    (tmp_path / "data.py").write_text(SOURCE)
    metric = "rmse" if task == "regression" else "auroc"
    document = {
        **SMALL,
        "data": {"dataset": {"python": "data.py:several", **keys}, "batch_size": 4},
        "search": {"objective": {"minimize": metric}, "trials": 1, "baselines": False},
    }
    experiment = load_document(document, tmp_path)
    data = load_data(experiment.training.data, tmp_path, None)
    assert (data.task, data.outputs, data.train.y.shape[1]) == (task, 3, 3)
    assert data.train.y.dtype == np.float32
