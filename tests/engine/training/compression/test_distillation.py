"""The loss of a model that learns the answers of a teacher, against NumPy in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import split
from hpo.engine.training.compression.distillation import ANSWERS, soft_rows, taught
from hpo.engine.training.compression.teaching import mean_answer
from hpo.engine.training.targets.sums import batch_loss
from hpo.errors import SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.compression.teacher import Teacher
from hpo.spec.sections.loss import CrossEntropy, Mse, Poisson
from tests.engine.samples import Learn, a_training, tiny_data
from tests.techniques import document, merged

RNG = np.random.default_rng(0)
OUTPUTS, LOGITS = RNG.normal(size=(2, 6, 4)).astype(np.float32) * 3
TEACHER = Teacher.model_validate({"from": "big", "weight": 0.6, "temperature": 2.5})


def test_classes_have_the_divergence_of_softened_chances_times_the_square_of_the_temperature() -> (
    None
):
    y, weight = RNG.integers(0, 4, 6), RNG.uniform(0.5, 1.5, 6)
    soft, own = (softmax(x.astype(np.float64) / 2.5, axis=-1) for x in (LOGITS, OUTPUTS))
    divergence = (soft * (np.log(soft) - np.log(own))).sum(-1) * 2.5**2
    hard = -log_softmax(OUTPUTS.astype(np.float64), axis=-1)[np.arange(6), y]

    loss = taught(CrossEntropy(name="cross_entropy"), TEACHER, "classification")
    batch = {"y": y, "weight": weight.astype(np.float32), ANSWERS: LOGITS}
    found = batch_loss("classification", jnp.asarray(OUTPUTS), batch, loss)

    expected = (weight * (0.4 * hard + 0.6 * divergence)).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_pixels_are_as_many_rows_and_labels_have_two_classes_each() -> None:
    pixels, others = (x.reshape(1, 2, 3, 4) for x in (OUTPUTS, LOGITS))
    y = RNG.integers(0, 4, 6)
    classes = taught(CrossEntropy(name="cross_entropy"), TEACHER, "classification")
    alone = batch_loss("classification", jnp.asarray(OUTPUTS), {"y": y, ANSWERS: LOGITS}, classes)
    masks = taught(CrossEntropy(name="cross_entropy"), TEACHER, "segmentation")
    batch = {"y": y.reshape(1, 2, 3), ANSWERS: others}
    found = batch_loss("segmentation", jnp.asarray(pixels), batch, masks)
    np.testing.assert_allclose(found, alone, rtol=1e-6)

    labels = RNG.integers(0, 2, (6, 4)).astype(np.float32)
    own, other = (expit(x.astype(np.float64) / 2.5) for x in (OUTPUTS, LOGITS))
    parts = [q * np.log(q / p) for p, q in ((own, other), (1 - own, 1 - other))]
    hard = np.log1p(np.exp(-(2 * labels - 1) * OUTPUTS.astype(np.float64))).mean(-1)
    expected = (0.4 * hard + 0.6 * 2.5**2 * sum(parts).mean(-1)).mean()
    each = taught(CrossEntropy(name="cross_entropy"), TEACHER, "multilabel")
    found = batch_loss("multilabel", jnp.asarray(OUTPUTS), {"y": labels, ANSWERS: LOGITS}, each)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_values_are_compared_with_the_teachers_by_the_loss_itself() -> None:
    y = RNG.normal(size=6).astype(np.float32)
    loss = taught(Mse(name="mse"), TEACHER, "regression")
    batch = {"y": y, ANSWERS: LOGITS[:, :1]}
    found = batch_loss("regression", jnp.asarray(OUTPUTS[:, :1]), batch, loss)
    own, other = OUTPUTS[:, 0].astype(np.float64), LOGITS[:, 0]
    expected = 0.4 * np.square(own - y).mean() + 0.6 * np.square(own - other).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_counts_are_compared_with_the_mean_counts_of_the_teacher() -> None:
    y = RNG.integers(0, 5, 6).astype(np.float32)
    loss = taught(Poisson(name="poisson"), TEACHER, "counts")
    batch = {"y": y, ANSWERS: LOGITS[:, :1]}
    found = batch_loss("counts", jnp.asarray(OUTPUTS[:, :1]), batch, loss)
    own, rate = OUTPUTS[:, 0].astype(np.float64), np.exp(LOGITS[:, 0].astype(np.float64))
    hard, soft = (np.exp(own) - wanted * own for wanted in (y, rate))
    np.testing.assert_allclose(found, (0.4 * hard + 0.6 * soft).mean(), rtol=1e-5)
    mean = mean_answer("counts", jnp.asarray(np.stack([OUTPUTS, LOGITS])), jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(
        mean, np.log(0.25 * np.exp(OUTPUTS) + 0.75 * np.exp(LOGITS)), rtol=1e-4
    )


def test_at_a_high_temperature_the_gradient_is_that_of_matching_logits() -> None:
    """Hinton et al. 2015, Section 2.1, Equation 4, times the square of the temperature."""
    slope = jax.grad(lambda x: soft_rows(x, jnp.asarray(LOGITS), 100.0).sum())(OUTPUTS)
    own, other = (x - x.mean(-1, keepdims=True) for x in (OUTPUTS, LOGITS))
    np.testing.assert_allclose(slope, (own - other) / 4, atol=0.03)
    assert abs(own - other).max() > 4


def _with_answers(data: DataSet) -> DataSet:
    answers = RNG.normal(size=(len(data.train), data.outputs)).astype(np.float32)
    return replace(data, train=Split({**data.train.arrays, ANSWERS: answers}))


def test_a_weight_of_0_leaves_the_bits_of_a_training_without_a_teacher(learn: Learn) -> None:
    data = tiny_data()
    asked = _with_answers(data)

    def a_student(stream: int, **teacher: Any) -> Any:
        compression = {"teacher": {"from": "big", **teacher}}
        return a_training(train={"epochs": 2, "stream": stream}, compression=compression)

    plain = learn(data, [a_training(train={"epochs": 2})])[0]
    assert learn(asked, [a_student(0, weight=0.0)])[0] == plain
    assert learn(asked, [a_student(0)])[0] != plain


def test_lanes_have_their_own_weight_and_temperature_in_one_program(learn: Learn) -> None:
    data = _with_answers(tiny_data())
    teachers = [{"weight": 0.3 * stream + 0.1, "temperature": 1.0 + stream} for stream in range(3)]
    trainings = [
        a_training(
            train={"epochs": 2, "stream": stream}, compression={"teacher": {"from": "big", **one}}
        )
        for stream, one in enumerate(teachers)
    ]
    assert len({split(training, data, "cpu")[0] for training in trainings}) == 1
    together = learn(data, trainings, lanes=2)
    for stream, training in enumerate(trainings):
        assert learn(data, [training], lanes=2)[stream] == together[stream]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"privacy": {"noise": 1.0, "clip": 1.0}}, "bounds what weights tell of a row"),
    ],
)
def test_what_the_answers_for_rows_as_they_are_exclude_is_said(
    section: dict[str, Any], told: str
) -> None:
    compression = {"teacher": {"from": "big"}}
    both = merged(document([]), {"name": "s", "compression": compression, **section})
    with pytest.raises(SpecError, match=rf"compression\.teacher\.from: .*{told}"):
        load_document(both, Path.cwd())
