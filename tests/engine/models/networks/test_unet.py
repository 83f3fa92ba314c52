"""The U-Net against one of JAX's own layers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from hpo.data.dataset import DataSet, Split
from hpo.engine.models.networks.unet import unet_size
from hpo.spec.sections.models.images import Unet
from tests.engine.models.by_hand import NO_DROPOUT, ROWS, Model, a_model
from tests.engine.samples import Learn, a_training

_SIZE = (7, 10)


def _masks(size: tuple[int, ...] = _SIZE, rows: int = ROWS) -> DataSet:
    """Images of two channels; a pixel's class is the sign of their sum."""
    x = np.random.default_rng(0).standard_normal((rows, *size, 2)).astype(np.float32)
    split = Split({"x": x, "y": (x.sum(-1) > 0).astype(np.int32)})
    return DataSet("segmentation", split, split, None, 2, "m")


def _by_jax(params: Any, x: Any, depth: int, convolutions: int) -> Any:
    """A U-Net of JAX's convolutions and poolings, on an image that can be halved so often."""
    convs, images = iter(params["convs"].values()), ("NHWC", "HWIO", "NHWC")

    def level(x: Any) -> Any:
        for _ in range(convolutions):
            layer = next(convs)
            x = lax.conv_general_dilated(
                x, layer["kernel"], (1, 1), "SAME", dimension_numbers=images
            )
            x = jax.nn.relu(x + layer["bias"])
        return x

    skipped = []
    for _ in range(depth):
        skipped.append(level(x))
        x = nnx.max_pool(skipped[-1], (2, 2), (2, 2))
    x = level(x)
    for up in params["ups"].values():
        filters = up["bias"].size
        # The kernel of `conv_transpose` is laid out without turning it round.
        kernel = up["kernel"].reshape(-1, 2, 2, filters).transpose(1, 2, 0, 3)[::-1, ::-1]
        wide = lax.conv_transpose(x, kernel, (2, 2), "VALID", dimension_numbers=images)
        x = level(jnp.concatenate([skipped.pop(), wide + up["bias"]], axis=-1))
    return x @ params["head"]["kernel"] + params["head"]["bias"]


@pytest.mark.parametrize(("depth", "convolutions"), [(2, 1), (1, 2)])
def test_values_and_gradients_are_those_of_jax_convolutions(depth: int, convolutions: int) -> None:
    data = _masks()
    model = a_model(data, name="unet", filters=3, depth=depth, convolutions=convolutions)
    height, width = _SIZE
    # 7x10 pixels are padded to 8x12, or to 8x10, and the answers are cut.
    pads = [(0, -size % 2**depth) for size in _SIZE]
    wide = jnp.pad(data.train.x, ((0, 0), *pads, (0, 0)))
    factors = np.random.default_rng(1).standard_normal((ROWS, height, width, 2))

    def ours(params: Any) -> Any:
        net = nnx.merge(model.graph, params, model.statistics)
        y = net(data.train.x, model.spec, train=True, dropout=NO_DROPOUT)
        return (y * factors).sum(), y

    def theirs(params: Any) -> Any:
        y = _by_jax(params, wide, depth, convolutions)[:, :height, :width]
        return (y * factors).sum(), y

    (_, y), gradient = jax.jit(jax.value_and_grad(ours, has_aux=True))(model.params)
    (_, expected), by_jax = jax.jit(jax.value_and_grad(theirs, has_aux=True))(model.params)
    assert y.shape == (ROWS, height, width, 2)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4), gradient, by_jax
    )


def test_the_network_of_the_paper_has_23_convolutions_and_their_weights() -> None:
    """Ronneberger et al. 2015, Figure 1: 64 to 1024 filters, two classes."""
    sizes = [64, 128, 256, 512, 1024]
    down = [(1, 64), *zip(sizes, sizes, strict=True), *itertools.pairwise(sizes)]
    up = [pair for n in sizes[:-1] for pair in ((2 * n, n), (n, n))]
    ups = [(2 * n, n) for n in sizes[:-1]]
    assert len(down) + len(up) + len(ups) + 1 == 23
    kernels = sum(9 * n * m for n, m in (*down, *up)) + sum(4 * n * m for n, m in ups) + 64 * 2
    paper = Unet(name="unet", filters=64, depth=4)
    assert unet_size(paper, (572, 572, 1), 2).weights == kernels
    small = a_model(_masks(), name="unet", filters=4, depth=3)
    leaves = jax.tree_util.tree_leaves_with_path(small.params)
    counted = sum(leaf.size for path, leaf in leaves if "kernel" in str(path[-1]))
    assert unet_size(small.spec, (*_SIZE, 2), 2).weights == counted


def test_its_multiplications_are_those_of_each_level() -> None:
    size = unet_size(Unet(name="unet", filters=4, depth=1), (5, 6, 2), 3)
    whole, half = 6 * 6, 3 * 3
    assert size.convolved == 9 * (whole * (2 * 4 + 4 * 4 + 8 * 4 + 4 * 4) + half * (4 * 8 + 8 * 8))
    assert size.dense == half * 8 * 4 * 4 + whole * 4 * 3


def _images(data: DataSet) -> DataSet:
    """The same images, each with one class."""
    split = Split({"x": data.train.x, "y": data.train.y[:, 0, 0]})
    return replace(data, task="classification", train=split, validation=split)


def test_an_image_with_one_class_has_the_mean_answer_of_its_pixels() -> None:
    data, spec = _masks(), {"name": "unet", "filters": 3, "depth": 2}
    pixels, whole = a_model(data, **spec), a_model(_images(data), **spec)
    each, _ = pixels.outputs(data.train.x)
    one, _ = whole.outputs(data.train.x)
    np.testing.assert_allclose(one, each.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_norms_and_dropout_have_the_filters_of_their_level(norm: str) -> None:
    model: Model = a_model(_masks(), name="unet", filters=3, depth=1, norm=norm, dropout=0.5)
    scales = [layer["scale"].size for layer in model.params["norms"].values()]
    assert scales == [3, 3, 6, 6, 3, 3]
    assert ("bias" in model.params["convs"][0]) == (norm == "layer")
    seen = []

    def dropout(x: Any, layer: int) -> Any:
        seen.append((layer, x.shape))
        return x

    outputs, _ = model.outputs(_masks().train.x, True, dropout)
    assert np.isfinite(outputs).all()
    assert seen == [(0, (ROWS, 4 * 5 * 6))]


def test_it_learns_masks_the_same_beside_others(learn: Learn) -> None:
    data = _masks((6, 5), 64)
    trainings = [
        a_training(
            stream,
            model={"name": "unet", "filters": 4, "depth": 1, "convolutions": 1},
            optimizer={"name": "adam", "learning_rate": rate},
            train={"epochs": 12, "stream": stream},
        )
        for stream, rate in enumerate((0.03, 0.05, 0.02))
    ]
    together = learn(data, trainings, lanes=2)
    assert together[1] == learn(data, [trainings[1]], lanes=1)[1]
    assert together[1][-1]["iou"] > 0.9 > together[1][0]["iou"]
