import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace

LOW_DEPTHS = SearchSpace(
    (
        Dimension("model.name", Choice(("mlp", "cnn"))),
        Dimension("model.depth", Int(1, 3), Condition("model.name", ("mlp",))),
        Dimension("model.skip", Choice((True, False)), Condition("model.depth", (2, 3))),
    )
)


@pytest.mark.parametrize(
    ("hparams", "is_active"),
    [
        ({"model.name": "mlp", "model.depth": 2}, True),
        ({"model.name": "mlp", "model.depth": 1}, False),
        ({"model.name": "cnn"}, False),  # the dimension that its condition reads is not active
    ],
)
def test_a_condition_holds_along_its_chain(hparams, is_active):
    assert LOW_DEPTHS.is_active(LOW_DEPTHS.by_path["model.skip"], hparams) == is_active


@given(st.integers(0, 10**6))
def test_a_draw_holds_the_active_dimensions(seed):
    hparams = LOW_DEPTHS.draw(np.random.default_rng(seed))
    assert ("model.depth" in hparams) == (hparams["model.name"] == "mlp")
    assert ("model.skip" in hparams) == (hparams.get("model.depth") in (2, 3))


def test_a_dimension_draws_the_same_whether_those_before_it_are_active_or_not():
    last = Dimension("z", Float(0.0, 1.0))
    with_it = SearchSpace((*LOW_DEPTHS.dimensions, last))
    never = Dimension("model.skip", Choice((True,)), Condition("model.depth", (9,)))
    without = SearchSpace((*LOW_DEPTHS.dimensions[:2], never, last))
    draws = [space.draw(np.random.default_rng(0))["z"] for space in (with_it, without)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("hparams", "part"),
    [
        ({"model.name": "cnn"}, {"model.name": "cnn"}),
        ({"model.name": "cnn", "model.depth": 2, "other": 1}, {"model.name": "cnn"}),
        ({"model.name": "mlp", "model.depth": 1}, {"model.name": "mlp", "model.depth": 1}),
        ({"model.name": "mlp"}, None),  # its depth is missing
        ({"model.name": "mlp", "model.depth": 4}, None),
        ({"model.name": "mlp", "model.depth": 2}, None),
    ],
    ids=str,
)
def test_the_part_of_hparams_that_a_space_could_have_drawn(hparams, part):
    assert LOW_DEPTHS.own_part(hparams) == part


def test_the_size_counts_trials_not_combinations_that_conditions_rule_out():
    # mlp: depth 1, and depths 2 and 3 with two skips each; cnn: one.
    assert LOW_DEPTHS.size == (1 + 2 * 2) + 1


def test_a_continuous_space_is_infinite_and_an_empty_one_holds_one_trial():
    assert SearchSpace((Dimension("x", Float(0.0, 1.0)),)).size == float("inf")
    assert SearchSpace().size == 1
    assert SearchSpace().draw(np.random.default_rng(0)) == {}


def test_paths_within_a_choice_of_parts_vary() -> None:
    parts = Choice(({"name": "mlp", "dropout": 0.0}, {"name": "mlp", "schedule": {"warmup": 0.1}}))
    space = SearchSpace((Dimension("model", parts), Dimension("train.precision", Choice(("a",)))))
    assert space.varying == {
        "model",
        "model.name",
        "model.dropout",
        "model.schedule",
        "model.schedule.warmup",
        "train.precision",
    }
