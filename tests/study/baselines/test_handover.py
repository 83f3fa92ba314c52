"""What another process reads of a data set is what was handed over."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.data.sequences.windows import Part, Windows
from hpo.data.transforms.transform import FittedTransform
from hpo.study.baselines import handover
from hpo.study.baselines.handover import TooLargeError, hand_over, handed
from tests.study.baselines.samples import a_data_set


def read(given):
    with given.file:
        return dict(handed(given.file, given.places))


def images(rows, share=1.0, width=30):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, width, width, 1)).astype(np.float32)
    x *= rng.random(x.shape) < share
    arrays = {"x": x, "y": np.arange(rows, dtype=np.int32) % 2}
    train, judged = Split(arrays, slice(0, rows - 10)), Split(arrays, slice(rows - 10, rows))
    return DataSet("classification", train, judged, None, 2, "known")


def test_the_rows_of_every_split_and_their_weights_arrive():
    data = a_data_set("classification", 3, weighted=True)
    given = hand_over(data, 0)
    arrays = read(given)

    assert (given.rows, given.rows_of, given.is_sparse) == (60, 60, False)
    np.testing.assert_array_equal(arrays["train.x"], data.train.x)
    np.testing.assert_array_equal(arrays["train.y"], data.train.y)
    np.testing.assert_array_equal(arrays["train.weight"], data.train.arrays["weight"])
    np.testing.assert_array_equal(arrays["validation.x"], data.validation.x)
    np.testing.assert_array_equal(arrays["test.x"], data.test.x)


def test_the_rows_of_every_fold_arrive():
    data = of_folds([a_data_set("regression", 1, seed=seed) for seed in (1, 2)])
    arrays = read(hand_over(data, 0))

    for number, fold in enumerate(data.folds):
        np.testing.assert_array_equal(arrays[f"{number}.train.y"], fold.train.y)
        np.testing.assert_array_equal(arrays[f"{number}.validation.x"], fold.validation.x)
        np.testing.assert_array_equal(arrays[f"{number}.test.x"], fold.test.x)


def test_images_are_flattened():
    data = images(40)
    arrays = read(hand_over(data, 0))

    np.testing.assert_array_equal(arrays["train.x"], data.train.x.reshape(30, 900))
    np.testing.assert_array_equal(arrays["validation.x"], data.validation.x.reshape(10, 900))


def test_wide_features_that_are_nearly_all_0_arrive_as_a_sparse_matrix():
    data = images(40, share=0.02)
    given = hand_over(data, 0)
    arrays = read(given)

    assert given.is_sparse
    np.testing.assert_array_equal(arrays["train.x"].toarray(), data.train.x.reshape(30, 900))
    np.testing.assert_array_equal(
        arrays["validation.x"].toarray(), data.validation.x.reshape(10, 900)
    )


def test_of_too_many_values_the_same_rows_are_drawn_each_time(monkeypatch):
    monkeypatch.setattr(handover, "_MOST_VALUES", 12 * 900)
    data = images(40)
    given, again, other = hand_over(data, 3), hand_over(data, 3), hand_over(data, 4)
    rows = read(given)["train.x"]

    assert (given.rows, given.rows_of, rows.shape) == (12, 30, (12, 900))
    np.testing.assert_array_equal(rows, read(again)["train.x"])
    assert not np.array_equal(rows, read(other)["train.x"])
    places = [np.flatnonzero((data.train.x.reshape(30, 900) == row).all(1))[0] for row in rows]
    assert places == sorted(places)


def test_judged_rows_that_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(handover, "_MOST_BYTES", 4 * 10 * 900 - 1)

    with pytest.raises(TooLargeError):
        hand_over(images(40), 0)


def test_the_file_has_no_name_that_could_be_left_behind():
    with hand_over(a_data_set("classification", 3), 0).file as file:
        assert os.fstat(file.fileno()).st_nlink == 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_codes_of_categories_arrive_as_one_hot_columns(share, monkeypatch):
    x = np.array([[1, 0, 0.5], [3, 1, 0], [0, 1, -2], [2, 0, 0]], np.float32)
    arrays = {"x": x, "y": np.array([0, 1, 0, 1], np.int32)}
    fit = FittedTransform(more={"code_start": np.array([0, 3, 4])})
    train, judged = Split(arrays, slice(0, 3)), Split(arrays, slice(3, 4))
    data = DataSet("classification", train, judged, None, 2, "codes", transform=fit)
    monkeypatch.setattr(handover, "_WIDE", 4)
    monkeypatch.setattr(handover, "_SPARSE", share)
    arrays = read(given := hand_over(data, 0))
    assert given.is_sparse == (share == 1.0)
    found = [arrays[name] for name in ("train.x", "validation.x")]
    found = [one.toarray() if given.is_sparse else one for one in found]
    expected = [[1, 0, 0, 0, 0.5], [0, 0, 1, 1, 0], [0, 0, 0, 1, -2]]
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], [[0, 1, 0, 0, 0]])
    assert "train.encoded" not in arrays
    both = read(given := hand_over(data, 0, has_network=True))
    assert given.is_twice
    np.testing.assert_array_equal(both["train.encoded"], train.x)
    np.testing.assert_array_equal(both["validation.encoded"], judged.x)


def test_ids_of_tokens_arrive_as_counts_of_words():
    ids = np.array([[2, 3, 3, 0], [1, 4, 2, 2], [0, 0, 0, 0], [3, 3, 3, 3]], np.int32)
    arrays = {"x": ids, "y": np.array([0, 1, 0, 1], np.int32)}
    data = DataSet("classification", Split(arrays), Split(arrays), None, 2, "known")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataSet, "vocabulary", 5)
        given = hand_over(data, 0, has_network=True)

    assert (given.is_sparse, given.are_counts, given.is_twice) == (True, True, True)
    arrays = read(given)
    np.testing.assert_array_equal(arrays["validation.encoded"], ids)
    np.testing.assert_array_equal(
        arrays["train.x"].toarray(),
        [[0, 0, 1, 2, 0], [0, 0, 2, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 4, 0]],
    )


def test_windows_of_a_series_arrive_with_their_length():
    values = np.arange(60, dtype=np.float32).reshape(30, 2)
    parts = (Part("x", 0, 4), Part("y", 4, 2, 1))
    shared = Windows(values, np.arange(24, dtype=np.int32), parts)
    splits = [Split(shared, slice(*ends)) for ends in ((0, 20), (20, 24))]
    given = hand_over(DataSet("regression", *splits, None, 2, "known"), 0)
    arrays = read(given)

    assert given.window == 4
    np.testing.assert_array_equal(arrays["train.x"][3], values[3:7].ravel())
    np.testing.assert_array_equal(arrays["train.y"][3], values[7:9, 1])
    np.testing.assert_array_equal(arrays["validation.x"][0], values[20:24].ravel())
