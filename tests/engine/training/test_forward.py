"""The forward pass: its precision, and what training and evaluation do to a model's variables."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.forward import cast, forward
from hpo.engine.training.supervised import initial_lane, own_weights
from tests.engine.samples import a_training, tiny_data


def test_whole_numbers_keep_their_type_in_bfloat16() -> None:
    # 257 has no representation in bfloat16: as a float it would become 256.
    tokens = jnp.array([255, 256, 257], jnp.int32)
    assert cast(tokens, jnp.bfloat16).tolist() == [255, 256, 257]
    assert cast(jnp.array([1.0, 2.0]), jnp.bfloat16).dtype == jnp.bfloat16


def test_training_moves_the_running_statistics_and_evaluation_leaves_them() -> None:
    data = tiny_data()
    training = a_training(model={"name": "mlp", "widths": [4], "norm": "batch"})
    program, _ = split(training, data, "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))
    batch = {"x": data.train.x[:16]}

    def after(dropout: Dropout | None) -> np.ndarray:
        _, found = forward(program, training.model, params, variables, batch, dropout)
        return np.asarray(found["norms"][0]["mean"])

    before = np.asarray(variables["norms"][0]["mean"])
    np.testing.assert_array_equal(after(None), before)
    batch_mean = (batch["x"] @ params["linears"][0]["kernel"]).mean(0)
    expected = 0.9 * before + 0.1 * batch_mean
    np.testing.assert_allclose(after(Dropout(0, None)), expected, rtol=1e-4, atol=1e-6)
