"""The order of rows, and the random streams of trials."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.engine.training.random_streams import batches, lane_key, weights_rng

_SEEDS, _STREAMS = st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1)


@given(seed=_SEEDS, epoch=st.integers(0, 1000), rows=st.integers(1, 300), size=st.integers(1, 300))
def test_an_epoch_sees_every_row_once_but_for_the_last_partial_batch(
    seed: int, epoch: int, rows: int, size: int
) -> None:
    order = batches(seed, epoch, rows, size)
    assert order.dtype == np.int32
    assert order.shape == (rows // size, size)
    assert len(np.unique(order)) == order.size
    assert set(order.flat) <= set(range(rows))
    assert rows - order.size < size


@given(seed=_SEEDS, epoch=st.integers(0, 1000))
def test_an_epoch_of_a_seed_is_always_in_the_same_order(seed: int, epoch: int) -> None:
    np.testing.assert_array_equal(batches(seed, epoch, 40, 8), batches(seed, epoch, 40, 8))


@given(one=st.tuples(_SEEDS, st.integers(0, 1000)), other=st.tuples(_SEEDS, st.integers(0, 1000)))
def test_other_epochs_and_other_seeds_have_other_orders(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    same = np.array_equal(batches(*one, 64, 8), batches(*other, 64, 8))
    assert same == (one == other)


def test_every_batch_size_cuts_the_same_order() -> None:
    np.testing.assert_array_equal(batches(0, 0, 48, 8).ravel(), batches(0, 0, 48, 16).ravel())


@pytest.mark.parametrize(("rows", "size", "left_out"), [(10, 5, 0), (10, 4, 2), (10, 6, 4)])
def test_each_epoch_leaves_out_other_rows(rows: int, size: int, left_out: int) -> None:
    absent = [set(range(rows)) - set(batches(0, epoch, rows, size).flat) for epoch in range(20)]
    assert {len(rows_absent) for rows_absent in absent} == {left_out}
    if left_out:
        assert set.union(*absent) == set(range(rows))


@given(
    trials=st.lists(st.tuples(_SEEDS, _STREAMS), min_size=2, max_size=20, unique=True),
)
def test_no_two_trials_share_a_key_or_their_initial_weights(trials: list[tuple[int, int]]) -> None:
    assert len({tuple(lane_key(*trial).tolist()) for trial in trials}) == len(trials)
    assert len({weights_rng(*trial).integers(2**63) for trial in trials}) == len(trials)


def test_weights_and_order_never_share_a_stream() -> None:
    permuted = weights_rng(3, 5).permutation(40)
    assert not np.array_equal(batches(3, 5, 40, 40)[0], permuted)
