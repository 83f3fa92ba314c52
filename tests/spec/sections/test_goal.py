"""Objectives, constraints and rules that end a search."""

import math

import pytest

from hpo.spec.sections.goal import Constraint, Goal, Objective, StopSpec


def test_what_ends_a_study_is_told_as_one_or_as_many():
    stop = StopSpec(no_improvement=1, epochs=1)
    assert str(stop) == "after 1 trial in full without a better one, after 1 epoch"


@pytest.mark.parametrize(
    ("bounds", "value", "excess"),
    [
        ({"at_most": 100}, 150, 0.5),
        ({"at_most": 100}, 50, -0.5),
        ({"at_least": 0.8}, 0.6, 0.25),
        ({"at_most": 0}, 3, 3),  # a bound of 0 counts as 1
        ({"at_least": 10, "at_most": 20}, 25, 0.25),
        ({"at_least": 10, "at_most": 20}, 5, 0.5),
        ({"at_least": 10, "at_most": 20}, 15, -0.25),
        ({"at_most": 100}, math.nan, math.inf),
    ],
)
def test_a_bound_is_broken_by_a_share_of_itself(bounds, value, excess):
    constraint = Constraint(metric="parameters", **bounds)
    assert constraint.excess(value) == pytest.approx(excess)


def test_a_goal_adds_up_what_its_constraints_are_broken_by():
    small = Constraint(metric="parameters", at_most=100)
    good = Constraint(metric="accuracy", at_least=0.8)
    goal = Goal((Objective(maximize="accuracy"), Objective(minimize="flops")), (small, good))
    assert goal.metrics == ("accuracy", "flops", "parameters")
    assert goal.values({"accuracy": 0.75, "flops": 10.0}) == (-0.75, 10.0)
    assert goal.violation({"accuracy": 0.6, "parameters": 150}) == pytest.approx(0.5 + 0.25)
    assert goal.violation({"accuracy": 0.9, "parameters": 150}) == pytest.approx(0.5)
    assert goal.violation({"accuracy": 0.9}) == 0  # the parameters are not known yet


@pytest.mark.parametrize(
    ("objective", "is_backwards"),
    [
        ({"maximize": "accuracy"}, False),
        ({"minimize": "accuracy"}, True),
        ({"minimize": "loss"}, False),
        ({"maximize": "parameters"}, True),
    ],
)
def test_an_objective_against_the_better_direction_is_noted(objective, is_backwards):
    goal = Goal((Objective(**objective),))
    assert goal.first.is_backwards == is_backwards
    assert len(goal.notes) == is_backwards
