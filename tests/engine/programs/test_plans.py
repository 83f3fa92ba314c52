"""The plan of a program: the number of its lanes, and how they are mapped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.engine.programs.plans import Form, Plan, choose_plans


@pytest.mark.parametrize(
    ("platform", "lanes", "trials", "pools", "is_learning", "plan"),
    [
        ("cpu", "auto", 100, 4, False, Plan("map", 8)),
        ("cpu", "auto", 100, 4, True, Plan("map", 4)),  # fewer at once, to learn from more
        ("cpu", "auto", 10, 4, False, Plan("map", 3)),  # no lane without a trial
        ("cpu", "auto", 2, 4, False, Plan("map", 1)),
        ("cpu", 5, 100, 4, True, Plan("map", 5)),
        ("gpu", "auto", 100, 1, True, Plan("vmap", 32)),
        ("gpu", "auto", 20, 1, False, Plan("vmap", 20)),
        ("tpu", "auto", 100, 8, False, Plan("vmap", 13)),
        ("gpu", 64, 10, 1, True, Plan("vmap", 64)),
    ],
)
def test_the_plan_is_the_one_of_the_table(
    platform: str, lanes: Any, trials: int, pools: int, is_learning: bool, plan: Plan
) -> None:
    assert choose_plans(platform, lanes, trials, pools, is_learning).usual == plan


@given(
    platform=st.sampled_from(["cpu", "gpu", "tpu"]),
    trials=st.integers(1, 10_000),
    pools=st.integers(1, 256),
    is_learning=st.booleans(),
)
def test_there_is_at_least_one_lane_and_at_most_one_for_each_trial(
    platform: str, trials: int, pools: int, is_learning: bool
) -> None:
    plans = choose_plans(platform, "auto", trials, pools, is_learning)
    assert all(1 <= plan.lanes <= trials for plan in (plans.usual, *plans.others))


@pytest.mark.parametrize(
    ("platform", "lanes", "trials", "others"),
    [
        ("cpu", "auto", 100, (Plan("vmap", 8),)),
        ("cpu", 1, 100, ()),  # both forms of one lane are the same
        ("gpu", "auto", 1000, (Plan("vmap", 128), Plan("vmap", 8))),
        ("gpu", "auto", 100, (Plan("vmap", 8),)),  # 128 lanes would never be full
        ("gpu", 32, 1000, ()),
    ],
)
def test_the_plans_to_be_measured_are_those_of_the_table(
    platform: str, lanes: Any, trials: int, others: tuple[Plan, ...]
) -> None:
    assert choose_plans(platform, lanes, trials, 1, is_learning=False).others == others


def test_a_plan_is_read_back_from_its_pin() -> None:
    plan = Plan("vmap", 13, "measured")
    again = Plan.from_pin(json.loads(json.dumps(plan.pin())))
    assert (again, again.why) == (plan, "measured")


@pytest.mark.parametrize(("platform", "form"), [("cpu", "vmap"), ("gpu", "map")])
def test_a_form_in_the_spec_is_used_and_not_measured(platform: str, form: Form) -> None:
    plans = choose_plans(platform, 6, 100, 1, is_learning=False, epochs=1e9, form=form)
    assert (plans.usual, plans.others) == (Plan(form, 6), ())


@pytest.mark.parametrize(
    ("plan", "together"), [(Plan("map", 8), 0), (Plan("vmap", 8), 8), (Plan("vmap", 16, "", 8), 2)]
)
def test_lanes_train_together_on_each_device(plan: Plan, together: int) -> None:
    assert Plan.from_pin(plan.pin()).together == together
