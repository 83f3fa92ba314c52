"""Dense layers of low rank."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from hpo.engine.models.sizes import model_size
from hpo.engine.program import split
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted, weight_count
from hpo.spec.sections.models.parts import Init
from tests.engine.models.by_hand import (
    BY_HAND,
    TINY,
    a_model,
    assert_close,
    assert_merged_as_alone,
    dense,
    inputs,
)
from tests.engine.samples import a_merged, a_training


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
