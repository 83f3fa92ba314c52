"""Masks of `nnx.Dropout` in a user's own module."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.engine.models.dropout import Dropout, mask_key
from hpo.engine.models.masks import masks_from, swap_dropouts

X = jnp.ones((64, 32))


class Net(nnx.Module):  # type: ignore[misc]
    def __init__(self, rate, rngs):
        self.first = nnx.Dropout(rate, rngs=rngs)
        self.parts = nnx.List([nnx.Sequential(nnx.Dropout(rate, rngs=rngs), nnx.relu)])
        self.rows = nnx.Dropout(rate, broadcast_dims=(1,), rngs=rngs)

    def __call__(self, x):
        return self.first(x), self.first(x), self.parts[0](x), self.rows(x)


def a_step(number=0, lane=0):
    return Dropout(0.9, mask_key(jnp.array([lane, 7], jnp.uint32), jnp.int32(number)))


def outputs(rate, step, train=True):
    net = Net(rate, nnx.Rngs(0))
    swap_dropouts(net)
    net.train() if train else net.eval()
    with masks_from(step):
        return [np.asarray(y) for y in net(X)]


def test_masks_are_those_of_our_dropout_counted_by_call_wherever_the_layer_is():
    ours = a_step().with_rate(0.25)

    first, second, third, _ = outputs(jnp.float32(0.25), a_step())

    for layer, y in enumerate((first, second, third)):
        assert (y == np.asarray(ours(X, layer))).all()
    assert (first != second).any()


def test_masks_depend_on_the_lane_and_the_step_alone():
    again, other_step, other_lane = (
        outputs(0.25, step)[0] for step in (a_step(), a_step(1), a_step(0, 1))
    )

    assert (outputs(0.25, a_step())[0] == again).all()
    assert (again != other_step).any()
    assert (again != other_lane).any()


def test_shared_dimensions_share_the_mask():
    rows = outputs(0.5, a_step())[3]

    assert (rows == rows[:, :1]).all()
    assert 0 < (rows == 0).mean() < 1


@pytest.mark.parametrize(("rate", "train"), [(0.0, True), (0.5, False)])
def test_a_rate_of_zero_and_evaluation_change_nothing(rate, train):
    assert all((y == X).all() for y in outputs(rate, a_step(), train))


class Loop(nnx.Module):  # type: ignore[misc]
    def __init__(self, rngs):
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        axes = nnx.StateAxes({nnx.RngState: nnx.Carry})

        @nnx.scan(in_axes=(axes, nnx.Carry), out_axes=(nnx.Carry, 0), length=3)
        def body(drop, x):
            return x, drop(x)

        return body(self.drop, x)[1]


def test_a_layer_within_a_loop_of_the_author_has_another_mask_each_time():
    net = Loop(nnx.Rngs(0))
    swap_dropouts(net)
    with masks_from(a_step()):
        masks = np.asarray(net(X))

    assert (masks[0] != masks[1]).any()
    assert (masks[1] != masks[2]).any()
