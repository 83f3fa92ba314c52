"""Whether a split by groups leaves every class to train and to judge."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.groups import judged_by_groups
from hpo.data.overview.overview import Target

PATIENTS = np.arange(200) // 5  # 40 patients of 5 rows


def judged(y, groups=PATIENTS):
    frame = pd.DataFrame({"patient": groups, "y": y})
    return judged_by_groups(frame, "patient", Target(("y",), "classification", "", "", {"a": 1}))


@pytest.mark.parametrize(
    ("ill", "by"),
    [
        (PATIENTS % 2, "folds"),
        (PATIENTS == 3, ""),  # the ill one either trains or is judged
        (np.arange(200) % 5 == 0, "folds"),  # each has a day of illness
    ],
)
def test_classes_of_few_groups_are_not_split_by_group(ill, by):
    assert judged(np.where(ill, "ill", "well")) == by


def test_few_groups_with_every_class_are_split_once():
    assert judged(np.arange(200) % 2, np.arange(200) // 50) == "split"


def test_quantities_are_always_judged():
    frame = pd.DataFrame({"patient": PATIENTS, "y": 1.5})
    assert judged_by_groups(frame, "patient", Target(("y",), "regression", "", "")) == "folds"
