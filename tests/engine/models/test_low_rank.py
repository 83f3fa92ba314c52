"""Layers of low rank."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model, name_of
from hpo.engine.models.sizes import model_size
from hpo.engine.program import split
from hpo.engine.programs.footprint import forward_macs
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted, weight_count
from hpo.spec.sections.models.parts import Init
from tests.engine.models.by_hand import (
    BY_HAND,
    ROWS,
    TINY,
    a_model,
    assert_close,
    assert_merged_as_alone,
    dense,
    inputs,
)
from tests.engine.samples import a_merged, a_split, a_training


def test_a_layer_is_the_dense_layer_with_the_product_as_its_kernel() -> None:
    model, x = a_model(name="mlp", widths=[6, 4], rank=2, activation="tanh"), inputs(5)
    hidden = x.astype(np.float64)
    for layer in model.params["linears"].values():
        product = layer["left"]["kernel"].astype(np.float64) @ layer["right"]["kernel"]
        hidden = BY_HAND["tanh"](dense(hidden, {**layer["right"], "kernel": product}))
    assert_close(model.outputs(x)[0], dense(hidden, model.params["head"]))


@pytest.mark.parametrize(("rank", "bias"), [(2, True), (3, False)])
def test_a_layer_has_rank_times_inputs_and_outputs_weights(rank: int, bias: bool) -> None:
    spec = {"name": "mlp", "widths": [6, 4], "rank": rank, "bias": bias}
    training = a_training(model=spec)
    kernels = rank * (5 + 6) + rank * (6 + 4) + 4 * 3
    assert weight_count(split(training, TINY, "cpu")[0]) == kernels + 3 + (10 if bias else 0)
    assert tuple(model_size(training.model, (5,), 3)) == (kernels, kernels, 0)


# Inputs and outputs of each layer whose kernel is a product of two, and the weights of the others.
# Images have 8 x 8 pixels of one channel, and series 12 places of one number: so few inputs that
# the first layer stays whole.
PRODUCTS: list[tuple[dict[str, Any], list[tuple[int, int]], int]] = [
    (
        {"name": "cnn", "filters": [8, 12], "dense": [10, 6]},
        [(9, 8), (72, 12), (48, 10), (10, 6)],
        18,
    ),
    (
        {"name": "cnn", "filters": [8, 12], "groups": 2, "dense": 10},
        [(9, 8), (48, 10)],
        9 * 4 * 12 + 30,
    ),
    (
        {"name": "resnet", "filters": [8], "blocks": 1, "block": "bottleneck", "groups": 2},
        [(9, 8), (8, 8), (8, 32)],
        36 * 8 + 96,
    ),
    (
        {"name": "unet", "filters": 4, "depth": 1, "convolutions": 1},
        [(36, 8), (72, 4)],
        36 + 8 * 16 + 12,
    ),
    ({"name": "rnn", "width": 6, "depth": 2}, [(6, 24)], 24 + 2 * 6 * 24 + 18),
    (
        {"name": "transformer", "width": 8, "heads": 2, "depth": 1},
        [(8, 24), (8, 8), (8, 32), (32, 8)],
        8 + 12 * 8 + 24,
    ),
]


@pytest.mark.parametrize(("spec", "layers", "others"), PRODUCTS, ids=lambda one: str(one)[:40])
def test_layers_that_become_smaller_are_products_of_two_and_count_so(
    spec: dict[str, Any], layers: list[tuple[int, int]], others: int, images: DataSet
) -> None:
    if spec["name"] in ("rnn", "transformer"):
        rng = np.random.default_rng(0)
        images = replace(
            images, train=a_split(rng, 9, (12, 1)), validation=a_split(rng, 9, (12, 1))
        )
    training = a_training(model={**spec, "rank": 3})
    program, _ = split(training, images, "cpu")
    leaves = jax.tree_util.tree_leaves_with_path(abstract_model(program).params)
    kernels = {name_of(path): leaf.shape for path, leaf in leaves if len(leaf.shape) > 1}
    lefts = [name.removesuffix("/left/kernel") for name in kernels if "/left/" in name]
    found = [
        (math.prod(kernels[f"{name}/left/kernel"][:-1]), kernels[f"{name}/right/kernel"][-1])
        for name in lefts
    ]
    assert sorted(found) == sorted(layers)
    weights = sum(map(math.prod, kernels.values()))
    assert weights == others + sum(3 * (n + m) for n, m in layers)
    size = model_size(training.model, images.train.example_shape, images.outputs)
    assert size.weights == weights
    assert size.dense + size.convolved == forward_macs(program)


def test_a_convolution_answers_as_the_one_whose_kernel_is_the_product(images: DataSet) -> None:
    spec = {"name": "cnn", "filters": [6], "dense": 5, "stride": 2, "padding": "valid"}
    model, whole = (a_model(images, **spec, **rank) for rank in ({"rank": 2}, {}))
    params = {"head": model.params["head"], "convs": {}}
    for name, layer in (("convs", model.params["convs"][0]), ("dense", model.params["dense"])):
        left, right = (layer[side]["kernel"].astype(np.float64) for side in ("left", "right"))
        product = np.einsum("...r,rm->...m", left, right.reshape(2, -1)).astype(np.float32)
        one = {"kernel": product, "bias": layer["right"]["bias"]}
        params[name] = {0: one} if name == "convs" else one
    assert params["convs"][0]["kernel"].shape == (3, 3, 1, 6)
    x = images.validation.x[:ROWS]
    found = whole._replace(params=params).outputs(x)[0]
    assert_close(model.outputs(x)[0], found)


def first_weights(**model: Any) -> Any:
    training = a_training(model={"name": "mlp", "widths": [9, 7], **model})
    program, _ = split(training, TINY, "cpu")
    return parted(program, initial_lane(program, training).params)


@pytest.mark.parametrize("init", get_args(Init))
def test_the_first_product_has_the_spread_of_the_dense_layer(init: str) -> None:
    model = {"init": init, "init_gain": "none" if init == "zeros" else "auto", "activation": "tanh"}
    whole = first_weights(**model)
    for rank in (2, 9, 20):
        found = first_weights(**model, rank=rank)
        for layer, as_drawn in zip(
            found["linears"].values(), whole["linears"].values(), strict=True
        ):
            left, right = layer["left"]["kernel"], layer["right"]["kernel"]
            product, kernel = left @ right, as_drawn["kernel"]
            np.testing.assert_allclose(
                np.linalg.norm(product), np.linalg.norm(kernel), rtol=1e-5, atol=1e-12
            )
            assert np.linalg.matrix_rank(product) <= rank
            if rank >= 9:
                np.testing.assert_allclose(product, kernel, atol=1e-6)
        np.testing.assert_array_equal(found["head"]["kernel"], whole["head"]["kernel"])


def test_merged_widths_of_low_rank_answer_and_learn_as_their_own_programs() -> None:
    merged = {"widths": [[4], [8, 6]]}
    training = a_merged(0, merged, model={"name": "mlp", "widths": [4], "rank": 3})
    assert_merged_as_alone(training, TINY)


def test_merged_dense_layers_of_convolutional_networks_answer_and_learn_as_their_own_programs(
    images: DataSet,
) -> None:
    # A layer of two units would be smaller whole.
    model = {"name": "cnn", "filters": [4], "dense": 2, "rank": 3}
    assert_merged_as_alone(a_merged(0, {"dense": [2, 9]}, model=model), images)
