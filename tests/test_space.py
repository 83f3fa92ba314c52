import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.distributions import parts_of
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace, same_value

positions = st.floats(0, 1, exclude_max=True)
LOW_DEPTHS = SearchSpace(
    (
        Dimension("model.name", Choice(("mlp", "cnn"))),
        Dimension("model.depth", Int(1, 3), Condition("model.name", ("mlp",))),
        Dimension("model.skip", Choice((True, False)), Condition("model.depth", (2, 3))),
    )
)


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (Int(1, 4), [1, 2, 3, 4]),
        (Int(10, 31, step=5), [10, 15, 20, 25, 30]),
        (Int(1, 3, log=True), [1, 2, 3]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(0.0, 1.0, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (Float(-0.3, 0.1, step=0.1), [-0.3, -0.2, -0.1, 0.0, 0.1]),
        (Float(2.0, 2.0), [2.0]),
        (Choice(("a", [1], None)), ["a", [1], None]),
    ],
)
def test_positions_reach_every_value_of_a_finite_distribution_and_no_other(distribution, values):
    found = [distribution.at(position) for position in np.linspace(0, 1, 999, endpoint=False)]
    assert distribution.size == len(values)
    assert [value for n, value in enumerate(found) if n == 0 or value != found[n - 1]] == values


@given(positions)
@pytest.mark.parametrize(
    "distribution",
    [Float(1e-12, 1e12, log=True), Float(-3.0, 7.0), Int(-5, 5), Int(1, 10**9, log=True)],
)
def test_values_lie_between_low_and_high(distribution, position):
    assert distribution.low <= distribution.at(position) <= distribution.high


def test_a_log_range_gives_each_decade_its_share():
    found = [Float(1e-4, 1.0, log=True).at(position) for position in (0, 0.25, 0.5, 0.75)]
    assert found == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])


def test_whole_numbers_on_a_log_range_share_it_by_their_width():
    # From 0.5 to 2.5 on a log scale: 1 has log(3), 2 has log(5 / 3), together log(5).
    share = np.log(3) / np.log(5)
    assert Int(1, 2, log=True).at(share - 1e-9) == 1
    assert Int(1, 2, log=True).at(share + 1e-9) == 2


@pytest.mark.parametrize(
    ("distribution", "landmarks", "parts"),
    [
        (Float(0.0, 1.0), [0.5, 2.0], [[0.5, 0.5], [0.0, 0.5], [0.5, 1.0]]),
        (Float(1e-4, 1.0, log=True), [1e-2], [[1e-2, 1e-2], [1e-4, 1e-2], [1e-2, 1.0]]),
        (Float(0.0, 1.0, step=0.25), [0.3, 0.6], [[0.0, 0.25], [0.5, 0.5], [0.75, 1.0]]),
        (Int(0, 99), [4.0, 6.5], [[4, 4], [0, 4], [4, 6], [7, 99]]),
        (Int(0, 9), [], [[0, 9]]),
        (Choice((1, 2)), [1], [[1, 2]]),
    ],
)
def test_a_range_is_cut_at_the_numbers_that_rules_name(distribution, landmarks, parts):
    ends = [[part.at(0.0), part.at(1 - 1e-12)] for part in parts_of(distribution, landmarks)]
    assert [pytest.approx(end, rel=1e-9) for end in parts] == ends


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [(True, 1, False), (1, 1.0, True), (False, 0, False), ("1", 1, False), ([1], [1], True),
     (None, None, True), (None, False, False)],
)  # fmt: skip
def test_true_is_not_one(one, other, is_same):
    assert same_value(one, other) == is_same


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
