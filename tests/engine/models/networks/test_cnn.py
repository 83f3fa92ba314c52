"""The convolutional network against one of JAX's own layers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from hpo.data.dataset import DataSet
from hpo.engine.models.networks.cnn import cnn_size
from hpo.errors import HpoError
from hpo.spec.sections.models.images import Cnn, Pooling
from tests.engine.models.by_hand import BY_HAND, ROWS, a_model, assert_close, dense, normalised
from tests.engine.samples import a_split


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
    rows = a_split(rng, ROWS, (*size, 2))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(data, name="cnn", dense=6, **spec)
    act = BY_HAND[spec.get("activation", "relu")]
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
            z = normalised(z, norm, mean, var, {"layer": 1e-6, "batch": 1e-5}[spec["norm"]])
        hidden = _pooled(act(z)).astype(np.float32)
    hidden = act(dense(hidden.reshape(ROWS, -1), model.params["dense"]))
    assert_close(model.outputs(rows.x, train)[0], dense(hidden, model.params["head"]))


def test_strides_groups_poolings_and_dense_layers_are_those_of_jax() -> None:
    rng = np.random.default_rng(0)
    rows = a_split(rng, ROWS, (11, 9, 2))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(
        data,
        name="cnn",
        filters=[4, 6, 3],
        kernel=[5, 3],
        stride=[2, 1],
        groups=[1, 2],
        pooling={"name": ["max", "none", "avg"], "size": [3, 2], "stride": [1, 2]},
        dense=[5, 4],
        dropout=0.5,
    )
    seen = []

    def dropout(x: Any, layer: int) -> Any:
        seen.append((layer, x.shape))
        return x

    @jax.jit
    def images(x: Any) -> Any:
        # The last filters have one group: two do not divide them.
        for i, (stride, groups) in enumerate(((2, 1), (1, 2), (1, 1))):
            conv = model.params["convs"][i]
            y = jax.lax.conv_general_dilated(
                x,
                conv["kernel"],
                (stride, stride),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=groups,
            )
            x = nnx.relu(y + conv["bias"])
            if i == 0:
                x = nnx.max_pool(x, (3, 3), (1, 1))
        return nnx.avg_pool(x, (2, 2), (2, 2))

    hidden = np.asarray(images(rows.x)).reshape(ROWS, -1)
    for layer in (model.params["dense"], model.params["further"][0]):
        hidden = np.maximum(dense(hidden, layer), 0)
    outputs, _ = model.outputs(rows.x, True, dropout)
    assert_close(outputs, dense(hidden, model.params["head"]))
    assert seen == [(0, (ROWS, 5)), (1, (ROWS, 4))]


def test_a_window_without_padding_is_at_most_as_large_as_its_image() -> None:
    rows = a_split(np.random.default_rng(0), ROWS, (9, 4, 1))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(
        data,
        name="cnn",
        filters=[2, 3],
        kernel=5,
        padding="valid",
        pooling={"name": "none"},
        dense=[],
    )
    # 9x4 pixels: a window of 5x4 has 5x1 places, and one of 5x1 has a single place.
    shapes = [conv["kernel"].shape for conv in model.params["convs"].values()]
    assert shapes == [(5, 4, 1, 2), (5, 1, 2, 3)]
    assert model.params["head"]["kernel"].shape == (3, 3)
    assert "dense" not in model.params
    assert model.outputs(rows.x)[0].shape == (ROWS, 3)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 9)])
def test_small_images_pass_through_more_layers_than_they_can_be_halved(
    size: tuple[int, int],
) -> None:
    rows = a_split(np.random.default_rng(0), ROWS, (*size, 3))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(data, name="cnn", filters=[2, 3, 2, 3, 2], dense=4)
    assert model.params["dense"]["kernel"].shape[0] == 2 * max(1, *(s // 32 for s in size))
    outputs, _ = model.outputs(rows.x)
    assert outputs.shape == (ROWS, 3)
    assert np.isfinite(outputs).all()


def test_alexnet_has_the_weights_of_its_paper() -> None:
    """Krizhevsky et al. 2012, Section 3.5: 60 million weights, and the layers' own numbers."""
    spec = Cnn(
        name="cnn",
        filters=(96, 256, 384, 384, 256),
        kernel=(11, 5, 3, 3, 3),
        stride=(4, 1),
        groups=(1, 2, 1, 2, 2),
        pooling=Pooling(name=("max", "max", "none", "none", "max"), size=3, stride=2),
        dense=(4096, 4096),
    )
    # Its images have 224 pixels; 227 without padding give its 55x55 places, and `same` 56.
    size = cnn_size(spec, (224, 224, 3), 1000)
    convolutions = 96 * 363 + 256 * 1200 + 384 * 2304 + 384 * 1728 + 256 * 1728
    assert size.weights == convolutions + (6 * 6 * 256) * 4096 + 4096**2 + 4096 * 1000
    assert size.dense == size.weights - convolutions


def test_a_convolutional_network_on_a_table_is_refused_by_the_shape_of_an_example() -> None:
    with pytest.raises(HpoError, match=r"model\.name: 'cnn' .* shape \(5,\): use mlp"):
        a_model(name="cnn")
