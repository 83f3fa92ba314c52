"""The convolutional network against one of JAX's own convolutions, and its pooling."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.networks.cnn import _max_pool
from hpo.errors import HpoError
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
    rows = a_split(np.random.default_rng(0), ROWS, (*size, 3))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(data, name="cnn", filters=[2, 3, 2, 3, 2], dense=4)
    assert model.params["dense"]["kernel"].shape[0] == 2 * max(1, *(s // 32 for s in size))
    outputs, _ = model.outputs(rows.x)
    assert outputs.shape == (ROWS, 3)
    assert np.isfinite(outputs).all()


def test_a_convolutional_network_on_a_table_is_refused_by_the_shape_of_an_example() -> None:
    with pytest.raises(HpoError, match=r"model\.name: 'cnn' .* shape \(5,\): use mlp"):
        a_model(name="cnn")
