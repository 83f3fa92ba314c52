"""Predictions are judged as scikit-learn judges them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as theirs

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.data.transforms.transform import FittedTransform
from hpo.spec.sections.loss import Focal
from hpo.study.baselines.judging import judge, mean_prediction, thresholds_of
from tests.study.baselines.samples import ROWS, a_data_set


def a_training(*names, loss=None):
    return SimpleNamespace(
        loss=loss, own_metrics={}, train=SimpleNamespace(metrics=names, threshold=None)
    )


def chances(*shape):
    found = np.random.default_rng(1).random(shape)
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_classes(weighted):
    data = a_data_set("classification", 3, weighted=weighted)
    found = chances(ROWS[1], 3)
    y, weight = data.validation.y, data.validation.arrays.get("weight")

    assert judge(data, data.validation, found, a_training("auroc", "macro_f1")) == pytest.approx(
        {
            "loss": theirs.log_loss(y, found, sample_weight=weight),
            "accuracy": theirs.accuracy_score(y, found.argmax(1), sample_weight=weight),
            "auroc": theirs.roc_auc_score(y, found, multi_class="ovr", sample_weight=weight),
            "macro_f1": theirs.f1_score(y, found.argmax(1), average="macro", sample_weight=weight),
        },
        rel=1e-5,
    )


def test_a_class_without_a_chance_costs_what_scikit_learn_says():
    data = a_data_set("classification", 3)
    found = np.eye(3)[(data.test.y + (np.arange(ROWS[2]) < 5)) % 3]

    assert judge(data, data.test, found, a_training())["loss"] == pytest.approx(
        theirs.log_loss(data.test.y, found), rel=1e-5
    )


def test_labels():
    data = a_data_set("multilabel", 3)
    found, y = np.random.default_rng(1).random((ROWS[1], 3)), data.validation.y

    entropies = -(y * np.log(found) + (1 - y) * np.log(1 - found))
    assert judge(data, data.validation, found, a_training("average_precision")) == pytest.approx(
        {
            "loss": entropies.mean(),
            "accuracy": theirs.accuracy_score(y, found > 0.5),
            "average_precision": theirs.average_precision_score(y, found),
        },
        rel=1e-5,
    )


def test_values_in_the_unit_of_the_target():
    data = a_data_set("regression", 1, weighted=True)
    found = np.random.default_rng(1).standard_normal((ROWS[1], 1))
    y, own, weight = 5 + 2 * data.validation.y, 5 + 2 * found, data.validation.arrays["weight"]

    judged = judge(data, data.validation, found, a_training("mape"))
    assert judged.pop("loss") == pytest.approx(
        theirs.mean_squared_error(data.validation.y, found, sample_weight=weight), rel=1e-5
    )
    assert judged == pytest.approx(
        {
            "rmse": theirs.root_mean_squared_error(y, own, sample_weight=weight),
            "mae": theirs.mean_absolute_error(y, own, sample_weight=weight),
            "r2": theirs.r2_score(y, own, sample_weight=weight),
            "mape": theirs.mean_absolute_percentage_error(y, own, sample_weight=weight),
        },
        rel=1e-5,
    )


def test_rates_of_counts():
    data = a_data_set("counts", 1)
    found = np.random.default_rng(1).uniform(0.5, 2, (ROWS[1], 1))

    judged = judge(data, data.validation, found, a_training())
    assert judged["deviance"] == pytest.approx(
        theirs.mean_poisson_deviance(data.validation.y, found[:, 0]), rel=1e-5
    )


def test_a_loss_that_the_spec_names_is_the_loss():
    data = a_data_set("classification", 3)
    found, y = chances(ROWS[1], 3), data.validation.y
    own = found[np.arange(ROWS[1]), y]

    judged = judge(data, data.validation, found, a_training(loss=Focal(name="focal", gamma=3.0)))
    assert judged["loss"] == pytest.approx(
        float((-((1 - own) ** 3) * np.log(own)).mean()), rel=1e-4
    )


def test_a_threshold_is_chosen_on_the_validation_rows_alone() -> None:
    y = np.array([0, 0, 0, 1, 1, 0], np.int32)
    chances = np.array([0.1, 0.1, 0.2, 0.3, 0.4, 0.05])
    validation, test = (Split({"x": np.zeros((6, 1), np.float32), "y": own}) for own in (y, 1 - y))
    data = DataSet("classification", validation, validation, test, 2, "t")
    predictions = np.stack([1 - chances, chances], axis=1)
    training = a_training("f1")
    training.train.threshold = "f1"
    chosen = thresholds_of(data, predictions, training)
    assert 0.2 < float(chosen[0]) < 0.3
    assert judge(data, validation, predictions, training)["f1"] == 1
    assert judge(data, test, predictions, training, chosen)["f1"] == 0


def test_the_mean_prediction_of_folds_is_one_in_their_common_unit():
    scales = [(5.0, 2.0), (3.0, 4.0)]
    folds = [
        replace(
            a_data_set("regression", 1),
            transform=FittedTransform(target_mean=np.array(mean), target_std=np.array(std)),
        )
        for mean, std in scales
    ]
    data = of_folds(folds)
    found = [np.full((ROWS[2], 1), value) for value in (1.0, -1.0)]

    mean = mean_prediction(data, found)

    own = ((5 + 2 * 1) + (3 - 4 * 1)) / 2
    np.testing.assert_allclose(mean * data.target_std + data.target_mean, own)


def test_the_mean_chances_of_folds_are_their_mean():
    data = of_folds([a_data_set("classification", 3), a_data_set("classification", 3)])
    one, other = chances(ROWS[2], 3), np.eye(3)[data.test.y]

    np.testing.assert_allclose(mean_prediction(data, [one, other]), (one + other) / 2)
