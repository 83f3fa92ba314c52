"""DP-SGD: rows by chance, clipped gradients and noise, against NumPy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from hpo.engine.program import split
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.accounting import epsilon, step_divergences
from hpo.engine.training.techniques.gradients import Moment, standard_noise
from hpo.engine.training.techniques.layers import Layers
from hpo.engine.training.techniques.privacy import batch_places, drawn_rows, private_gradient
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_training, tiny_data

_PRIVATE = {"clip": 0.5, "noise": 1.5}
_MOMENT = Moment(jnp.array([3, 4], jnp.uint32), jnp.int32(7))
_FLAT = Layers(lambda vector: {"kernel": vector}, lambda tree: tree["kernel"])


@pytest.mark.parametrize(("rows", "size"), [(96, 16), (96, 96), (60_000, 64), (1000, 1)])
def test_a_batch_overflows_less_than_once_in_a_trillion(rows: int, size: int) -> None:
    places = batch_places(rows, size)
    assert size <= places <= rows
    assert binom.sf(places, rows, size / rows) < 1e-12


def test_each_row_is_drawn_by_its_own_chance() -> None:
    found = drawn_rows(np.random.default_rng(0), 50, 10, 4000)
    assert found.shape == (4000, batch_places(50, 10))
    drawn = (found[:, :, None] == np.arange(50)).sum(1)
    assert drawn.max() == 1
    # Of a row: 4,000 draws at a chance of 0.2. Of a batch: a binomial number of rows.
    assert np.abs(drawn.sum(0) - 800).max() < 5 * np.sqrt(4000 * 0.2 * 0.8)
    assert drawn.sum(1).mean() == pytest.approx(10, abs=0.2)
    assert drawn.sum(1).var() == pytest.approx(50 * 0.2 * 0.8, rel=0.1)
    pairs = np.corrcoef(drawn[:, :8].T) - np.eye(8)
    assert np.abs(pairs).max() < 0.08


def test_the_sum_of_clipped_gradients_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((20, 4)), rng.standard_normal(20)
    weights, rows = rng.standard_normal(4), np.array([3, -1, 7, 19, -1, 0, 7, 2], np.int32)

    def of_row(row: Any, place: Any) -> tuple[Any, Any]:
        error = jnp.asarray(x)[row] @ jnp.asarray(weights) - jnp.asarray(y)[row]
        return error**2, 2 * error * jnp.asarray(x)[row]

    loss, found = private_gradient(
        4.2, 0.0, of_row, jnp.asarray(rows), 6, _FLAT, jnp.asarray(weights, jnp.float32), _MOMENT
    )

    errors = x @ weights - y
    each = (2 * errors[:, None] * x)[rows[rows >= 0]]
    norms = np.linalg.norm(each, axis=1, keepdims=True)
    assert (norms > 4.2).any()
    assert (norms < 4.2).any()
    expected = (each * np.minimum(1, 4.2 / norms)).sum(0) / 6
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(loss) == pytest.approx(np.mean(errors[rows[rows >= 0]] ** 2), rel=1e-5)


def test_the_noise_has_the_deviation_asked_for() -> None:
    weights = jnp.zeros(1_000_000)
    rows = jnp.full(4, -1)
    _, found = private_gradient(
        0.5, 3.0, lambda row, place: (jnp.zeros(()), weights), rows, 10, _FLAT, weights, _MOMENT
    )
    noise = np.asarray(found)
    assert noise.std() == pytest.approx(0.5 * 3.0 / 10, rel=0.01)
    assert abs(noise.mean()) < 5 * 0.15 / 1000
    later = standard_noise(weights, _FLAT, Moment(_MOMENT.key, jnp.int32(8)), 40_000)
    assert abs(np.corrcoef(noise, later)[0, 1]) < 0.005


def _training(stream: int = 0, **leaves: Any) -> Training:
    train = {"epochs": 2, "stream": stream, "metrics": ["epsilon"]}
    return a_training(stream, **{"privacy": _PRIVATE, "train": train, **leaves})


def test_numbers_of_privacy_vary_in_one_program_and_epsilon_is_of_the_steps_done(
    learn: Learn,
) -> None:
    data = tiny_data()
    trainings = [_training(), _training(1, privacy={"clip": 2.0, "noise": 0.8})]
    assert len({split(training, data, "cpu")[0] for training in trainings}) == 1

    together = learn(data, trainings, lanes=2)

    assert together[1] == learn(data, trainings[1:])[1]
    for stream, noise in ((0, 1.5), (1, 0.8)):
        for epoch, reported in enumerate(together[stream], start=1):
            steps = 6 * epoch  # 96 rows in batches of 16
            expected = epsilon(steps * step_divergences(1 / 6, noise), 1e-5)
            assert reported["epsilon"] == pytest.approx(expected, rel=1e-6)


def test_trials_draw_rows_of_their_own_in_every_epoch() -> None:
    task = task_of(split(_training(), tiny_data(), "cpu")[0])
    feeds = [task.feed(_training(stream), epoch)["rows"] for stream in (0, 1) for epoch in (0, 1)]
    assert len({rows.tobytes() for rows in feeds}) == 4
    again = task.feed(_training(1), 1)["rows"]
    np.testing.assert_array_equal(again, feeds[-1])
    assert again.shape == task.feed_shapes(is_chunked=False)["rows"].shape


def test_without_privacy_a_training_has_the_program_of_today() -> None:
    data = tiny_data()
    bare = Training.model_validate(a_training().model_dump(exclude={"privacy"}))
    assert split(bare, data, "cpu")[0] == split(a_training(), data, "cpu")[0]
    merged = {"batch_size": [8, 16], "widths": [[4], [8]]}
    for privacy, count in ((_PRIVATE, 0), ({}, 2)):
        train = {"epochs": 2, "merged": merged}
        program, _ = split(a_training(privacy=privacy, train=train), data, "cpu")
        assert len(program.merged) == count


def test_a_private_training_learns(learn: Learn) -> None:
    data = tiny_data()
    training = a_training(
        privacy={"clip": 1.0, "noise": 0.1},
        model={"name": "mlp", "widths": [8]},
        optimizer={"name": "adamw", "learning_rate": 0.1},
        train={"epochs": 10},
    )
    curve = learn(data, [training])[0]
    assert curve[-1]["accuracy"] > 0.8
