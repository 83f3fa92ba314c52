"""Weights: one vector and a tree, whole and narrowed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import split
from hpo.engine.training.supervised import abstract_lane, initial_lane, own_weights
from hpo.engine.training.weights import narrowed, parted, widened
from tests.engine.samples import a_merged, tiny_data, unmerged

_DATA = tiny_data()


@settings(deadline=None, max_examples=8)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=2, max_size=4))
def test_a_trial_finds_its_own_weights_in_the_wider_lane(widths: list[list[int]]) -> None:
    for mine in widths:
        training = a_merged(3, {"widths": widths}, model={"name": "mlp", "widths": mine})
        program, _ = split(training, _DATA, "cpu")
        own, _ = split(unmerged(training), _DATA, "cpu")
        lane = initial_lane(program, training)
        params, _ = own_weights(program, training, lane)
        shapes = jax.tree.map(lambda leaf: leaf.shape, abstract_model(own)[1])
        assert jax.tree.map(lambda leaf: leaf.shape, params) == shapes
        alone = parted(own, initial_lane(own, unmerged(training)).params)
        jax.tree.map(np.testing.assert_array_equal, params, alone)


@settings(deadline=None, max_examples=4)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=2), min_size=2, max_size=3),
    st.integers(1, 8),
    st.sampled_from(["none", "layer", "batch"]),
)
def test_narrowing_and_widening_an_unchanged_lane_changes_nothing(
    widths: list[list[int]], bound: int, norm: str
) -> None:
    model = {"name": "mlp", "widths": widths[0], "norm": norm}
    optimizers = [{"name": "sgd"}, {"name": "adamw"}, {"name": "rmsprop", "momentum": 0.9}]
    training = a_merged(1, {"widths": widths, "optimizer": optimizers}, model=model)
    program, _ = split(training, _DATA, "cpu")
    if not any(path == "model.widths" for path, _ in program.merged):
        return
    rng = np.random.default_rng(0)
    lane = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(1, 2, leaf.shape), leaf.dtype),
        abstract_lane(program),
    )
    narrow = program.narrow(bound)
    small = narrowed(program, narrow, lane)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), small)
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), abstract_lane(narrow))
    again = widened(program, narrow, lane, small)
    jax.tree.map(np.testing.assert_array_equal, again, lane)
