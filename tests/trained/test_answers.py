"""Answers by the names of targets and classes."""

import numpy as np

from hpo.data.transforms.features import Features
from hpo.trained.answers import answer_columns
from hpo.trained.description import Description


def described(task, outputs, classes=(), targets=()):
    return Description(task, outputs, classes, (1,), "float32", Features(targets=targets))


def test_classes_have_the_most_likely_one_and_all_chances():
    told = described("classification", 2, ("no", "yes"), ("churn",))
    found = answer_columns(np.array([[0.9, 0.1], [0.3, 0.7]]), told, None)
    assert {name: column.tolist() for name, column in found.items()} == {
        "churn": ["no", "yes"],
        "churn_no": [0.9, 0.3],
        "churn_yes": [0.1, 0.7],
    }


def test_a_threshold_decides_between_two_classes_and_for_each_label():
    told = described("classification", 2, ("no", "yes"), ("churn",))
    chances = np.array([[0.7, 0.3], [0.3, 0.7]])
    assert answer_columns(chances, told, np.array([0.2]))["churn"].tolist() == ["yes", "yes"]
    labels = described("multilabel", 2, (), ("a", "b"))
    found = answer_columns(chances, labels, np.array([0.8, 0.2]))
    assert (found["a"].tolist(), found["b"].tolist()) == ([0, 0], [1, 1])
    assert answer_columns(chances, labels, None)["a"].tolist() == [1, 0]


def test_values_have_the_names_of_their_targets():
    values = np.array([[1.5, 2.5]])
    assert [*answer_columns(values, described("regression", 2, (), ("w", "h")), None)] == ["w", "h"]
    unnamed = described("regression", 2)
    assert [*answer_columns(values, unnamed, None)] == ["prediction_0", "prediction_1"]
