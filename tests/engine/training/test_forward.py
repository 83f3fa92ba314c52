"""The forward pass: its precision, and what training and evaluation do to a model's variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.forward import cast, forward
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.spec.load import load_document
from tests.checkout import ROOT
from tests.engine.samples import a_training, tiny_data


def test_whole_numbers_keep_their_type_in_bfloat16() -> None:
    # 257 has no representation in bfloat16: as a float it would become 256.
    tokens = jnp.array([255, 256, 257], jnp.int32)
    assert cast(tokens, jnp.bfloat16).tolist() == [255, 256, 257]
    assert cast(jnp.array([1.0, 2.0]), jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize(("momentum", "kept"), [(None, 0.9), (0.6, 0.6)])
def test_training_moves_the_running_statistics_and_evaluation_leaves_them(
    momentum: float | None, kept: float
) -> None:
    data = tiny_data()
    model = {"name": "mlp", "widths": [4], "norm": "batch", "norm_momentum": momentum}
    training = a_training(model=model)
    program, _ = split(training, data, "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))
    batch = {"x": data.train.x[:16]}

    def after(dropout: Dropout | None) -> np.ndarray:
        _, found = forward(program, training, params, variables, batch, dropout)
        return np.asarray(found["norms"][0]["mean"])

    before = np.asarray(variables["norms"][0]["mean"])
    np.testing.assert_array_equal(after(None), before)
    batch_mean = (batch["x"] @ params["linears"][0]["kernel"]).mean(0)
    expected = kept * before + (1 - kept) * batch_mean
    np.testing.assert_allclose(after(Dropout(0, None)), expected, rtol=1e-4, atol=1e-6)


def answers(folder: Path, length: int, precision: str) -> tuple[Any, np.ndarray]:
    """The forward pass of `Bag` in examples/ over ids of texts, and ids to give it."""
    texts = [f"word{number} word{number + 1}" for number in range(400)]
    rows = "".join(f"{text},{number % 2}\n" for number, text in enumerate(texts))
    (folder / "t.csv").write_text(f"text,y\n{rows}")
    net = ROOT / "examples" / "own_text" / "nets.py"
    document = {
        "name": "texts",
        "data": {
            "dataset": {"csv": "t.csv", "target": "y"},
            "columns": {"by_name": {"text": {"type": "text"}}},
            "text": {"vectors": "ids", "length": length},
        },
        "model": {"python": f"{net}:Bag"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"epochs": 1, "precision": precision},
    }
    training = load_document(document, folder).training
    data = load_data(training.data, folder, None)
    assert data.vocabulary > 300
    program, _ = split(training, data, "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))

    def run(ids: np.ndarray) -> np.ndarray:
        return np.asarray(forward(program, training, params, variables, {"x": ids})[0], np.float32)

    return run, data.train.x


def test_neighbouring_tokens_above_256_are_different_words_in_bfloat16(tmp_path: Path) -> None:
    run, _ = answers(tmp_path, 4, "bfloat16")
    # In bfloat16 all of these would be 260.
    ids = np.array([[number, 0, 0, 0] for number in range(259, 262)], np.int32)
    assert len(np.unique(run(ids), axis=0)) == 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_text_has_the_same_answer_with_more_padding_and_beside_others(
    tmp_path: Path, precision: str
) -> None:
    run, ids = answers(tmp_path, 4, precision)
    long_run, long_ids = answers(tmp_path, 14, precision)
    np.testing.assert_array_equal(long_ids[:, :4], ids)
    found = run(ids[:8])
    np.testing.assert_allclose(long_run(long_ids[:8]), found, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run(ids[[3, 100, 200, 150, 5, 7, 9, 11]])[0], found[3])
