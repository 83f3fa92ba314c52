"""Candidates for the configurations that rules leave."""

from dataclasses import replace
from itertools import islice

import numpy as np

from hpo.search.proposals import remaining
from hpo.search.proposals.remaining import drawn_continuous
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from tests.search.samples import assert_lies_in

# `momentum` is active in one of a hundred combinations.
SPACE = SearchSpace(
    (
        Dimension("kind", Choice(("sgd", *(f"other {n}" for n in range(99))))),
        Dimension("momentum", Float(0.0, 1.0), Condition("kind", ("sgd",))),
        Dimension("depth", Int(1, 4)),
    )
)


def drawn(count, space=SPACE, seed=0):
    return list(islice(drawn_continuous(space, np.random.default_rng(seed)), count))


def candidates(tried, space=SPACE, seed=0):
    return list(remaining.remaining(space, tried, np.random.default_rng(seed)))


def test_every_draw_has_a_continuous_dimension_however_rare_it_is():
    found = drawn(300)
    assert {hparams["kind"] for hparams in found} == {"sgd"}
    for hparams in found:
        assert_lies_in(SPACE, hparams)


def test_the_ends_of_a_range_are_drawn_too():
    momenta = [hparams["momentum"] for hparams in drawn(300)]
    # Of the draws a third has such values, and of these a third each end.
    for end in (0.0, 1.0):
        assert 10 < sum(np.isclose(momentum, end) for momentum in momenta) < 70
    assert len(set(momenta)) > 100


def test_candidates_come_ever_nearer_to_what_was_tried(monkeypatch):
    monkeypatch.setattr(remaining, "DRAWS", 5)
    tried = {"kind": "sgd", "momentum": 0.5, "depth": 3}
    *near, _, _, _, _, _ = candidates([tried])
    distances = [abs(hparams["momentum"] - 0.5) for hparams in near]
    assert all(hparams | {"momentum": 0.5} == tried for hparams in near)
    looks = len(near) // len(remaining._SHARES)
    widths = [np.median(distances[at : at + looks]) for at in range(0, len(near), looks)]
    # The median of a normal step is two thirds of its deviation.
    np.testing.assert_allclose(widths, 0.67 * np.array(remaining._SHARES), rtol=0.5)


def test_nothing_is_looked_for_around_what_the_rules_forbid(monkeypatch):
    class High:
        text, deciding, landmarks = "momentum > 0.9", frozenset({"momentum"}), {}

        def forbids(self, hparams):
            return hparams.get("momentum", 0) > 0.9

    monkeypatch.setattr(remaining, "DRAWS", 5)
    space = replace(SPACE, rules=(High(),))
    tried = {"kind": "sgd", "momentum": 0.95, "depth": 3}
    assert len(candidates([tried], space)) == 5
    assert len(candidates([tried, {"kind": "other 7", "depth": 3}], space)) == 5
    assert len(candidates([tried, {**tried, "momentum": 0.5}], space)) > 5
