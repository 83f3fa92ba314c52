"""Conditions: what they look at, and where the spec decides them."""

import pytest

from hpo.space import Condition
from tests.spec.samples import loaded


@pytest.mark.parametrize(
    ("when", "is_kept"),
    [
        ("optimizer.name: sgd", True),
        ("optimizer.name: adam", False),
        ("optimizer.momentum: [0.8, 0.9]", True),
        ("optimizer.nesterov: true", False),  # the default is false
        ("model.kernel: 3", False),  # a perceptron has none
        ("model.widths: [128, 128]", True),  # a list as value
        ("model.widths: [[64], [128, 128]]", True),
    ],
)
def test_a_condition_on_a_fixed_leaf_is_evaluated_at_once(tmp_path, when, is_kept):
    space = loaded(
        tmp_path, f"space: {{model.dropout: {{float: [0, 0.5], when: {{{when}}}}}}}"
    ).space
    assert [d.when for d in space.dimensions] == [None] * is_kept


def test_a_condition_inside_a_chosen_part_becomes_one_on_the_choice(tmp_path):
    text = """
space:
  optimizer.schedule: {choice: [{name: cosine}, {name: step, drops: 3}]}
  optimizer.schedule.factor: {float: [0.1, 0.5], when: {optimizer.schedule.name: step}}
"""
    (_, factor) = loaded(tmp_path, text).space.dimensions
    assert factor.when == Condition("optimizer.schedule", ({"name": "step", "drops": 3},))


SCHEDULED = """space:
  optimizer.name: {choice: [sgd, adam]}
  optimizer.schedule: {choice: [{name: constant}, {name: step}, {name: step, drops: 3}]}
  optimizer.schedule.factor: {float: [0.1, 0.5], when: {optimizer.schedule.name: step}}
"""


def test_a_condition_inside_a_chosen_part_looks_at_that_part_whatever_is_chosen_around(tmp_path):
    when = loaded(tmp_path, SCHEDULED).space.by_path["optimizer.schedule.factor"].when
    steps = ({"name": "step"}, {"name": "step", "drops": 3})
    assert when == Condition("optimizer.schedule", steps)
