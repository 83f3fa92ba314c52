"""Codes of categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import OrdinalEncoder

from hpo.data.load import load_data
from hpo.data.source import Source
from hpo.data.transforms.codes import code_counts, code_features, fit_codes
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.spec.load import load_document
from hpo.spec.sections.columns import Columns

EMBED = Columns(encode="embed")
codes = st.integers(-1, 4)


@given(arrays(np.int32, (9, 2), elements=codes), arrays(np.int32, (4, 2), elements=codes))
def test_codes_are_one_more_than_those_of_scikit_learn_and_0_if_empty_or_unknown(train, other):
    train[0] = [1, 2]  # no column is empty
    as_floats = [np.where(rows < 0, np.nan, rows) for rows in (train, other)]
    oracle = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    ).fit(as_floats[0])
    fit = fit_codes(train, EMBED.of_all(["a", "b"]))
    for rows, given_rows in zip((train, other), as_floats, strict=True):
        found = code_features(fit, rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, oracle.transform(given_rows) + 1)
    assert code_counts(fit) == tuple(len({*column} - {-1}) + 1 for column in train.T.tolist())


def table(x, categories):
    categories = np.array(categories, np.int32)
    return Source(
        x=np.array(x, np.float64),
        y=np.arange(len(x), dtype=np.float64),
        target="t.csv",
        categories=categories,
        names=tuple("xyz"[: np.shape(x)[1]]),
        text_names=tuple("abc"[: categories.shape[1]]),
        values=(("p", "q", "r"),) * categories.shape[1],
    )


def test_codes_come_before_numbers_and_other_encodings() -> None:
    columns = Columns(by_name={"b": {"encode": "embed"}})
    source = table([[5.0], [6.0], [7.0]], [[0, 2], [1, -1], [0, 1]])
    fitted = fit_transform(source, "none", columns=columns)
    np.testing.assert_array_equal(fitted.apply(source), [[2, 5, 1, 0], [0, 6, 0, 1], [1, 7, 1, 0]])
    assert fitted.categories == (3,)
    again = FittedTransform.from_arrays(fitted.to_arrays())
    assert again.categories == (3,)
    np.testing.assert_array_equal(again.apply(source), fitted.apply(source))


def test_a_column_without_any_training_value_has_the_code_0_alone() -> None:
    source = table([[5.0], [6.0]], [[-1, 0], [-1, 1]])
    fitted = fit_transform(source, "none", columns=EMBED)
    assert fitted.categories == (1, 3)
    other = table([[5.0], [6.0]], [[2, 0], [-1, 2]])
    np.testing.assert_array_equal(fitted.apply(other), [[0, 1, 5], [0, 0, 6]])


def load(folder: Path, rows: list[str], **data):
    (folder / "t.csv").write_text("town,age,y\n" + "".join(f"{row}\n" for row in rows))
    document = {
        "name": "towns",
        "data": {
            "dataset": {"csv": "t.csv", "target": "y"},
            "columns": {"encode": "embed"},
            **data,
        },
        "model": {"name": "mlp"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"epochs": 1},
    }
    return load_data(load_document(document, folder).training.data, folder, None)


def test_folds_with_different_categories_share_the_largest_number_of_codes(tmp_path: Path) -> None:
    rows = [f"{'rare' if n < 2 else 'ab'[n % 2]},{n},{n / 7}" for n in range(24)]
    data = load(tmp_path, rows, folds=12, split_seed=3, batch_size=4)
    own = [fold.transform.categories for fold in data.folds]
    assert (data.categories, data.train.example_shape) == ((4,), (2,))
    assert set(own) <= {(3,), (4,)}
    for fold, (count,) in zip(data.folds, own, strict=True):
        assert set(fold.train.x[:, 0]) == set(range(1, count))


def test_a_series_refuses_codes(tmp_path: Path) -> None:
    rows = [f"{'ab'[n % 2]},{n},{n / 7}" for n in range(40)]
    dataset = {"csv": "t.csv", "target": "y", "time": "age", "window": 3, "horizon": 1}
    with pytest.raises(DataError, match=r"^data\.columns: encode: embed is for the rows of a "):
        load(tmp_path, rows, dataset=dataset, batch_size=4)
