"""What layers read, rounded: the levels and ranges of NumPy, and lanes of one program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model
from hpo.engine.models.activations.learned import in_steps
from hpo.engine.models.activations.rounding import (
    Rounder,
    StepRounder,
    in_levels,
    levels_of,
    named_rounding,
    rounding,
    step_levels,
)
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.errors import HpoError
from hpo.registry import MODELS
from hpo.spec.techniques.clashes import clashes
from tests.engine.samples import SMALL_MODELS, Learn, a_split, a_training, unmerged

PLAIN = {"name": "mlp", "widths": [6]}


def _in_levels(x: np.ndarray, low: float, high: float, bits: int) -> np.ndarray:
    """The same by NumPy in float64: the levels one by one, and the nearest of them."""
    scale = (high - low) / (2**bits - 1)
    levels = (np.arange(2**bits) - np.rint(-low / scale)) * scale
    assert (levels == 0).sum() == 1
    return levels[abs(x[:, None] - levels).argmin(1)]


@pytest.mark.parametrize(("low", "high"), [(-0.7, 1.9), (0.0, 3.0), (-2.0, 0.0)])
def test_two_to_eight_bits_are_the_levels_of_numpy_in_one_program(low: float, high: float) -> None:
    x = np.random.default_rng(0).uniform(low - 0.5, high + 0.5, 20_000).astype(np.float32)
    both = jax.jit(
        jax.vmap(jax.value_and_grad(in_levels), in_axes=(0, None, None, None)),
    )
    for bits in range(2, 9):
        found, slope = both(x, jnp.float32(low), jnp.float32(high), jnp.float32(bits))
        expected = _in_levels(x.astype(np.float64), low, high, bits)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert len(np.unique(found)) == 2**bits
        # The identity inside the range, whose ends are moved so that 0 is a level; 0 outside.
        ends = expected.min(), expected.max()
        is_near = np.minimum(abs(x - ends[0]), abs(x - ends[1])) < 1e-5
        is_inside = (x >= ends[0]) & (x <= ends[1])
        np.testing.assert_array_equal(np.asarray(slope)[~is_near], is_inside[~is_near])
        again = in_levels(x, jnp.float32(low), jnp.float32(high), bits)
        np.testing.assert_array_equal(again, found)
    assert both._cache_size() == 1
    np.testing.assert_array_equal(in_levels(x, 0.0, 0.0, 4), x)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_levels_of_a_range_are_those_of_the_rounding_to_the_bit(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for low, high in rng.uniform([-3, 0], [0, 3], (20, 2)).astype(np.float32):
        x = rng.uniform(low - 1, high + 1, 2000).astype(np.float32)
        levels = levels_of(float(low), float(high), bits)
        assert levels is not None
        assert levels.most == 2**bits - 1
        codes = np.clip(np.rint(x * levels.each) + levels.zero, 0, levels.most)
        expected = (codes - levels.zero).astype(np.float32) * levels.unit
        found = jax.jit(in_levels, static_argnums=3)(x, low, high, bits)
        np.testing.assert_array_equal(found, expected)
    assert levels_of(0.0, 0.0, bits) is None


@pytest.mark.parametrize("groups", [1, 2])
def test_a_step_and_its_gradient_count_the_own_features_of_a_row_without_padding(
    groups: int,
) -> None:
    rng, rounder = np.random.default_rng(0), StepRounder("convs/0")
    x = rng.standard_normal((3, 5, 5, 4)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 4 // groups, 6)).astype(np.float32)
    if groups == 1:  # two more channels of a merged program
        x, kernel = (
            np.pad(x, [(0, 0)] * 3 + [(0, 2)]),
            np.pad(kernel, [(0, 0)] * 2 + [(0, 2), (0, 0)]),
        )

    def read(added: Any) -> Any:
        with rounding(3, is_training=True, added={"convs/0": added}):
            own = nnx.merge(graph, variables)  # a trace changes no variables of another one
            found = own.rounded(jnp.asarray(x), kernel).sum()
            return found, nnx.to_pure_dict(nnx.state(own))

    graph, variables = nnx.split(rounder)
    variables = nnx.to_pure_dict(variables)
    _, variables = read(jnp.zeros(1))  # the first batch decides the step
    step = float(variables["step"])
    assert step == pytest.approx(2 * np.abs(x).sum() / (3 * 100) / np.sqrt(3), rel=2**-11)
    assert (variables["least"], variables["bits"]) == (x.min(), 3)
    levels = x.astype(np.float64) / step
    slope = np.where(levels <= -4, -4, np.where(levels >= 3, 3, np.rint(levels) - levels))
    found = jax.grad(lambda added: read(added)[0])(jnp.zeros(1))
    assert found[0] == pytest.approx(slope.sum() / np.sqrt(100 * 3), rel=1e-4)


@pytest.mark.parametrize("least", [-0.5, 0.0])
def test_the_levels_of_a_step_are_those_of_the_rounding_to_the_bit(least: float) -> None:
    rng = np.random.default_rng(0)
    for bits in range(2, 9):
        step, x = rng.uniform(0.01, 2, 2000)[0], rng.normal(0, 3, 2000).astype(np.float32)
        levels = step_levels(step, least, bits)
        half = 2 ** (bits - 1)
        assert (levels.zero, levels.most) == (half if least < 0 else 0, 2**bits - 1)
        codes = np.clip(np.rint(x * np.float32(levels.each)) + levels.zero, 0, levels.most)
        expected = (codes - levels.zero).astype(np.float32) * np.float32(levels.unit)
        found = jax.jit(in_steps, static_argnums=(2, 3))(x, jnp.float32(step), bits, least < 0, 1)
        np.testing.assert_array_equal(found, expected)


def test_a_rounding_may_be_one_named_operation_of_a_trace() -> None:
    rounder = Rounder()
    rounder.low.set_value(np.float32(-0.5))
    rounder.high.set_value(np.float32(1.5))

    def read(x: Any) -> Any:
        with rounding(4, is_training=False):
            return rounder.rounded(x, np.ones((2, 3)))

    x = jax.ShapeDtypeStruct((3, 2), np.float32)
    with named_rounding():
        (only,) = jax.make_jaxpr(read)(x).eqns
    assert only.primitive.name == "in_levels"
    assert only.params == levels_of(-0.5, 1.5, 4)._asdict()
    assert only.outvars[0].aval.shape == (3, 2)
    # JAX would remember the trace of the same function.
    assert len(jax.make_jaxpr(lambda x: read(x))(x).eqns) > 5


def test_ranges_follow_the_batches_and_the_answers_of_a_row_depend_on_no_other(
    tiny: DataSet,
) -> None:
    training = a_training(model=PLAIN, compression={"activations": {"bits": 3}})
    program, _ = split(training, tiny, "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))
    layers = ("linears", 0), ("head",)

    def ranges(variables: Any) -> np.ndarray:
        found = []
        for path in layers:
            part = variables
            for name in path:
                part = part[name]
            found.append([part["dot_general"]["low"], part["dot_general"]["high"]])
        return np.asarray(found)

    def run(x: np.ndarray, variables: Any, dropout: Dropout | None = None) -> tuple[Any, Any]:
        return forward(program, training, params, variables, {"x": x}, dropout)

    assert (ranges(variables) == 0).all()
    expected, x = np.zeros((2, 2)), tiny.train.x
    for step in range(3):
        rows = x[16 * step : 16 * step + 16]
        hidden = params["linears"][0]
        read = rows if step == 0 else _in_levels(rows.ravel(), *expected[0], 3).reshape(rows.shape)
        inner = np.maximum(read @ hidden["kernel"] + hidden["bias"], 0)
        seen = [[min(one.min(), 0), max(one.max(), 0)] for one in (rows, inner)]
        expected = np.array(seen) if step == 0 else 0.9 * expected + 0.1 * np.array(seen)
        _, variables = run(rows, variables, Dropout(0, None))
        np.testing.assert_allclose(ranges(variables), expected, rtol=1e-5)

    outputs, after = run(x[:16], variables)
    np.testing.assert_array_equal(ranges(after), ranges(variables))
    read = _in_levels(x[:16].ravel(), *expected[0], 3).reshape(16, -1)
    inner = np.maximum(read @ hidden["kernel"] + hidden["bias"], 0)
    last = _in_levels(inner.ravel().astype(np.float64), *expected[1], 3).reshape(16, -1)
    by_hand = last @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(outputs, by_hand, atol=1e-5)
    beside = np.concatenate([x[:8], 100 * x[8:16]])
    for dropout in (None, Dropout(0, None)):
        both = [run(rows, variables, dropout)[0][:8] for rows in (x[:16], beside)]
        np.testing.assert_array_equal(*both)


def test_bits_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(number, model=PLAIN, compression={"activations": {"bits": bits}})
        for number, bits in enumerate([2, 5, 8])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]
    assert len({curve[-1]["loss"] for curve in together.values()}) == 3


def test_merged_widths_round_as_the_trials_own_do(tiny: DataSet, learn: Learn) -> None:
    listed = {"widths": [[8], [12]], "batch_size": [8, 16]}
    training = a_training(compression={"activations": {"bits": 4}}, train__merged=listed)
    # A range is that of a whole batch, and a layer that only some trials have has none.
    assert [path for path, _ in split(training, tiny, "cpu")[0].merged] == ["model.widths"]
    together, alone = learn(tiny, [training]), learn(tiny, [unmerged(training)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("name", ["cnn", "mlp", "resnet", "transformer", "unet"])
def test_every_product_with_weights_has_a_range(name: str) -> None:
    shape = (6,) if name == "transformer" else (8, 8, 1)
    data = _data(shape)
    model = {"name": name, **SMALL_MODELS[name]}
    plain, rounds = (
        abstract_model(split(a_training(model=model, compression=more), data, "cpu")[0])
        for more in ({}, {"activations": {"bits": 4}})
    )
    assert jax.tree.structure(plain.params) == jax.tree.structure(rounds.params)
    paths = [*jax.tree_util.tree_leaves_with_path(rounds.params)]
    kernels = [path for path, _ in paths if path[-1].key == "kernel"]
    ranges = len(jax.tree.leaves(rounds.variables)) - len(jax.tree.leaves(plain.variables))
    assert ranges == 2 * len(kernels) > 0


def _data(shape: tuple[int, ...]) -> DataSet:
    rng = np.random.default_rng(0)
    return DataSet("classification", a_split(rng, 32, shape), a_split(rng, 8, shape), None, 3, "t")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"name": "realmlp", "widths": [6]}, "'realmlp' has other products, as with head: use ano"),
        ({"name": "tabm", "widths": [6]}, "'tabm' has other products, as with .*: use another"),
    ],
)
def test_models_with_other_products_are_refused(model: dict[str, Any], sentence: str) -> None:
    training = a_training(model=model, compression={"activations": {"bits": 4}})
    with pytest.raises(HpoError, match=rf"compression\.activations\.bits: .* {sentence}"):
        abstract_model(split(training, _data((6,)), "cpu")[0])
    # So does the check of a spec, which builds no model.
    ((path, text),) = clashes(training)
    assert path == ("compression", "activations", "bits")
    assert text == (
        f"rounds what dense layers and convolutions read, and {model['name']} multiplies by "
        "weights of other layers, too: use another model, or remove compression.activations.bits"
    )


def test_the_models_that_a_check_refuses_are_those_with_other_products() -> None:
    refused = {name for name, entry in MODELS.items() if "other products" in entry.needs}
    assert refused == {"realmlp", "tabm", "rnn"}
    for name in {*SMALL_MODELS} - refused:
        model = {"name": name, **SMALL_MODELS[name]}
        training = a_training(model=model, compression={"activations": {"bits": 4}})
        assert [*clashes(training)] == []
