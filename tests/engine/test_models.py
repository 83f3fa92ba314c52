"""Models: the forward pass against one written in NumPy with JAX's own convolution."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit

from hpo.data.dataset import DataSet
from hpo.engine.models.cnn import _max_pool
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.layers import ACTIVATIONS
from hpo.engine.models.registry import abstract_model
from hpo.engine.program import split
from hpo.errors import HpoError
from hpo.registry import MODELS, load
from hpo.spec.marks import with_leaves
from hpo.spec.sections import model as specs
from hpo.spec.sections.model import Cnn
from tests.engine.samples import a_split, a_training, tiny_data

_TINY = tiny_data()
_ROWS = 7
_NO_DROPOUT = Dropout(0, None)

# In float64, each from its definition; gelu by the tanh formula of Hendrycks and Gimpel 2016.
_BY_HAND = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * expit(x),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid": expit,
    "softplus": lambda x: np.logaddexp(x, 0),
}


class _Model(NamedTuple):
    """A model with random weights in every leaf, so that no zero bias hides a mistake."""

    spec: Any
    graph: Any
    params: Any
    statistics: Any

    def outputs(
        self, x: np.ndarray, train: bool = False, dropout: Any = _NO_DROPOUT
    ) -> tuple[Any, Any]:
        """Outputs and the statistics after them."""

        @jax.jit  # one compile instead of one for every operation
        def forward(params: Any, statistics: Any, x: Any) -> tuple[Any, Any]:
            model = nnx.merge(self.graph, params, statistics)
            y = model(x, self.spec, train=train, dropout=dropout)
            return y, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

        return forward(self.params, self.statistics, x)


def _model(data: DataSet = _TINY, precision: str = "float32", **spec: Any) -> _Model:
    training = a_training(model=spec, train={"epochs": 1, "precision": precision})
    graph, *shapes = abstract_model(split(training, data, "cpu")[0])[:3]
    rng = np.random.default_rng(0)
    # Positive, because variances are among them.
    params, statistics = jax.tree.map(
        lambda leaf: rng.uniform(0.1, 0.6, leaf.shape).astype(np.float32), shapes
    )
    signed = jax.tree.map(lambda leaf: leaf - np.float32(0.35), params)
    return _Model(training.model, graph, signed, statistics)


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((_ROWS, *shape)).astype(np.float32)


def _dense(x: np.ndarray, layer: Any) -> np.ndarray:
    return x @ layer["kernel"].astype(np.float64) + layer.get("bias", 0)


def _normalised(x: np.ndarray, layer: Any, mean: Any, var: Any, epsilon: float) -> np.ndarray:
    return (x - mean) / np.sqrt(var + epsilon) * layer["scale"] + layer["bias"]


def _assert_close(ours: Any, by_hand: np.ndarray) -> None:
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_perceptron_is_that_of_numpy_with_every_activation(name: str) -> None:
    model, x = _model(name="mlp", widths=[4, 3], activation=name), _x(5)
    hidden = x.astype(np.float64)
    for layer in model.params["linears"].values():
        hidden = _BY_HAND[name](_dense(hidden, layer))
    _assert_close(model.outputs(x)[0], _dense(hidden, model.params["head"]))


def test_the_slope_of_leaky_relu_is_a_number_of_the_program() -> None:
    model, x = _model(name="mlp", widths=[4], activation="leaky_relu", slope=0.3), _x(5)
    first, head = model.params["linears"][0], model.params["head"]
    hidden = _dense(x.astype(np.float64), first)
    for slope in (0.01, 0.1, 0.3):
        spec = with_leaves(model.spec, {"slope": jnp.float32(slope)})
        by_hand = _dense(np.where(hidden > 0, hidden, slope * hidden), head)
        _assert_close(model._replace(spec=spec).outputs(x)[0], by_hand)


@pytest.mark.parametrize(
    "spec",
    [{"name": "mlp", "widths": [4, 3]}, {"name": "cnn", "filters": [4, 3], "dense": 5}],
    ids=lambda spec: spec["name"],
)
def test_without_bias_only_the_head_has_one(images: DataSet, spec: dict[str, Any]) -> None:
    with_bias, without = (_model(images, **spec, bias=bias) for bias in (True, False))
    hidden = sum(spec.get("widths", ())) + sum(spec.get("filters", ())) + spec.get("dense", 0)
    assert _count(with_bias.params) - _count(without.params) == hidden
    assert "bias" in without.params["head"]
    assert np.isfinite(without.outputs(images.validation.x[:_ROWS])[0]).all()


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_a_perceptron_of_no_width_is_a_linear_model() -> None:
    model, x = _model(name="mlp", widths=[]), _x(5)
    assert model.params.keys() == {"head"}
    _assert_close(model.outputs(x)[0], _dense(x.astype(np.float64), model.params["head"]))


@pytest.mark.parametrize("train", [False, True])
def test_a_layer_norm_is_over_the_features_of_each_example(train: bool) -> None:
    model, x = _model(name="mlp", widths=[4, 3], norm="layer"), _x(5)
    hidden = x.astype(np.float64)
    for layer, norm in zip(
        model.params["linears"].values(), model.params["norms"].values(), strict=True
    ):
        z = _dense(hidden, layer)
        mean, var = z.mean(1, keepdims=True), z.var(1, keepdims=True)
        hidden = np.maximum(_normalised(z, norm, mean, var, 1e-6), 0)
    _assert_close(model.outputs(x, train)[0], _dense(hidden, model.params["head"]))


@pytest.mark.parametrize("train", [False, True])
def test_a_batch_norm_is_over_the_batch_in_training_and_its_history_in_evaluation(
    train: bool,
) -> None:
    model, x = _model(name="mlp", widths=[4], norm="batch"), _x(5)
    norm, history = model.params["norms"][0], model.statistics["norms"][0]
    z = _dense(x.astype(np.float64), model.params["linears"][0])
    mean, var = (z.mean(0), z.var(0)) if train else (history["mean"], history["var"])
    hidden = np.maximum(_normalised(z, norm, mean, var, 1e-5), 0)
    outputs, statistics = model.outputs(x, train)
    _assert_close(outputs, _dense(hidden, model.params["head"]))

    share = 0.1 if train else 0.0  # of a batch in the running statistics
    after = statistics["norms"][0]
    _assert_close(after["mean"], (1 - share) * history["mean"] + share * z.mean(0))
    _assert_close(after["var"], (1 - share) * history["var"] + share * z.var(0))


def test_no_layer_before_a_batch_norm_has_a_bias(images: DataSet) -> None:
    assert "bias" not in _model(name="mlp", norm="batch").params["linears"][0]
    assert "bias" not in _model(images, name="cnn", norm="batch").params["convs"][0]
    assert "bias" in _model(name="mlp", norm="layer").params["linears"][0]
    assert "bias" in _model(images, name="cnn").params["convs"][0]


def _pooled(x: np.ndarray) -> np.ndarray:
    """The largest of each 2x2 window; an odd last row or column is dropped."""
    n, height, width, channels = x.shape
    whole = x[:, : height // 2 * 2, : width // 2 * 2]
    return whole.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


@pytest.mark.parametrize(
    ("spec", "size", "train"),
    [
        ({"filters": [3, 9, 2], "kernel": 3}, (8, 8), True),
        ({"filters": [2], "kernel": 4, "activation": "gelu"}, (5, 6), False),
        ({"filters": [3, 2], "norm": "layer"}, (4, 4), True),
        ({"filters": [3, 2], "norm": "batch"}, (4, 4), True),
        ({"filters": [3, 2], "norm": "batch"}, (4, 4), False),
    ],
    ids=str,
)
def test_the_convolutional_network_is_that_of_jax_convolutions(
    spec: dict[str, Any], size: tuple[int, int], train: bool
) -> None:
    rng = np.random.default_rng(0)
    rows = a_split(rng, _ROWS, (*size, 2))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = _model(data, name="cnn", dense=6, **spec)
    act = _BY_HAND[spec.get("activation", "relu")]
    hidden: Any = rows.x
    for i, conv in model.params["convs"].items():
        z = np.asarray(
            jax.lax.conv_general_dilated(
                hidden, conv["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        ) + conv.get("bias", np.float32(0))
        if "norm" in spec:
            norm, axes = model.params["norms"][i], {"layer": (3,), "batch": (0, 1, 2)}[spec["norm"]]
            mean, var = z.mean(axes, keepdims=True), z.var(axes, keepdims=True)
            if spec["norm"] == "batch" and not train:
                mean, var = (model.statistics["norms"][i][name] for name in ("mean", "var"))
            z = _normalised(z, norm, mean, var, {"layer": 1e-6, "batch": 1e-5}[spec["norm"]])
        hidden = _pooled(act(z)).astype(np.float32)
    hidden = act(_dense(hidden.reshape(_ROWS, -1), model.params["dense"]))
    _assert_close(model.outputs(rows.x, train)[0], _dense(hidden, model.params["head"]))


@pytest.mark.parametrize(
    ("rows", "gradient"),
    [
        # Windows of 2x2: only the largest value has a gradient. An odd last row and column have
        # none.
        ([[1, 2, 9], [4, 3, 9], [9, 9, 9]], [[0, 0, 0], [5, 0, 0], [0, 0, 0]]),
        ([[7, 7, 1, 0], [7, 7, 2, 2]], [[5, 0, 0, 0], [0, 0, 6, 0]]),  # the first of ties
        ([[3, 8, 8]], [[0, 5, 0]]),  # one row: windows of 1x2
    ],
)
def test_the_gradient_of_pooling_goes_to_the_largest(
    rows: list[list[int]], gradient: list[list[int]]
) -> None:
    x = jnp.array(rows, jnp.float32)[None, :, :, None]
    y, back = jax.vjp(_max_pool, x)
    (dx,) = back(5 + jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))
    np.testing.assert_array_equal(dx[0, :, :, 0], gradient)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 9)])
def test_small_images_pass_through_more_layers_than_they_can_be_halved(
    size: tuple[int, int],
) -> None:
    rows = a_split(np.random.default_rng(0), _ROWS, (*size, 3))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = _model(data, name="cnn", filters=[2, 3, 2, 3, 2], dense=4)
    assert model.params["dense"]["kernel"].shape[0] == 2 * max(1, *(s // 32 for s in size))
    outputs, _ = model.outputs(rows.x)
    assert outputs.shape == (_ROWS, 3)
    assert np.isfinite(outputs).all()


_NORMS = [
    {"name": name, **({"norm": norm} if norm else {})}
    for name, entry in MODELS.items()
    for norm in (get_args(specs.Norm) if "norm" in load(entry.spec).model_fields else (None,))
]


@pytest.mark.parametrize("spec", _NORMS, ids=lambda spec: "-".join(spec.values()))
def test_every_model_gives_finite_outputs_one_for_each_class(
    images: DataSet, spec: dict[str, Any]
) -> None:
    x = images.validation.x[:_ROWS]
    exact, rough = (
        _model(images, precision, **spec).outputs(x.astype(jnp.dtype(precision)), train=True)[0]
        for precision in ("float32", "bfloat16")
    )
    assert exact.shape == rough.shape == (_ROWS, images.outputs)
    assert (exact.dtype, rough.dtype) == (jnp.float32, jnp.bfloat16)
    assert np.isfinite(np.asarray(exact)).all()
    # bfloat16 keeps 8 bits; a few layers lose a few of them, relative to the largest output.
    scale = float(jnp.abs(exact).max())
    np.testing.assert_allclose(np.asarray(rough, np.float32) / scale, exact / scale, atol=0.05)


def test_weights_and_statistics_stay_in_float32_under_bfloat16(images: DataSet) -> None:
    training = a_training(
        model={"name": "cnn", "norm": "batch"}, train={"epochs": 1, "precision": "bfloat16"}
    )
    _, *shapes = abstract_model(split(training, images, "cpu")[0])[:3]
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("spec", "dropped"),
    [
        ({"name": "mlp", "widths": [4, 3]}, [(_ROWS, 4), (_ROWS, 3)]),
        ({"name": "cnn", "filters": [4, 3], "dense": 5}, [(_ROWS, 5)]),
    ],
)
def test_dropout_is_over_the_dense_hidden_layers(
    images: DataSet, spec: dict[str, Any], dropped: list[tuple[int, ...]]
) -> None:
    seen = []

    def dropout(x: Any, layer: int) -> Any:
        seen.append(x.shape)
        return x

    _model(images, **spec).outputs(images.validation.x[:_ROWS], True, dropout)
    assert seen == dropped


def test_a_perceptron_takes_images(images: DataSet) -> None:
    outputs, _ = _model(images, name="mlp").outputs(images.validation.x[:_ROWS])
    assert outputs.shape == (_ROWS, 3)


def test_a_convolutional_network_on_a_table_is_refused_by_the_shape_of_an_example() -> None:
    with pytest.raises(HpoError, match=r"model\.name: 'cnn' .* shape \(5,\): use mlp"):
        _model(name="cnn")


def test_every_activation_is_tested_here() -> None:
    assert set(ACTIVATIONS) == set(_BY_HAND) == set(get_args(specs.Activation))
    assert Cnn(name="cnn").norm in get_args(specs.Norm)
