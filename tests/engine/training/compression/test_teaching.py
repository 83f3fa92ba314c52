"""A teacher that answers in the step: on rows as they were changed, its weights as arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from hpo.data.dataset import Split
from hpo.engine.pools.streaming import data_bytes
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.engine.training.compression.teaching import mean_answer
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_training, unmerged
from tests.engine.teachers import images, outputs_of, some_weights, with_teacher

RNG = np.random.default_rng(0)


def a_student(stream: int = 0, **parts: Any) -> Any:
    teacher = {"from": "big", "weight": 0.5 + 0.1 * stream, "temperature": 2.0 + stream}
    learned = {"compression": {"teacher": teacher}, "augment": {"flip": 1.0}}
    return a_training(**{"train": {"epochs": 2, "stream": stream}, **learned, **parts})


def test_a_student_learns_what_its_teacher_answers_for_the_changed_image(learn: Learn) -> None:
    data = images()
    mirrored = data.train.x[:, :, ::-1]
    mean = np.mean([softmax(outputs_of(some_weights(s), mirrored), axis=-1) for s in (1, 2)], 0)
    answers = np.log(mean).astype(np.float32)
    told = replace(data, train=Split({**data.train.arrays, ANSWERS: answers}))

    inside = learn(with_teacher(data, 1, 2), [a_student()])[0]
    beside = learn(told, [a_student()])[0]

    for one, other in zip(inside, beside, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    unchanged = np.log(softmax(outputs_of(some_weights(1), data.train.x), axis=-1))
    told = replace(data, train=Split({**data.train.arrays, ANSWERS: unchanged.astype(np.float32)}))
    assert learn(told, [a_student()])[0] != pytest.approx(beside[0], rel=1e-3)


def test_lanes_are_alone_and_another_teacher_of_the_same_shapes_compiles_nothing(
    learn: Learn, compiler: Compiler
) -> None:
    data, students = with_teacher(images(), 1), [a_student(stream) for stream in range(3)]
    together = learn(data, students, lanes=2)
    compiled = compiler.programs
    for student in students:
        stream = student.train.stream
        assert learn(data, [student], lanes=2)[stream] == together[stream]
    other = learn(with_teacher(images(), 2), students, lanes=2)
    assert compiler.programs == compiled
    assert all(other[stream] != together[stream] for stream in range(3))

    budget = 6500
    assert data_bytes(data) > budget
    streamed = with_leaves(students[0], {"data.device_budget": budget})
    assert learn(data, [streamed])[0] == learn(data, students[:1])[0]


def test_a_weight_of_0_leaves_the_bits_of_a_training_without_a_teacher(learn: Learn) -> None:
    plain = learn(images(), [a_student(compression={})])[0]
    off = {"teacher": {"from": "big", "weight": 0.0}}
    assert learn(with_teacher(images(), 1), [a_student(compression=off)])[0] == plain


@pytest.mark.long
def test_merged_widths_and_batches_learn_as_in_programs_of_their_own(learn: Learn) -> None:
    listed = {"batch_size": [8, 16], "widths": [[8], [12]]}
    data, train = with_teacher(images(), 1), {"epochs": 2, "stream": 0, "merged": listed}
    merged = a_student(train=train, model={"name": "mlp", "widths": [8]})
    assert {path for path, _ in split(merged, data, "cpu")[0].merged} >= {"model.widths"}
    together, alone = learn(data, [merged]), learn(data, [unmerged(merged)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_the_mean_answer_has_the_mean_prediction_of_the_networks() -> None:
    outputs, shares = RNG.normal(size=(3, 4, 2, 5)) * 3, np.array([0.5, 0.3, 0.2])

    def mean(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.tensordot(shares, values, 1)
        return found

    def found(task: Any) -> np.ndarray:
        return np.asarray(mean_answer(task, jnp.asarray(outputs), jnp.asarray(shares)))

    chances = softmax(found("segmentation").astype(np.float64), axis=-1)
    np.testing.assert_allclose(chances, mean(softmax(outputs, axis=-1)), rtol=1e-5)
    np.testing.assert_allclose(found("multilabel"), logit(mean(expit(outputs))), rtol=1e-4)
    np.testing.assert_allclose(found("regression"), mean(outputs), rtol=1e-4, atol=1e-5)
