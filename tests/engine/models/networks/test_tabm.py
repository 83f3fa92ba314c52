"""TabM: its members are perceptrons of their own, against NumPy and Flax's perceptron."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.engine.models.abstract import Shapes, build
from hpo.engine.models.sizes import model_size
from hpo.engine.program import split
from hpo.engine.training.supervised import initial_lane, judged
from hpo.spec.experiment import Training
from tests.engine.models.by_hand import BY_HAND, NO_DROPOUT, TINY, a_model, inputs
from tests.engine.samples import Learn, a_training


def _members(model: Any, params: Any, x: np.ndarray) -> Any:
    """The outputs of every member, `[B, M, K]`."""
    network = nnx.merge(model.graph, params, model.statistics)
    return network(jnp.asarray(x), model.spec, train=True, dropout=NO_DROPOUT).outputs


def _one(params: Any, x: np.ndarray, member: int) -> np.ndarray:
    """A member as a perceptron with kernels of its own, in float64."""
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), params)
    x = x * params["signs"][member]
    for _, layer in sorted(params["layers"].items()):
        kernel, bias = layer["kernel"], layer["bias"]
        if "after" in layer:
            kernel, bias = kernel * layer["after"][member], bias[member]
        if "before" in layer:
            kernel = layer["before"][member][:, None] * kernel
        x = BY_HAND["relu"](x @ kernel + bias)
    return x @ params["heads"][member] + params["bias"][member]


@pytest.mark.parametrize("factors", ["all", "first"])
def test_each_member_is_a_perceptron_of_its_own(factors: str) -> None:
    model, x = a_model(name="tabm", widths=[4, 3], members=6, factors=factors), inputs(5)
    outputs = _members(model, model.params, x)
    for member in range(6):
        expected = _one(model.params, x.astype(np.float64), member)
        np.testing.assert_allclose(outputs[:, member], expected, rtol=1e-4, atol=1e-5)


def test_a_single_member_without_factors_is_the_perceptron_mlp() -> None:
    model, x = a_model(name="tabm", widths=[4, 3], members=1, factors="first"), inputs(5)
    mlp = a_model(name="mlp", widths=[4, 3])
    params = {**model.params, "signs": np.ones((1, 5), np.float32)}
    kernels = {
        index: {"kernel": layer["kernel"], "bias": layer["bias"]}
        for index, layer in params["layers"].items()
    }
    head = {"kernel": params["heads"][0], "bias": params["bias"][0]}
    same = mlp._replace(params={"linears": kernels, "head": head})
    np.testing.assert_allclose(
        _members(model, params, x)[:, 0], same.outputs(x)[0], rtol=1e-5, atol=1e-6
    )


def test_the_gradient_is_that_of_finite_differences() -> None:
    model, x = a_model(name="tabm", widths=[4, 3], members=2), inputs(5)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), model.params)

    def at(step: float) -> float:
        moved = jax.tree.map(lambda p, d: p + step * d, model.params, direction)
        return float(sum((_one(moved, x.astype(np.float64), m) ** 2).sum() for m in range(2)))

    @jax.jit
    def slope_of(params: Any) -> Any:
        gradient = jax.grad(lambda params: (_members(model, params, x) ** 2).sum())(params)
        return sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))

    np.testing.assert_allclose(slope_of(model.params), (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("factors", "own"),
    [
        # Of each of 32 members: factors before and after both layers, their biases.
        ("all", 10 + 64 + 64 + 64 + 2 * 64),
        # The factors of the first inputs alone. Both biases are shared.
        ("first", 10),
    ],
)
def test_its_weights_are_as_many_as_those_of_the_paper(factors: str, own: int) -> None:
    spec = {"name": "tabm", "widths": [64, 64], "factors": factors}
    data_size = model_size(a_training(model=spec).model, (10,), 3)
    kernels = 10 * 64 + 64 * 64
    biases = 2 * 64 if factors == "first" else 0
    heads = 32 * (64 + 1) * 3
    shapes = Shapes((10,), 3, "cpu", jnp.float32)
    leaves = jax.tree.leaves(build(a_training(model=spec).model, shapes).params)
    assert sum(leaf.size for leaf in leaves) == kernels + biases + 32 * own + heads
    # Each member multiplies by the shared kernels.
    assert data_size.dense == 32 * (kernels + 64 * 3)


def _training(stream: int = 0, merged: Any = "none", **leaves: Any) -> Training:
    model = {"name": "tabm", "widths": [16, 16], "members": 4, **leaves}
    training = a_training(stream, model=model)
    train = {**training.train.model_dump(), "merged": merged}
    return Training.model_validate({**training.model_dump(exclude={"train"}), "train": train})


def test_members_start_with_random_signs_of_the_inputs_and_no_other_factors() -> None:
    training = _training(members=200)
    program, _ = split(training, TINY, "cpu")
    params, _ = judged(program, training, initial_lane(program, training))
    assert set(np.unique(params["signs"])) == {-1.0, 1.0}
    assert abs(params["signs"].mean()) < 0.1
    assert (params["layers"][1]["before"] == 1).all()
    assert (params["layers"][0]["after"] == 1).all()
    assert "before" not in params["layers"][0]
    assert params["heads"].std() == pytest.approx(1 / 4, rel=0.05)  # the root of 16 inputs


def test_it_learns_the_same_in_a_merged_program_as_alone(learn: Learn) -> None:
    merged = {"widths": [[16, 16], [8, 12]]}
    narrow = {"widths": [8, 12]}
    trainings = [_training(0, merged), _training(1, merged, **narrow)]
    assert len({split(training, TINY, "cpu")[0] for training in trainings}) == 1
    together = learn(TINY, trainings, lanes=2)
    alone = learn(TINY, [_training(1, **narrow)], lanes=1)
    assert together[0][-1]["accuracy"] > 0.8
    for ours, own in zip(together[1], alone[1], strict=True):
        assert ours["loss"] == pytest.approx(own["loss"], rel=1e-3)
