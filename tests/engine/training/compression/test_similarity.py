"""Rows that are as similar as in a teacher, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from hpo.engine.program import split
from hpo.engine.training.compression.similarity import similar, similarities, with_similarities
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, own_weights
from tests.engine.samples import Learn, a_training, unmerged
from tests.engine.teachers import hidden_of, images, some_weights, with_teacher


def _similarities(rows: np.ndarray) -> np.ndarray:
    """Equations 2 and 3 of Tung and Mori 2019."""
    products = rows @ rows.T
    lengths = np.linalg.norm(products, axis=1, keepdims=True)
    found: np.ndarray = products / np.maximum(lengths, 1e-9)  # a row may be zeros
    return found


def a_student(stream: int = 0, similarity: float | None = None, **parts: Any) -> Any:
    """A student of 7 units; 0 is its own weight of the answers."""
    own = 2.0 + stream if similarity is None else similarity
    teacher = {"from": "big", "weight": 0.0, "similarity": own}
    model = {"name": "mlp", "widths": [7], "activation": "sigmoid"}
    train = {"epochs": 2, "stream": stream}
    parts = {"train": train, "model": model, "compression": {"teacher": teacher}, **parts}
    return a_training(**parts)


def test_the_part_of_the_loss_is_that_of_the_paper() -> None:
    data = with_teacher(images(), 1, 2)
    training = a_student()
    teacher, x = training.compression.teacher, data.train.x[:6]
    program, _ = split(training, data, "cpu")
    lane = initial_lane(program, training)
    params, variables = own_weights(program, training, lane)

    @jax.jit
    def found(x: Any, networks: Any) -> Any:
        batch = with_similarities(program, networks, teacher, {"x": x})

        def run() -> Any:
            return forward(program, training, params, variables, batch)

        return similar(teacher, batch, run)[1]

    first = params["linears"][0]
    hidden = x.reshape(6, -1).astype(np.float64) @ first["kernel"] + first["bias"]
    own = _similarities(1 / (1 + np.exp(-hidden)))
    taught = np.mean([_similarities(hidden_of(some_weights(s), x)) for s in (1, 2)], 0)
    expected = 2.0 * np.square(own - taught).sum() / 36
    np.testing.assert_allclose(found(x, data.teacher), expected, rtol=1e-4)
    images_of_it = np.asarray(similarities(np.abs(x), 1), np.float64)
    np.testing.assert_allclose(images_of_it, _similarities(abs(x).reshape(6, -1)), rtol=1e-5)
    padded = np.concatenate([np.abs(x), np.ones_like(x)], -1)
    np.testing.assert_allclose(similarities(padded, 1), images_of_it, rtol=1e-5)


def test_without_it_or_a_teacher_a_training_keeps_its_bits_and_lanes_are_alone(
    learn: Learn,
) -> None:
    data, off = with_teacher(images(), 1), a_student(similarity=0.0)
    plain = learn(images(), [a_student(compression={})])[0]
    assert learn(data, [off])[0] == plain
    students = [a_student(stream) for stream in range(3)]
    together = learn(data, students, lanes=2)
    for student in students:
        stream = student.train.stream
        assert learn(data, [student], lanes=2)[stream] == together[stream]
    assert together[0] != plain


@pytest.mark.long
def test_padded_units_of_merged_widths_are_not_compared(learn: Learn) -> None:
    listed = {"batch_size": [8, 16], "widths": [[7], [12]]}
    train = {"epochs": 2, "stream": 0, "merged": listed}
    data, merged = with_teacher(images(), 1), a_student(train=train)
    assert {path for path, _ in split(merged, data, "cpu")[0].merged} == {"model.widths"}
    together, alone = learn(data, [merged]), learn(data, [unmerged(merged)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_rows_of_zeros_have_a_finite_gradient() -> None:
    slope = jax.grad(lambda y: similarities(y, 4).sum())(np.zeros((3, 4), np.float32))
    assert np.isfinite(slope).all()
