"""Initial weights: the spreads of the papers, and a stream of its own for each trial."""

from __future__ import annotations

import math
from typing import Any, get_args

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.models.initialisers import INITIALISERS, initial_params, kernel_initialiser
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted
from hpo.spec.sections.models.parts import Init
from tests.engine.samples import Learn, a_training

_DENSE, _CONV = (300, 200), (3, 3, 40, 60)
# Connections into and out of a unit (He et al. 2015): a window multiplies both.
_FANS = {_DENSE: (300, 200), _CONV: (9 * 40, 9 * 60)}
_PLAIN = ["orthogonal", "normal", "uniform", "zeros"]
_SCALED = [name for name in INITIALISERS if name not in _PLAIN]


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return INITIALISERS[name](np.random.default_rng(0), shape)


def _variance(name: str, fan_in: int, fan_out: int) -> float:
    return {
        "he": 2 / fan_in,  # He et al. 2015, equation 10
        "glorot": 2 / (fan_in + fan_out),  # Glorot and Bengio 2010, equation 12
        "lecun": 1 / fan_in,  # LeCun et al. 1998, section 4.6
    }[name.partition("_")[0]]


@pytest.mark.parametrize("shape", [_DENSE, _CONV])
@pytest.mark.parametrize("name", _SCALED)
def test_the_spread_is_that_of_the_paper(name: str, shape: tuple[int, ...]) -> None:
    weights, variance = _draw(name, shape), _variance(name, *_FANS[shape])
    # Five standard errors of the mean and (at most) of the variance.
    assert weights.mean() == pytest.approx(0, abs=5 * math.sqrt(variance / weights.size))
    assert weights.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / weights.size))


@pytest.mark.parametrize("name", _SCALED)
def test_the_shape_of_the_draw_is_what_its_name_says(name: str) -> None:
    weights, std = _draw(name, _DENSE), math.sqrt(_variance(name, *_FANS[_DENSE]))
    kurtosis = ((weights / std) ** 4).mean()
    if name.endswith("uniform"):
        assert np.abs(weights).max() == pytest.approx(math.sqrt(3) * std, rel=1e-3)
        assert kurtosis == pytest.approx(9 / 5, rel=0.05)
    else:
        assert kurtosis == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (3, 3, 2, 4), (1, 1, 2, 8)])
def test_orthogonal_columns_or_rows_are_orthonormal(shape: tuple[int, ...]) -> None:
    matrix = _draw("orthogonal", shape).reshape(-1, shape[-1])
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)


def test_every_initialiser_of_the_spec_is_in_the_registry() -> None:
    assert set(INITIALISERS) == set(get_args(Init))


def _drawn(**model: Any) -> np.ndarray:
    """A kernel drawn by the initialiser of a model's spec."""
    spec = a_training(model={"name": "mlp", **model}).model
    return kernel_initialiser(spec)(np.random.default_rng(0), _DENSE)


def test_zeros_are_zeros() -> None:
    assert not _drawn(init="zeros").any()


@pytest.mark.parametrize(("scale", "deviation"), [(None, 0.05), (0.2, 0.2)])
def test_a_plain_normal_has_the_deviation_that_is_asked_for(scale: Any, deviation: float) -> None:
    weights = _drawn(init="normal", init_scale=scale)
    error = deviation / math.sqrt(weights.size)
    assert weights.mean() == pytest.approx(0, abs=5 * error)
    assert weights.std() == pytest.approx(deviation, abs=5 * error)


@pytest.mark.parametrize(("scale", "bound"), [(None, 0.05), (0.2, 0.2)])
def test_a_plain_uniform_draw_fills_the_range_that_is_asked_for(scale: Any, bound: float) -> None:
    weights = _drawn(init="uniform", init_scale=scale)
    assert np.abs(weights).max() == pytest.approx(bound, rel=1e-3)
    assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_a_scale_multiplies_what_is_drawn() -> None:
    np.testing.assert_allclose(
        _drawn(init="glorot_normal", init_scale=3.0), 3 * _drawn(init="glorot_normal"), rtol=1e-6
    )


# As PyTorch's `calculate_gain` has them.
@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        ({"activation": "tanh"}, 5 / 3),
        ({"activation": "relu"}, math.sqrt(2)),
        ({"activation": "leaky_relu"}, math.sqrt(2 / (1 + 0.01**2))),
        ({"activation": "leaky_relu", "slope": 0.3}, math.sqrt(2 / (1 + 0.3**2))),
        ({"activation": "sigmoid"}, 1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("init", ["lecun_normal", "he_normal", "orthogonal"])
def test_the_gain_of_the_activation_scales_the_first_weights(
    activation: dict[str, Any], gain: float, init: str
) -> None:
    # The gain of the activation replaces that of ReLU, which He's initialisers contain.
    plain = _drawn(init=init) / (math.sqrt(2) if init == "he_normal" else 1)
    np.testing.assert_allclose(
        _drawn(init=init, init_gain="auto", **activation), gain * plain, rtol=1e-5
    )


@pytest.mark.parametrize("name", [name for name in INITIALISERS if name != "zeros"])
def test_only_kernels_are_drawn(name: str) -> None:
    shapes = {
        "layer": {
            "kernel": jax.ShapeDtypeStruct((4, 3), np.float32),
            "bias": jax.ShapeDtypeStruct((3,), np.float32),
        },
        "norm": {
            leaf: jax.ShapeDtypeStruct((3,), np.float32)
            for leaf in ("scale", "bias", "mean", "var")
        },
    }
    params = initial_params(shapes, INITIALISERS[name], np.random.default_rng(0))
    assert np.unique(params["layer"]["kernel"]).size > 3
    assert {leaf: set(values.tolist()) for leaf, values in params["norm"].items()} == {
        "scale": {1.0},
        "bias": {0.0},
        "mean": {0.0},
        "var": {1.0},
    }
    assert not params["layer"]["bias"].any()
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))


def _weights(data: DataSet, stream: int = 0, seed: int = 0, **leaves: Any) -> list[np.ndarray]:
    training = a_training(train={"epochs": 1, "stream": stream, "seed": seed}, **leaves)
    program, _ = split(training, data, "cpu")
    params = parted(program, initial_lane(program, training).params)
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def test_a_stream_gives_the_same_weights_every_time(tiny: DataSet) -> None:
    for one, again in zip(_weights(tiny, 3), _weights(tiny, 3), strict=True):
        np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize(
    "other", [{"stream": 4}, {"seed": 1}, {"model__init": "orthogonal"}], ids=str
)
def test_another_stream_seed_or_initialiser_gives_other_weights(
    tiny: DataSet, other: dict[str, Any]
) -> None:
    ours, others = _weights(tiny, stream=3), _weights(tiny, **{"stream": 3, **other})
    for one, another in zip(ours, others, strict=True):
        assert not np.isclose(one, another).any()


def test_layers_of_one_shape_have_weights_of_their_own(tiny: DataSet) -> None:
    layers = _weights(tiny, model={"name": "mlp", "widths": [5, 5, 5]})
    square = [layer for layer in layers if layer.shape == (5, 5)]
    assert len(square) == 3
    assert not np.isclose(square[0], square[1]).any()
    assert not np.isclose(square[1], square[2]).any()


def test_under_zeros_a_relu_network_learns_the_frequencies_of_the_classes_and_no_more(
    tiny: DataSet, learn: Learn
) -> None:
    training = a_training(
        model={"name": "mlp", "widths": [8], "init": "zeros"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        data__batch_size=96,
        train={"epochs": 60},
    )
    (curve,) = learn(tiny, [training]).values()
    shares = np.bincount(tiny.train.y) / len(tiny.train)
    assert curve[-1]["train_loss"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-3)


def test_under_zeros_the_units_of_a_layer_stay_equal_to_each_other(
    tiny: DataSet, compiler: Compiler
) -> None:
    model = {"name": "mlp", "widths": [6, 4], "init": "zeros", "activation": "sigmoid"}
    training = a_training(model=model, train={"epochs": 2})
    program, knobs = split(training, tiny, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), tiny)
    pool.put(0, 0, training, knobs, None, 2)
    while pool.has_work:
        pool.round()
    params = parted(program, pool.take(0).params)
    for layer in params["linears"].values():
        # The last bit of a sum depends on the place of its unit in a vector register.
        first = np.broadcast_to(layer["kernel"][:, :1], layer["kernel"].shape)
        np.testing.assert_allclose(layer["kernel"], first, rtol=1e-6)
    head = params["head"]["kernel"]
    assert np.abs(head).max() > 0.01
    np.testing.assert_allclose(head, np.broadcast_to(head[:1], head.shape), rtol=1e-4)
