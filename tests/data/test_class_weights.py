"""Weights of classes, against scikit-learn, and what is said of unbalanced ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from hpo.data.cache import DataCache
from hpo.data.class_weights import imbalance
from hpo.data.load import load_data
from hpo.errors import DataError, SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.data import CsvFile, DataSpec
from tests.documents import SMALL


def _spec(folder: Path, rows: int = 200, rare: int = 20, **data: Any) -> DataSpec:
    rng = np.random.default_rng(0)
    lines = [
        f"{rng.normal():.4f},{rng.uniform(0.5, 3):.4f},{'rare' if row % rare == 0 else 'usual'}"
        for row in range(rows)
    ]
    (folder / "t.csv").write_text("\n".join(["a,w,y", *lines]) + "\n")
    table = CsvFile(csv="t.csv", target="y", **data.pop("table", {}))
    return DataSpec(dataset=table, batch_size=8, **data)


@pytest.mark.parametrize("weight", [None, "w"])
def test_balanced_weights_are_those_of_scikit_learn_for_the_training_rows_alone(
    tmp_path: Path, weight: str | None
) -> None:
    table = {"weight": weight}
    plain = load_data(_spec(tmp_path, table=table), tmp_path, None)
    data = load_data(_spec(tmp_path, table=table, class_weight="balanced"), tmp_path, None)

    y, rows = plain.train.y, plain.train.arrays.get("weight")
    expected = compute_class_weight("balanced", classes=np.arange(2), y=y, sample_weight=rows)
    expected = expected[y] * (1 if rows is None else rows)
    np.testing.assert_allclose(data.train.arrays["weight"], expected, rtol=1e-6)
    assert data.train.arrays["weight"].mean() == pytest.approx(1)
    for name in ("validation", "test"):
        ours, theirs = getattr(data, name).arrays, getattr(plain, name).arrays
        ones = np.ones(len(ours["y"]), np.float32)
        np.testing.assert_array_equal(ours["weight"], theirs.get("weight", ones))
        np.testing.assert_array_equal(ours["x"], theirs["x"])
    assert data.fingerprint == plain.fingerprint


def test_weighed_data_share_the_cache_of_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    cache = DataCache(tmp_path / "cache")
    for word in ("none", "balanced", "none"):
        data = load_data(_spec(tmp_path, class_weight=word), tmp_path, None, cache)
        assert ("weight" in data.train.arrays) == (word == "balanced")
    assert cache.usage().entries == 1


def test_class_weights_of_a_quantity_are_refused(tmp_path: Path) -> None:
    spec = _spec(tmp_path, class_weight="balanced").model_copy(
        update={"dataset": CsvFile(csv="t.csv", target="a")}
    )
    with pytest.raises(
        DataError, match=r"data.class_weight: balanced weighs classes, and this is r"
    ):
        load_data(spec, tmp_path, None)
    data = {"dataset": "diabetes", "class_weight": "balanced"}
    search = {"objective": {"minimize": "rmse"}, "trials": 3, "baselines": False}
    with pytest.raises(SpecError, match=r"data.class_weight: weighs classes, and the task is r"):
        load_document({**SMALL, "data": data, "search": search}, tmp_path)


def test_unbalanced_classes_are_named_with_their_rows_and_the_cure(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    text = imbalance(load_data(spec, tmp_path, None), spec)
    assert text == (
        "The classes are unbalanced: 'rare' has 6 of 120 training rows, and 'usual' has 114. Write "
        "class_weight: balanced in data to weigh them alike, or none to leave them."
    )


@pytest.mark.parametrize("word", ["none", "balanced"])
def test_nothing_is_said_where_the_spec_has_decided_or_classes_are_alike(
    tmp_path: Path, word: str
) -> None:
    decided = _spec(tmp_path, class_weight=word)
    assert imbalance(load_data(decided, tmp_path, None), decided) is None
    alike = _spec(tmp_path, rare=3)
    assert imbalance(load_data(alike, tmp_path, None), alike) is None


def test_named_classes_weigh_so_much_more_than_others_and_the_mean_stays_1(tmp_path: Path) -> None:
    plain = load_data(_spec(tmp_path), tmp_path, None)
    data = load_data(_spec(tmp_path, class_weight={"rare": 3.0}), tmp_path, None)
    is_rare = plain.train.y == plain.classes.index("rare")
    weight = data.train.arrays["weight"]
    np.testing.assert_allclose(weight[is_rare], 3 * weight[~is_rare][0], rtol=1e-6)
    assert weight.mean() == pytest.approx(1)
    assert (data.validation.arrays["weight"] == 1).all()


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"spam": 2.0}, r"data\.class_weight: there is no class 'spam'"),
        ({"rare": 0.0, "usual": 0.0}, r"data\.class_weight: all training rows have the weight 0"),
    ],
)
def test_weights_of_no_class_are_refused(
    tmp_path: Path, weights: dict[str, float], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        load_data(_spec(tmp_path, class_weight=weights), tmp_path, None)


def test_names_of_classes_may_be_numbers_and_weights_are_0_or_more(tmp_path: Path) -> None:
    data = {"dataset": "digits", "class_weight": {3: 2.0}}
    assert load_document({**SMALL, "data": data}, tmp_path).training.data.class_weight == {"3": 2.0}
    with pytest.raises(SpecError, match=r"data\.class_weight"):
        load_document({**SMALL, "data": {**data, "class_weight": {3: -1}}}, tmp_path)


@pytest.mark.parametrize("asked", ["balanced", {"7": 4.0}])
def test_classes_of_pixels_have_weights_in_training_alone(tmp_path: Path, asked: Any) -> None:
    (tmp_path / "data.py").write_text(
        "import numpy as np\n"
        "def masks():\n"
        "    y = np.zeros((20, 3, 4), int)\n"
        "    y[:, 0, 0] = 7\n"
        "    return {'x': np.zeros((20, 3, 4, 1)), 'y': y}\n"
    )
    dataset = {"dataset": {"python": "data.py:masks"}, "batch_size": 4, "class_weight": asked}
    document = {**SMALL, "data": dataset, "search": {"objective": {"maximize": "iou"}, "trials": 2}}
    data = load_data(load_document(document, tmp_path).training.data, tmp_path, None)
    weight, y = data.train.arrays["weight"], data.train.y
    expected = compute_class_weight("balanced", classes=np.arange(2), y=y.ravel())[y]
    if asked != "balanced":
        expected = np.where(y == 1, 4, 1) / np.where(y == 1, 4, 1).mean()
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert (data.validation.arrays["weight"] == 1).all()
    assert data.validation.row_weight is not None
    assert data.validation.row_weight.shape == (4,)
