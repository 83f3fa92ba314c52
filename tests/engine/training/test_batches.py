"""Batches: a split cut into equal parts, and rows on the host and on a device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split, gather
from hpo.data.sequences.windows import Part, Windows
from hpo.engine.training.batches import Index, evaluation_parts, host_data, host_rows
from tests.engine.samples import Learn, a_split, a_training, tiny_data


def _split(rows: int, **more: np.ndarray) -> Split:
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    return Split({"x": x, "y": np.arange(rows, dtype=np.int32), **more})


@pytest.mark.parametrize(("rows", "parts"), [(1, 1), (512, 1), (513, 2), (1024, 2), (1025, 3)])
def test_a_split_is_evaluated_in_parts_of_at_most_512_rows(rows: int, parts: int) -> None:
    assert evaluation_parts(rows) == parts


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of at most three rows."""
    monkeypatch.setattr("hpo.engine.training.batches._EVALUATION_ROWS", 3)


@pytest.mark.usefixtures("small_parts")
def test_the_last_part_is_padded_with_rows_of_weight_zero() -> None:
    found = host_rows(_split(5))
    np.testing.assert_array_equal(found["y"], [[0, 1, 2], [3, 4, 0]])
    np.testing.assert_array_equal(found["weight"], [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(found["x"][1], [[6, 7], [8, 9], [0, 0]])


@pytest.mark.usefixtures("small_parts")
def test_rows_keep_weights_of_their_own() -> None:
    weights = np.array([0.5, 2, 0, 1, 1.5], np.float32)
    found = host_rows(_split(5, weight=weights))
    np.testing.assert_array_equal(found["weight"], [[0.5, 2, 0], [1, 1.5, 0]])


@pytest.mark.usefixtures("small_parts")
def test_parts_of_a_split_can_be_read_one_after_the_other() -> None:
    split = _split(8)
    whole = host_rows(split)
    pieces = [host_rows(split, start, 1) for start in range(3)]
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), array)


def test_a_batch_has_the_rows_that_are_asked_for_of_every_array() -> None:
    split = _split(4, weight=np.array([1, 2, 3, 4], np.float32))
    found = gather(split.arrays, np.array([3, 0, 3]))
    assert {name: array.tolist() for name, array in found.items()} == {
        "x": [[6, 7], [0, 1], [6, 7]],
        "y": [3, 0, 3],
        "weight": [4, 1, 4],
    }


def test_the_data_of_a_program_are_training_rows_as_they_are_and_validation_rows_in_parts() -> None:
    tiny = tiny_data()
    found = host_data(tiny, is_whole=False)
    assert found.train["x"] is tiny.train.x
    assert found.train.keys() == {"x", "y"}
    assert found.validation is not None
    assert found.validation["x"].shape == (1, 40, 5)
    assert not found.is_chunked


def test_a_batch_on_the_device_has_the_rows_of_a_batch_on_the_host() -> None:
    arrays = a_split(np.random.default_rng(0), 20, (5,)).arrays
    for rows in (np.array([3, 3, 19, 0]), np.array([[1, 2], [7, 5]])):
        there = jax.jit(gather)(dict(arrays), jnp.asarray(rows))
        here = gather(arrays, rows)
        for name, array in arrays.items():
            np.testing.assert_array_equal(here[name], array[rows])
            np.testing.assert_array_equal(there[name], array[rows])


def test_the_device_gets_the_rows_of_training_and_validation_alone() -> None:
    whole = a_split(np.random.default_rng(0), 100, (5,)).arrays
    index = (slice(0, 60), slice(60, 80), slice(80, 100))
    train, validation, test = (Split(whole, rows) for rows in index)
    device = host_data(DataSet("classification", train, validation, test, 3, "d"), is_whole=False)
    assert device.validation is not None
    np.testing.assert_array_equal(device.train["x"], whole["x"][:60])
    np.testing.assert_array_equal(device.validation["x"], whole["x"][60:80].reshape(1, 20, 5))
    assert {len(array) for array in device.train.values()} == {60}
    assert {array.shape[:2] for array in device.validation.values()} == {(1, 20)}


def test_parts_of_a_split_are_its_rows_in_order() -> None:
    rows = np.random.default_rng(0).permutation(1100)[:1050]
    split = Split(a_split(np.random.default_rng(1), 1100, (2,)).arrays, rows)
    pieces = [host_rows(split, part, 1) for part in range(3)]
    joined = np.concatenate([piece["x"].reshape(-1, 2) for piece in pieces])
    np.testing.assert_array_equal(joined, split.shared["x"][rows])
    assert sum(piece["weight"].sum() for piece in pieces) == 1050


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("budget", [None, 1100])
def test_windows_of_one_array_train_and_are_judged_as_their_copies_are(
    learn: Learn, budget: int | None
) -> None:
    # The budget streams the copies, which take more memory than the array.
    array = np.sin(np.arange(60, dtype=np.float32) / 3)[:, None]
    parts = (Part("x", 0, 6), Part("y", 6, 2, 0))
    windows = Windows(array, np.append(np.arange(33), np.arange(40, 53)).astype(np.int32), parts)
    splits = [Split(windows, rows) for rows in (slice(0, 33), slice(33, 46))]
    copies = [Split({name: np.array(a) for name, a in one.arrays.items()}) for one in splits]
    section = {"dataset": "iris", "batch_size": 8}
    section |= {} if budget is None else {"device_budget": budget}
    training = a_training(data=section, train={"epochs": 3})
    found, expected = (
        learn(DataSet("regression", *pair, None, 2, "w"), [training]) for pair in (splits, copies)
    )
    assert found[0] == [pytest.approx(epoch, rel=1e-5) for epoch in expected[0]]
    assert found[0][-1]["loss"] < found[0][0]["loss"]


def test_padding_of_an_index_weighs_nothing_where_pixels_have_weights() -> None:
    arrays = {"x": np.zeros((3, 2, 2, 1)), "weight": np.full((3, 2, 2), 5.0, np.float32)}
    places = np.array([2, 0, -1])
    batch = Index(arrays, {"judged": places[None]}).batch(jnp.asarray(places))
    np.testing.assert_array_equal(batch["weight"][:, 1, 1], [5, 5, 0])
