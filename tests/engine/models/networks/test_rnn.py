"""Recurrent networks against NumPy, Flax and what padding may not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from scipy.special import expit

from hpo.data.dataset import DataSet, Split
from hpo.data.load import load_data
from hpo.engine.devices import local_devices
from hpo.engine.models.abstract import Shapes, build
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.networks.rnn import Rnn
from hpo.engine.models.sizes import model_size
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.supervised import own_weights
from hpo.errors import HpoError
from hpo.spec.sections.models.sequences import Rnn as RnnSpec
from tests.engine.samples import Learn, a_training

CELLS, POOLS = ("simple", "gru", "lstm"), ("last", "mean", "max")
SERIES = Shapes((6, 3), 2, "cpu", jnp.float32)
TEXT = Shapes((6,), 2, "cpu", jnp.float32, example_type="int32", vocabulary=20)
LANGUAGE = Shapes((6,), 20, "cpu", jnp.float32, (6,), "int32", 20)
X = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)
IDS = np.array([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 19], [2, 0, 0, 0, 0, 0]], np.int32)


def _spec(**leaves: Any) -> RnnSpec:
    return RnnSpec.model_validate({"name": "rnn", "width": 5, **leaves})


class _Model:
    """A network with random weights in every leaf."""

    def __init__(self, shapes: Shapes, **leaves: Any) -> None:
        self.spec = _spec(**leaves)
        network = nnx.eval_shape(lambda: Rnn(self.spec, shapes, nnx.Rngs(0)))
        self.graph, params, variables = nnx.split(network, nnx.Param, ...)
        rng = np.random.default_rng(1)
        self.variables = nnx.to_pure_dict(variables)
        self.params = jax.tree.map(
            lambda leaf: rng.uniform(-0.6, 0.6, leaf.shape).astype(np.float32),
            nnx.to_pure_dict(params),
        )

        self._compiled = jax.jit(self.outputs)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._compiled(self.params, x))

    def outputs(self, params: Any, x: Any) -> Any:
        model = nnx.merge(self.graph, params, self.variables)
        return model(x, self.spec, train=False, dropout=Dropout(0, None))


def _by_hand(cell: str, weights: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last state and all states of one direction over one sequence, in float64."""
    w = weights["linear"]["kernel"].astype(np.float64)
    u = weights["recurrent"].astype(np.float64)
    b = weights["gate_bias" if cell == "lstm" else "linear"]
    b = b if cell == "lstm" else b["bias"]
    h = c = np.zeros(u.shape[0])
    states = []
    for now in x:
        z, r = now @ w + b, h @ u
        if cell == "simple":
            h = np.tanh(z + r)
        elif cell == "gru":
            (reset, update, new), (reset_h, update_h, new_h) = np.split(z, 3), np.split(r, 3)
            update = expit(update + update_h)
            h = (1 - update) * np.tanh(new + expit(reset + reset_h) * new_h) + update * h
        else:
            i, f, g, o = np.split(z + r, 4)
            c = expit(f) * c + expit(i) * np.tanh(g)
            h = expit(o) * np.tanh(c)
        states.append(h)
    return h, np.array(states).reshape(len(x), -1)


@pytest.mark.parametrize(("cell", "pool"), [*zip(CELLS, POOLS, strict=True), ("gru", "all")])
def test_two_layers_in_both_directions_are_those_of_numpy(cell: str, pool: str) -> None:
    model = _Model(TEXT, cell=cell, depth=2, bidirectional=True, pool=pool, embedding=4)
    expected = []
    for row in IDS:
        y = model.params["embedding"]["tokens"]["embedding"][row[row != 0]].astype(np.float64)
        for i in range(2):
            forwards, backwards = (model.params["layers"][i][j] for j in range(2))
            last, states = _by_hand(cell, forwards, y)
            first, reverse = _by_hand(cell, backwards, y[::-1])
            y = np.concatenate([states, reverse[::-1]], axis=1)
        ends = {"last": np.concatenate([last, first]), "mean": y.mean(0), "max": y.max(0)}
        ends["all"] = np.pad(y, ((0, 6 - len(y)), (0, 0))).ravel()
        head = model.params["head"]
        expected.append(ends[pool] @ head["kernel"] + head["bias"])
    np.testing.assert_allclose(model(IDS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_that_of_flax(cell: str) -> None:
    model = _Model(SERIES, cell=cell)
    weights = model.params["layers"][0][0]
    width, kernel, recurrent = 5, weights["linear"]["kernel"], weights["recurrent"]
    make = {"simple": nnx.SimpleCell, "gru": nnx.GRUCell, "lstm": nnx.LSTMCell}[cell]
    flax = make(3, width, rngs=nnx.Rngs(0))
    if cell == "lstm":
        for i, name in enumerate(("i", "f", "g", "o")):
            gate = slice(i * width, (i + 1) * width)
            getattr(flax, "if_" if name == "f" else f"i{name}").kernel[...] = kernel[:, gate]
            ours = getattr(flax, f"h{name}")
            ours.kernel[...] = recurrent[:, gate]
            ours.bias[...] = weights["gate_bias"][gate]
    else:
        flax.dense_i.kernel[...], flax.dense_h.kernel[...] = kernel, recurrent
        flax.dense_i.bias[...] = weights["linear"]["bias"]
    zeros = jnp.zeros((len(X), width))
    state: Any = (zeros, zeros) if cell == "lstm" else zeros
    for place in range(X.shape[1]):
        state, output = flax(state, X[:, place])
    head = model.params["head"]
    np.testing.assert_allclose(model(X), output @ head["kernel"] + head["bias"], atol=2e-6)


@pytest.mark.parametrize(("cell", "pool"), list(zip(CELLS, POOLS[::-1], strict=True)))
def test_padding_and_other_rows_change_no_answer(cell: str, pool: str) -> None:
    model = _Model(TEXT, cell=cell, bidirectional=True, pool=pool)
    answers = model(np.pad(IDS, ((0, 1), (0, 0))))
    others = np.pad(IDS[:1], ((0, 0), (0, 6)), constant_values=9)
    longer = model(np.concatenate([others, np.pad(IDS, ((0, 1), (0, 6)))]))
    np.testing.assert_allclose(longer[1:], answers, rtol=0, atol=1e-6)
    # A text without a token has the answer of empty states.
    np.testing.assert_allclose(answers[3], model.params["head"]["bias"], atol=1e-6)


def test_in_running_text_an_answer_depends_on_the_tokens_so_far_alone() -> None:
    model = _Model(LANGUAGE, depth=2)
    ids = np.arange(6, dtype=np.int32)[None]
    answers = model(ids)
    assert answers.shape == (1, 6, 20)
    changed = model(np.where(np.arange(6) < 4, ids, 19).astype(np.int32))
    np.testing.assert_array_equal(changed[:, :4], answers[:, :4])
    assert (changed[:, 4:] != answers[:, 4:]).all()
    # 0 is a token there.
    assert not np.allclose(model(np.array([[3, 0, 5, 1, 1, 1]], np.int32))[:, 1], answers[:, 1])


def test_both_directions_in_running_text_are_refused() -> None:
    with pytest.raises(HpoError, match=r"model\.bidirectional: true reads the tokens"):
        build(_spec(bidirectional=True), LANGUAGE)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    model = _Model(TEXT, cell=cell)
    total = jax.jit(lambda params: jnp.square(model.outputs(params, IDS)).sum())
    check_grads(total, (model.params,), order=1, modes=["rev"], atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("cell", "gates"), [("simple", 1), ("gru", 3), ("lstm", 4)])
def test_weights_are_as_many_as_the_papers_count_and_the_size_counts_each_place(
    cell: str, gates: int
) -> None:
    params = build(_spec(cell=cell, depth=2, bidirectional=True, embedding=4), TEXT).params
    layers = sum(2 * gates * (inputs + 5 + 1) * 5 for inputs in (4, 10))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == 20 * 4 + layers + 10 * 2 + 2
    products = layers - 2 * 2 * gates * 5  # without biases
    size = model_size(_spec(cell=cell, depth=2, bidirectional=True, embedding=4), (6,), 2, 20)
    assert size == (20 * 4 + products + 10 * 2, 6 * products + 10 * 2, 0)
    # Loaded vectors of 4 numbers are as many.
    assert size == model_size(
        _spec(cell=cell, depth=2, bidirectional=True), (6,), 2, 20, embedding_size=4
    )


def test_gates_start_orthogonal_and_the_forget_gate_open() -> None:
    recurrent = Rnn.leaves["recurrent"](np.random.default_rng(0), (5, 20))
    for gate in np.split(recurrent, 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-6)
    bias = Rnn.leaves["gate_bias"](np.random.default_rng(0), (8,))
    np.testing.assert_array_equal(bias, [0, 0, 1, 1, 0, 0, 0, 0])


def _reviews(folder: Path) -> Any:
    """Texts whose class is told by their first word, and vectors for three of their words."""
    rng = np.random.default_rng(0)
    words = ["good", "bad", "film", "plot", "and", "the"]
    lines = []
    for _ in range(60):
        first = rng.choice(words[:2])
        rest = " ".join(rng.choice(words[2:], rng.integers(0, 5)))
        lines.append(f"{first} {rest},{int(first == 'good')}")
    (folder / "t.csv").write_text("text,y\n" + "\n".join(lines) + "\n")
    (folder / "v.txt").write_text("good 1 0 0.5\nbad -1 0 0.25\nfilm 0 1 0.125\n")
    return {
        "dataset": {"csv": "t.csv", "target": "y"},
        "columns": {"by_name": {"text": {"type": "text"}}},
        "text": {"vectors": "ids", "length": 6, "embeddings": "v.txt"},
        "batch_size": 8,
    }


_GRU = {"name": "rnn", "cell": "gru", "width": 8}
_ATTENTION = {"name": "transformer", "width": 8, "heads": 2, "depth": 1, "pool": "first"}


@pytest.mark.parametrize(
    ("model", "freeze"), [(_GRU, True), (_GRU, False), (_ATTENTION, True)], ids=str
)
def test_loaded_vectors_arrive_unchanged_and_frozen_they_leave_unchanged(
    tmp_path: Path, compiler: Any, model: Any, freeze: bool
) -> None:
    training = a_training(
        data=_reviews(tmp_path),
        model={**model, "freeze_embedding": freeze},
        optimizer={"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.1},
        train={"epochs": 8},
    )
    data = load_data(training.data, tmp_path, None)
    program, knobs = split(training, data, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), data)
    pool.put(0, 0, training, knobs, None, 8)

    def table() -> Any:
        params, variables = own_weights(program, training, pool.take(0))
        return (variables if freeze else params)["embedding"]["tokens"]["embedding"]

    good = data.train.x[data.train.y == 1][0, 0]
    np.testing.assert_array_equal(table()[good], [1, 0, 0.5])
    np.testing.assert_array_equal(table(), data.embeddings)
    reports = []
    while pool.has_work:
        reports += pool.round()
    assert reports[-1].metrics["accuracy"] > 0.9
    assert np.array_equal(table(), data.embeddings) == freeze


@pytest.mark.long
def test_an_lstm_adds_two_numbers_of_a_sequence_of_fifty(learn: Learn) -> None:
    """The adding problem of Hochreiter and Schmidhuber 1997, Section 5.4."""
    rng = np.random.default_rng(0)

    def part(rows: int) -> Split:
        numbers, marks = rng.random((rows, 50)), np.zeros((rows, 50))
        for half in (rng.integers(0, 25, rows), rng.integers(25, 50, rows)):
            marks[np.arange(rows), half] = 1
        x = np.stack([numbers, marks], axis=-1).astype(np.float32)
        return Split({"x": x, "y": ((numbers * marks).sum(1) - 1).astype(np.float32)})

    data = DataSet("regression", part(2000), part(500), None, 1, "a")
    constant = np.square(data.validation.y).mean()
    assert constant == pytest.approx(1 / 6, abs=0.02)
    training = a_training(
        data={"dataset": "diabetes", "batch_size": 20},
        model={"name": "rnn", "width": 16},
        optimizer={"name": "adam", "learning_rate": 0.02, "schedule": {"name": "cosine"}},
        updates={"clip_norm": 1.0},
        train={"epochs": 10},
    )
    (curve,) = learn(data, [training]).values()
    assert curve[-1]["rmse"] ** 2 < 0.02
