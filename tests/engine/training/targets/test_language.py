"""Texts: metrics by hand, and a small causal model that learns to copy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.program import split
from hpo.engine.training.supervised import Supervised
from tests.engine.samples import Learn, metrics_of, weighted
from tests.own_code import own_experiment, write_net

# Each token sees itself and those before it, through a convolution that is padded on the left.
CAUSAL = """
    import jax.numpy as jnp
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, outputs, vocabulary, dtype, *, rngs):
            self.embed = nnx.Embed(vocabulary, 16, dtype=dtype, rngs=rngs)
            self.past = nnx.Conv(16, 32, (3,), padding="CAUSAL", dtype=dtype, rngs=rngs)
            self.head = nnx.Linear(32, outputs, dtype=dtype, rngs=rngs)

        def __call__(self, x):
            assert jnp.issubdtype(x.dtype, jnp.integer)
            return self.head(nnx.relu(self.past(self.embed(x))))
    """


def _text(rows: int, tokens: int, seed: int = 0) -> Split:
    """Texts in which each token is the one before it, plus 1."""
    first = np.random.default_rng(seed).integers(0, tokens, rows)
    text = (first[:, None] + np.arange(9)) % tokens
    return Split({"x": text[:, :-1].astype(np.int32), "y": text[:, 1:].astype(np.int32)})


def _data(tokens: int, train: int = 64) -> DataSet:
    more = {"token_bytes": np.arange(1.0, tokens + 1)}
    splits = _text(train, tokens), _text(20, tokens, 1)
    return DataSet("language", *splits, None, tokens, "l", transform=FittedTransform(more=more))


@pytest.mark.parametrize("is_weighted", [False, True])
def test_perplexity_and_bits_per_byte_are_those_of_the_mean_loss_of_a_token(
    is_weighted: bool,
) -> None:
    data = _data(5)
    part = weighted(data.validation) if is_weighted else data.validation
    outputs = np.random.default_rng(0).standard_normal((20, 8, 5)).astype(np.float32)
    chances = np.take_along_axis(log_softmax(outputs, -1), part.y[..., None], -1)[..., 0]
    loss = -np.average(chances.mean(1), weights=part.arrays.get("weight"))
    lengths = np.array([1 + token for text in part.y for token in text])
    assert metrics_of(data, outputs, part) == pytest.approx(
        {
            "loss": loss,
            "perplexity": np.exp(loss),
            "bits_per_byte": loss / math.log(2) * part.y.size / lengths.sum(),
        },
        rel=1e-6,
    )


def test_a_loss_beyond_any_perplexity_is_infinite_and_one_that_is_no_number_stays_none() -> None:
    data = _data(2)
    outputs = np.zeros((20, 8, 2), np.float32)
    wrong = np.where(data.validation.y[..., None] == [0, 1], np.float32(-2000), outputs)
    assert metrics_of(data, wrong, data.validation)["perplexity"] == math.inf
    assert math.isnan(metrics_of(data, outputs * np.nan, data.validation)["perplexity"])


@pytest.mark.long
@pytest.mark.parametrize(("precision", "tokens"), [("float32", 7), ("bfloat16", 600)])
def test_a_small_causal_model_of_the_users_own_learns_the_next_token(
    learn: Learn, tmp_path: Path, precision: str, tokens: int
) -> None:
    # bfloat16 rounds whole numbers above 256, so tokens must not become fractions.
    write_net(tmp_path, CAUSAL)
    train = {"epochs": 12, "precision": precision}
    optimizer = {"name": "adam", "learning_rate": 0.02}
    training = own_experiment(tmp_path, train=train, optimizer=optimizer).training
    (curve,) = learn(_data(tokens, 64 if tokens < 50 else 1024), [training]).values()
    assert curve[-1]["perplexity"] < 1.5
    assert curve[-1]["bits_per_byte"] < 0.2


def test_a_model_sees_tokens_as_whole_numbers_before_it_trains(tmp_path: Path) -> None:
    write_net(tmp_path, CAUSAL)
    program, _ = split(own_experiment(tmp_path).training, _data(7), "cpu")
    assert (program.output_shape, program.example_type) == ((8, 7), "int32")
    Supervised(program).shapes()
