"""Residual networks against NumPy, the papers' counts of weights, and the identity."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import Shapes, build
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import initial_params, kernel_initialiser
from hpo.engine.models.networks.resnet import Block, resnet_size
from hpo.spec.sections.models.images import ResNet
from tests.engine.models.by_hand import ROWS, Model, a_model, assert_close, dense, normalised
from tests.engine.samples import a_split


def _spec(**leaves: Any) -> ResNet:
    return ResNet.model_validate({"name": "resnet", **leaves})


def _conv(x: np.ndarray, layer: Any, stride: int) -> np.ndarray:
    """In float64: windows whose middles lie on every `stride`th pixel, by groups of channels."""
    kernel = layer["kernel"].astype(np.float64)
    size, own = kernel.shape[0], kernel.shape[2]
    groups, pad = x.shape[3] // own, size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    parts = zip(
        np.split(windows[:, ::stride, ::stride], groups, axis=3),
        np.split(kernel, groups, axis=3),
        strict=True,
    )
    y = np.concatenate([np.einsum("nhwcij,ijcd->nhwd", *part) for part in parts], axis=3)
    return y + layer.get("bias", 0)


def _norm(spec: ResNet, z: np.ndarray, layer: Any, running: Any, train: bool) -> np.ndarray:
    if spec.norm == "none":
        return z * layer["scale"] if layer else z
    axes = (0, 1, 2) if spec.norm == "batch" else (3,)
    mean, var = z.mean(axes, keepdims=True), z.var(axes, keepdims=True)
    if spec.norm == "batch" and not train:
        mean, var = running["mean"], running["var"]
    return normalised(z, layer, mean, var, 1e-5 if spec.norm == "batch" else 1e-6)


def _block(model: Model, x: np.ndarray, index: int, stride: int, train: bool) -> np.ndarray:
    params = model.params["blocks"][index]
    running = model.statistics.get("blocks", {}).get(index, {})
    # Only the first convolution of 3x3 has the stride.
    strided = next(i for i, conv in params["convs"].items() if conv["kernel"].shape[0] == 3)
    *inner, last = params["convs"].items()
    y = x
    for i, conv in inner:
        y = _conv(y, conv, stride if i == strided else 1)
        norm, statistics = (tree.get("norms", {}).get(i, {}) for tree in (params, running))
        y = np.maximum(_norm(model.spec, y, norm, statistics, train), 0)
    y = _conv(y, last[1], 1)
    y = _norm(model.spec, y, params["last"], running.get("last", {}), train)
    shortcut = np.zeros_like(y)
    shortcut[..., : x.shape[3]] = x[:, ::stride, ::stride]
    return np.maximum(shortcut + y, 0)


def _by_hand(model: Model, x: np.ndarray, train: bool) -> np.ndarray:
    norm, statistics = (
        tree.get("norms", {}).get(0, {}) for tree in (model.params, model.statistics)
    )
    x = _conv(x.astype(np.float64), model.params["first"], 1)
    x = np.maximum(_norm(model.spec, x, norm, statistics, train), 0)
    for index, stride in enumerate((1, 2)):
        x = _block(model, x, index, stride, train)
    return dense(x.mean((1, 2)), model.params["head"])


@pytest.mark.parametrize(
    ("leaves", "train"),
    [
        ({}, True),
        ({"norm": "none", "groups": 2}, True),
        ({"block": "bottleneck", "norm": "layer", "groups": 3}, True),
        ({"block": "depthwise", "widening": 2}, False),
    ],
    ids=str,
)
def test_a_residual_network_is_that_written_in_numpy(leaves: dict[str, Any], train: bool) -> None:
    rows = a_split(np.random.default_rng(0), ROWS, (5, 4, 2))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(data, name="resnet", filters=[4, 6], blocks=1, **leaves)
    assert_close(model.outputs(rows.x, train)[0], _by_hand(model, rows.x, train))


@pytest.mark.parametrize(
    ("blocks", "millions"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85), (18, 1.7)]
)
def test_the_networks_of_the_paper_have_its_numbers_of_weights(
    blocks: int, millions: float
) -> None:
    """He et al. 2016, Table 6: ResNet-20, 32, 44, 56 and 110."""
    spec = _spec(blocks=blocks)
    assert spec.convolution_count == 6 * blocks + 1
    weights = resnet_size(spec, (32, 32, 3), 10).weights
    norms = 2 * (16 * (2 * blocks + 1) + 32 * 2 * blocks + 64 * 2 * blocks)
    assert round((weights + norms + 10) / 1e6, 2 if millions < 1 else 1) == millions


def test_resnet_20_has_the_weights_of_its_size_and_its_norms() -> None:
    spec = _spec(blocks=3)
    model = build(spec, Shapes((32, 32, 3), 10, "cpu", np.float32))
    count = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    assert count == 269_722
    assert count == resnet_size(spec, (32, 32, 3), 10).weights + 2 * 688 + 10


def test_depthwise_blocks_cost_what_the_paper_says() -> None:
    """Howard et al. 2017, Section 3.1: 1/N + 1/D^2 of the multiplications."""
    basic, depthwise = (
        resnet_size(_spec(filters=[48], block=block), (8, 6, 48), 1)
        for block in ("basic", "depthwise")
    )
    one = 9 * 48 * 48 * 8 * 6  # a convolution, as the first one
    assert basic.convolved == 5 * one
    assert (depthwise.convolved - one) / (basic.convolved - one) == pytest.approx(1 / 48 + 1 / 9)
    assert depthwise.weights == 9 * 48 * 48 + 4 * (9 * 48 + 48 * 48) + 48


def test_widening_multiplies_the_filters_of_the_blocks_alone() -> None:
    """Zagoruyko and Komodakis 2016, Table 1."""
    model = build(_spec(filters=[4, 8], blocks=1, widening=3), Shapes((4, 4, 1), 2, "cpu", "f4"))
    kernels = [
        conv["kernel"].shape
        for b in model.params["blocks"].values()
        for conv in b["convs"].values()
    ]
    assert model.params["first"]["kernel"].shape == (3, 3, 1, 4)
    assert kernels == [(3, 3, 4, 12), (3, 3, 12, 12), (3, 3, 12, 24), (3, 3, 24, 24)]


@pytest.mark.parametrize(
    ("block", "norm"), [("basic", "batch"), ("bottleneck", "none"), ("depthwise", "layer")]
)
def test_each_block_is_the_identity_before_training(block: str, norm: str) -> None:
    spec = _spec(filters=[8], block=block, norm=norm)
    model = build(spec, Shapes((4, 3, 1), 2, "cpu", np.float32))
    first = initial_params(
        model.params, kernel_initialiser(spec), np.random.default_rng(0), model.leaves
    )
    variables = initial_params(
        model.variables, kernel_initialiser(spec), np.random.default_rng(0), model.leaves
    )
    whole = nnx.merge(model.graph, first, variables)
    second: Block = whole.blocks[1]
    assert float(abs(second.convs[0].kernel[...]).max()) > 0
    assert norm == "none" or set(np.asarray(second.norms[0].scale[...])) == {1.0}
    channels = second.convs[0].kernel.shape[2] if block != "depthwise" else 8
    x = np.abs(np.random.default_rng(1).standard_normal((2, 4, 3, channels))).astype(np.float32)
    np.testing.assert_array_equal(second(x, (1, 2), spec, True, Dropout(0, None)), x)


def test_dropout_is_before_the_last_convolution_of_each_block() -> None:
    rows = a_split(np.random.default_rng(0), ROWS, (4, 4, 1))
    data = DataSet("classification", rows, rows, None, 3, "c")
    seen = []

    def dropout(x: Any, layer: int) -> Any:
        seen.append((layer, x.shape))
        return x

    model = a_model(data, name="resnet", filters=[4, 6], blocks=[2, 1], block="bottleneck")
    model.outputs(rows.x, True, dropout)
    assert seen == [(0, (ROWS, 4, 4, 4)), (1, (ROWS, 4, 4, 4)), (2, (ROWS, 2, 2, 6))]


def test_fewer_filters_than_channels_keep_the_first_ones_of_a_shortcut() -> None:
    rows = a_split(np.random.default_rng(0), ROWS, (4, 4, 1))
    data = DataSet("classification", rows, rows, None, 3, "c")
    model = a_model(data, name="resnet", filters=[6, 4], blocks=1)
    assert model.params["head"]["kernel"].shape == (4, 3)
    assert np.isfinite(model.outputs(rows.x)[0]).all()
