"""Which weights are cut, against NumPy's sorts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from hpo.engine.training.compression.connections import (
    CUT,
    FREE,
    KEPT,
    group_cut,
    lowest,
    random_cut,
    replaced,
    smallest_cut,
    unit_cut,
)


def test_the_lowest_numbers_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(0)
    for high in (5, 2**31, 2**32):
        numbers = rng.integers(0, high, 200, dtype=np.uint32)
        order = np.argsort(numbers, kind="stable")
        for count in (0, 1, 77, 200):
            found = lowest(jnp.asarray(numbers), jnp.asarray(count))
            assert [*np.flatnonzero(found)] == sorted(order[:count])


def test_the_smallest_weights_are_cut_and_those_that_may_not_be_are_never_counted() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal(90).astype(np.float32)
    connections = rng.choice([FREE, KEPT], 90).astype(np.int8)
    may = np.flatnonzero(connections == KEPT)
    found = np.asarray(smallest_cut(connections, weights, jnp.float32(0.4)))
    smallest = may[np.argsort(abs(weights[may]))][: round(0.4 * len(may))]
    assert [*np.flatnonzero(found == CUT)] == sorted(smallest)
    assert ((found == FREE) == (connections == FREE)).all()
    # Those that are cut stay so, and come before all others.
    more = np.asarray(smallest_cut(found, weights[::-1].copy(), jnp.float32(0.6)))
    assert set(smallest) < {*np.flatnonzero(more == CUT)}
    assert (more == CUT).sum() == round(0.6 * len(may))


def test_two_of_four_inputs_are_kept_and_two_of_a_shorter_group() -> None:
    weights = np.random.default_rng(2).standard_normal((3, 11, 5)).astype(np.float32)
    connections = np.full(weights.shape, KEPT, np.int8)
    kept = np.asarray(group_cut(connections, weights, 2, 4)) == KEPT
    for start in (0, 4, 8):
        group = abs(weights[:, start : start + 4])
        largest = np.argsort(np.argsort(group, axis=1), axis=1) >= group.shape[1] - 2
        np.testing.assert_array_equal(kept[:, start : start + 4], largest)
    # What pads the inputs of a narrower model belongs to no group.
    wide = np.pad(connections, ((0, 0), (0, 3), (0, 0)))
    padded = group_cut(wide, np.pad(weights, ((0, 0), (0, 3), (0, 0))), 2, 4)
    np.testing.assert_array_equal(np.asarray(padded)[:, :11] == KEPT, kept)
    assert (np.asarray(padded)[:, 11:] == FREE).all()


def test_the_smallest_weights_are_replaced_by_those_of_the_highest_scores() -> None:
    rng = np.random.default_rng(3)
    weights, scores = rng.standard_normal((2, 120)).astype(np.float32)
    connections = rng.choice([FREE, KEPT, CUT], 120, p=[0.1, 0.5, 0.4]).astype(np.int8)
    found = np.asarray(replaced(connections, weights, scores, jnp.float32(0.25)))
    kept = np.flatnonzero(connections == KEPT)
    count = round(0.25 * len(kept))
    dropped = kept[np.argsort(abs(weights[kept]))][:count]
    free = np.concatenate([np.flatnonzero(connections == CUT), dropped])
    grown = free[np.argsort(-abs(scores[free]))][:count]
    assert {*np.flatnonzero(found == KEPT)} == ({*kept} - {*dropped}) | {*grown}
    assert ((found == FREE) == (connections == FREE)).all()
    assert {*grown} & {*dropped}  # one that has just been cut may grow again
    np.testing.assert_array_equal(replaced(connections, weights, scores, 0.0), connections)


def test_a_random_share_is_cut_of_those_that_may_be() -> None:
    connections = np.full((6, 9), KEPT, np.int8)
    connections[:, 0] = FREE
    found = random_cut(connections, 0.4, np.random.default_rng(4))
    assert (found == CUT).sum() == 19  # of 48
    assert (found[:, 0] == FREE).all()
    other = random_cut(connections, 0.4, np.random.default_rng(5))
    assert (found != other).any()


def test_the_units_with_the_smallest_sums_are_cut_and_one_is_kept() -> None:
    weights = np.random.default_rng(6).standard_normal((3, 3, 2, 8)).astype(np.float32)
    connections = np.full(weights.shape, KEPT, np.int8)
    sums = abs(weights).sum((0, 1, 2))
    found = np.asarray(unit_cut(connections, weights, jnp.float32(0.5)))
    for unit in range(8):
        is_small = unit in np.argsort(sums)[:4]
        assert (found[..., unit] == (CUT if is_small else KEPT)).all()
    last = np.asarray(unit_cut(found, weights, jnp.float32(0.99)))
    assert [*np.flatnonzero((last == KEPT).all((0, 1, 2)))] == [np.argmax(sums)]
    # What pads a narrower layer is no unit.
    wide = np.pad(connections, ((0, 0),) * 3 + ((0, 4),))
    padded = unit_cut(wide, np.pad(weights, ((0, 0),) * 3 + ((0, 4),)), jnp.float32(0.5))
    np.testing.assert_array_equal(np.asarray(padded)[..., :8], found)
    assert (np.asarray(padded)[..., 8:] == FREE).all()
