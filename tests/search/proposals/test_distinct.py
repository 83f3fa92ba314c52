"""No sampler proposes a configuration twice; finite spaces run out."""

import json
from dataclasses import replace
from typing import ClassVar

import pytest

from hpo.search.proposals import distinct as rule
from hpo.search.proposals import remaining
from hpo.search.proposals.distinct import Distinct
from hpo.search.samplers.random import RandomSearch
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from hpo.trial import Trial, TrialState
from tests.search.samples import (
    CONDITIONAL,
    EVERY,
    FINITE,
    OPTUNA_GP,
    assert_lies_in,
    sampler_of,
    space_of,
)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Of the last draws a tenth is enough for these rules."""
    monkeypatch.setattr(remaining, "DRAWS", 2_000)


class Stubborn:
    """A sampler that wants one configuration and nothing else."""

    def __init__(self, hparams):
        self.hparams = hparams

    def ask(self, trials, n):
        return [dict(self.hparams) for _ in range(n)]


def distinct(sampler, space, seed=0, is_learning=False):
    return Distinct(sampler, space, seed, is_learning)


def trials_of(configurations):
    return [Trial(n, hparams) for n, hparams in enumerate(configurations)]


def keys(configurations):
    return {json.dumps(hparams, sort_keys=True) for hparams in configurations}


@pytest.mark.parametrize("is_learning", [False, True])
@pytest.mark.parametrize("label", FINITE)
def test_a_finite_space_is_exhausted_exactly(label, is_learning):
    space = FINITE[label]
    sampler = distinct(RandomSearch(space, 0), space, is_learning=is_learning)
    found = []
    while asked := sampler.ask(trials_of(found), 7):
        found += asked
    assert len(found) == len(keys(found)) == space.size
    for hparams in found:
        assert_lies_in(space, hparams)


@pytest.mark.parametrize("is_learning", [False, True])
def test_replacements_do_not_depend_on_the_size_of_asks_or_on_a_resume(is_learning):
    def configurations(size, is_resumed):
        sampler, found = None, []
        while True:
            if is_resumed or sampler is None:
                inner = RandomSearch(CONDITIONAL, 3)
                sampler = distinct(inner, CONDITIONAL, 3, is_learning)
            asked = sampler.ask(trials_of(found), size)
            if not asked:
                return found
            found += asked

    assert configurations(1, is_resumed=False) == configurations(1, is_resumed=True)
    assert configurations(5, is_resumed=False) == configurations(1, is_resumed=False)


def test_trials_under_way_and_diverged_count_as_tried():
    space = space_of(x=Int(0, 3))
    states = [TrialState.RUNNING, TrialState.DIVERGED, TrialState.PAUSED]
    seen = [Trial(n, {"x": n}, state) for n, state in enumerate(states)]
    assert distinct(Stubborn({"x": 1}), space).ask(seen, 5) == [{"x": 3}]


def test_trials_outside_the_space_do_not_use_it_up():
    space = space_of(x=Int(0, 1))
    seen = trials_of([{"x": 7}, {"x": 8}, {"x": 9}])
    found = distinct(Stubborn({"x": 7}), space).ask(seen, 3)
    assert sorted(hparams["x"] for hparams in found) == [0, 1]


def test_a_sampler_that_saw_other_trials_before_is_not_misled():
    space = space_of(x=Int(0, 3))
    sampler = distinct(Stubborn({"x": 0}), space)
    sampler.ask(trials_of([{"x": 0}, {"x": 1}, {"x": 2}]), 1)
    assert len(sampler.ask(trials_of([{"x": 3}]), 9)) == 3


def test_the_continuous_branch_goes_on_when_the_finite_one_is_used_up():
    # `a` is x in 99.9 % of the draws, and then nothing is left.
    space = SearchSpace(
        (
            Dimension("n", Int(1, 1000)),
            Dimension("m", Float(0.0, 1.0), Condition("n", (1000,))),
        )
    )
    seen = trials_of([{"n": n} for n in range(1, 1000)])
    found = distinct(Stubborn({"n": 5}), space, is_learning=True).ask(seen, 4)
    assert len(keys(found)) == 4
    assert all(hparams["n"] == 1000 for hparams in found)


def test_a_known_proposal_of_a_model_is_replaced_by_one_nearby():
    space = space_of(a=Int(0, 999), b=Float(0.0, 1.0), c=Choice(("p", "q")))
    wanted = {"a": 500, "b": 0.5, "c": "p"}
    for seed in range(20):
        (found,) = distinct(Stubborn(wanted), space, seed, is_learning=True).ask(
            trials_of([wanted]), 1
        )
        assert sum(found[path] != wanted[path] for path in wanted) == 1
        assert abs(found["a"] - 500) < 450
        assert abs(found["b"] - 0.5) < 0.45


def test_a_space_of_thousands_is_drawn_to_its_last_configuration():
    space = space_of(x=Int(0, 49), y=Int(0, 49))
    sampler, seen = distinct(RandomSearch(space, 0), space), []
    while asked := sampler.ask(seen, 200):
        seen += trials_of([*(trial.hparams for trial in seen), *asked])[len(seen) :]
    assert len(seen) == 2_500 == len(keys(trial.hparams for trial in seen))


class Above:
    """Forbids momenta above a bound, so that of 0.0 to 1.0 next to nothing or nothing is left."""

    text, deciding = "momentum > bound", frozenset({"momentum"})
    landmarks: ClassVar = {}

    def __init__(self, bound):
        self.bound = bound

    def forbids(self, hparams):
        return hparams.get("momentum", -1.0) > self.bound


def with_momentum(*choices, bound):
    return SearchSpace(
        (
            Dimension("kind", Choice(choices)),
            Dimension("momentum", Float(0.0, 1.0), Condition("kind", ("sgd",))),
        ),
        rules=(Above(bound),),
    )


@pytest.mark.parametrize("name", ["random", "tpe", "curve_gp"])
def test_a_space_whose_continuous_branch_is_forbidden_is_exhausted_exactly(name):
    space = with_momentum("sgd", "adam", "adamw", bound=-0.5)
    trials = []
    while asked := sampler_of(name, space).ask(trials, 2):
        trials += [
            Trial(len(trials) + k, hparams, TrialState.COMPLETE, (float(k),))
            for k, hparams in enumerate(asked)
        ]
        assert len(trials) <= 2
    assert sorted(trial.hparams["kind"] for trial in trials) == ["adam", "adamw"]


@pytest.mark.parametrize("is_learning", [False, True])
def test_all_of_the_finite_branch_is_found_where_the_continuous_one_is_forbidden(is_learning):
    kinds = tuple(f"kind {n}" for n in range(300))
    space = with_momentum("sgd", *kinds, bound=-0.5)
    sampler = distinct(Stubborn({"kind": "kind 7"}), space, is_learning=is_learning)
    found = []
    while (asked := sampler.ask(trials_of(found), 50)) and len(found) < 400:
        found += asked
    assert len(found) == len(keys(found)) == 300


def test_a_continuous_branch_that_rules_nearly_forbid_goes_on():
    space = with_momentum("sgd", bound=1e-3)
    sampler = distinct(Stubborn({"kind": "sgd", "momentum": 0.5}), space, is_learning=True)
    found = sampler.ask([], 5)
    assert len(keys(found)) == 5
    assert all(hparams["momentum"] <= 1e-3 for hparams in found)


class Thin:
    """Allows next to nothing: two numbers whose product is all but the largest."""

    text, deciding = "x * y < 0.9999", frozenset({"x", "y"})
    landmarks: ClassVar = {}

    def __init__(self):
        self.calls = 0

    def forbids(self, hparams):
        self.calls += 1
        return hparams["x"] * hparams["y"] < 0.9999


class Band:
    """Allows momenta between two numbers, which it names."""

    text, deciding = "", frozenset({"momentum"})
    landmarks: ClassVar = {"momentum": (0.3, 0.300001)}

    def forbids(self, hparams):
        return not 0.3 <= hparams.get("momentum", 0.3) <= 0.300001


@pytest.mark.parametrize("is_learning", [False, True])
def test_configurations_between_two_numbers_that_rules_name_are_found(is_learning):
    space = replace(with_momentum("sgd", "adam", bound=1), rules=(Band(),))
    sampler = distinct(Stubborn({"kind": "adam"}), space, is_learning=is_learning)
    found = sampler.ask([], 6)
    assert len(keys(found)) == 6
    assert sum(hparams["kind"] == "sgd" for hparams in found) == 5
    assert all(space.allows(hparams) for hparams in found)


def test_allowed_configurations_are_found_near_those_that_were_tried():
    space = with_momentum("sgd", "adam", bound=1e-6)
    seen = trials_of([{"kind": "adam"}, {"kind": "sgd", "momentum": 3e-7}])
    found = distinct(Stubborn({"kind": "adam"}), space).ask(seen, 5)
    assert len(keys(found)) == 5
    assert all(hparams["momentum"] <= 1e-6 for hparams in found)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_rare_configurations_are_the_same_however_many_are_asked_for(is_resumed, monkeypatch):
    monkeypatch.setattr("hpo.space._MOST_DRAWS", 500)
    space = replace(space_of(x=Float(0.0, 1.0), y=Float(0.0, 1.0)), rules=(Thin(),))

    def sampler():
        return distinct(RandomSearch(space, 2), space, 2)

    at_once, one, found = sampler().ask([], 4), sampler(), []
    for _ in range(4):
        found += (sampler() if is_resumed else one).ask(trials_of(found), 1)
    assert found == at_once
    assert len(keys(found)) == 4
    assert all(space.allows(hparams) for hparams in found)


def test_an_exhausted_space_is_not_searched_again_after_the_same_trials():
    rule = Above(-0.5)
    calls = []
    rule.forbids = lambda hparams: bool(calls.append(1)) or "momentum" in hparams
    space = replace(with_momentum("sgd", "adam", bound=0), rules=(rule,))
    sampler = distinct(Stubborn({"kind": "adam"}), space, is_learning=True)
    seen = trials_of([{"kind": "adam"}])
    assert sampler.ask(seen, 3) == []
    assert len(calls) > 3_000
    calls.clear()
    ended = [replace(seen[0], state=TrialState.COMPLETE, losses=(1.0,))]
    assert sampler.ask(ended, 3) == []
    assert len(calls) < 200
    assert len(sampler.ask([], 3)) == 1


def test_a_search_that_forbidden_combinations_end_ends_the_same_after_a_resume(
    monkeypatch,
):
    monkeypatch.setattr(rule, "_MOST_LOOKED_AT", 20)

    class Rare:
        text, deciding = "", frozenset({"n", "momentum"})
        landmarks: ClassVar = {}

        def forbids(self, hparams):
            return hparams.get("n", 1) % 13 > 0 or "momentum" in hparams

    levels = (Dimension("n", Int(0, 400)), *with_momentum("sgd", "a", bound=0).dimensions)
    space = SearchSpace(levels, rules=(Rare(),))
    found, sampler = [], distinct(Stubborn({"n": 0, "kind": "a"}), space, is_learning=True)
    while asked := sampler.ask(trials_of(found), 1):
        assert asked == distinct(Stubborn({"n": 0, "kind": "a"}), space, is_learning=True).ask(
            trials_of(found), 1
        )
        found += asked
    assert 0 < len(found) < 31


def test_a_continuous_value_that_rounds_to_few_is_not_tried_again():
    class Rounded:
        path, text, deciding = "momentum", "rounded", frozenset({"momentum"})

        def value(self, hparams):
            return float(hparams["momentum"] > 0.5)

    space = replace(space_of(momentum=Float(0.0, 1.0)), derived=(Rounded(),))
    found = distinct(Stubborn({"momentum": 1.0}), space, is_learning=True).ask([], 5)
    assert sorted(hparams["momentum"] for hparams in found) == [0.0, 1.0]


# The other forests, and what stands for another, go the same way.
QUICK = [n for n in EVERY if n not in ("extra_trees", "boosted_trees", "bayesian", OPTUNA_GP)]


class Few:
    """Leaves 6 of 5,460 combinations of two dimensions."""

    text, deciding = "", frozenset({"size", "momentum"})
    landmarks: ClassVar = {}

    def forbids(self, hparams):
        few = {2, 9, 33}
        return hparams["size"] not in (30, 31) or round(hparams["momentum"] * 100) not in few


@pytest.mark.parametrize(
    ("name", "is_counted"),
    [(name, False) for name in QUICK] + [(name, True) for name in ("random", "tpe")],
)
def test_every_sampler_finds_all_configurations_of_a_nearly_forbidden_space(
    name, is_counted, monkeypatch
):
    # Draws meet next to none of it.
    monkeypatch.setattr("hpo.space._MOST_DRAWS", 20)
    monkeypatch.setattr("hpo.space._EVEN_DRAWS", 10)
    monkeypatch.setattr(rule, "_MOST_FORBIDDEN", 20)
    if not is_counted:
        monkeypatch.setattr("hpo.space._MOST_COUNTED", 1_000)
    space = replace(
        space_of(size=Int(1, 60), momentum=Float(0.0, 0.9, step=0.01), kind=Choice(("a", "b"))),
        rules=(Few(),),
    )
    assert space.is_counted == is_counted
    sampler, trials = sampler_of(name, space), []
    while asked := sampler.ask(trials, 5):
        trials += [
            Trial(len(trials) + k, hparams, TrialState.COMPLETE, (hparams["momentum"],))
            for k, hparams in enumerate(asked)
        ]
    assert len(trials) == len(keys(trial.hparams for trial in trials)) == 12
    assert all(space.allows(trial.hparams) for trial in trials)


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_grid_lists_the_allowed_combinations_without_a_draw(is_counted, monkeypatch):
    if not is_counted:
        monkeypatch.setattr("hpo.space._MOST_COUNTED", 1_000)
    space = replace(space_of(size=Int(1, 60), momentum=Float(0.0, 0.9, step=0.01)), rules=(Few(),))
    monkeypatch.setattr(SearchSpace, "at", None)
    found = sampler_of("grid", space).ask([], 20)
    assert len(found) == len(keys(found)) == 6
    again = sampler_of("grid", space).ask(trials_of(found[:3]), 20)
    assert again == found[3:]
