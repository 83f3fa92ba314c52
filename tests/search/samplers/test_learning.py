"""What holds of samplers that learn from results."""

import math
from dataclasses import replace

import pytest

from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from hpo.trial import Trial
from tests.search.samples import (
    COMPLETE,
    CONTINUOUS,
    DIVERGED,
    GENETIC,
    INFEASIBLE,
    LEARNING,
    MODELS,
    OPTUNA_GP,
    PAUSED,
    PRUNED,
    RUNNING,
    SEVERAL,
    SURROGATES,
    assert_lies_in,
    losses_of_a_study,
    ran,
    sampler_of,
    searched,
    space_of,
    told,
)


@pytest.mark.parametrize("name", MODELS)
def test_models_begin_with_the_random_draws(name):
    space = CONTINUOUS["mixed"]
    assert sampler_of(name, space).ask([], 5) == sampler_of("random", space).ask([], 5)


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_models_find_better_trials_than_random_search(name):
    found, drawn = (
        sum(min(losses_of_a_study(which, seed, trials=40)) for seed in range(3))
        for which in (name, "random")
    )
    assert found < 0.9 * drawn


PLANE = space_of(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
QUICK = ["tpe", "cmaes", *GENETIC]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_objectives_are_proposed_for(name):
    space = space_of(x=Int(0, 30), y=Choice("abc"))
    seen = [
        ran(trial.number, trial.hparams, trial.number % 3.0, trial.number % 5.0)
        for trial in told(space, 20)
    ]
    for hparams in sampler_of(name, space, objectives=2).ask(seen, 2):
        assert_lies_in(space, hparams)


@pytest.mark.parametrize("name", ["tpe", *GENETIC])
def test_a_search_for_two_objectives_finds_the_front_between_them(name):
    # The best of x^2 + y^2 against (x - 1)^2 + y^2 lie on y = 0, from x = 0 to x = 1.
    def judge(hparams):
        x, y = hparams["x"], hparams["y"]
        return (x**2 + y**2, (x - 1) ** 2 + y**2), 0.0

    found = searched(name, PLANE, judge, objectives=2)[-40:]
    assert sum(trial.hparams["y"] for trial in found) / 40 < 0.3
    assert {int(trial.hparams["x"] * 3) for trial in found} == {0, 1, 2}


@pytest.mark.parametrize("name", QUICK)
def test_a_constrained_search_stays_where_constraints_are_kept(name):
    # The lower the better, but below 0.3 the constraint is broken.
    found = searched(name, PLANE, lambda h: ((h["x"],), max(0.0, 0.3 - h["x"])))
    last = [trial.hparams["x"] for trial in found[-30:]]
    # Half of the genes of two mutate; by chance there would be 10.
    assert sum(0.25 < x < 0.6 for x in last) > 14


@pytest.mark.parametrize("name", QUICK)
def test_a_search_that_breaks_every_constraint_moves_to_where_it_breaks_them_least(name):
    found = searched(name, PLANE, lambda h: ((0.0,), 1 + h["x"] + h["y"]))
    sums = [trial.violation - 1 for trial in found]
    assert sum(sums[-30:]) / 30 < 0.6 * sum(sums[:10]) / 10


@pytest.mark.parametrize("name", ["cmaes", *GENETIC, "gp"])
@pytest.mark.parametrize("waiting", [PAUSED, PRUNED])
def test_a_trial_that_stopped_early_is_not_a_bad_one(name, waiting):
    # The best lie at 0.2. Those on the left stopped after an epoch; for others losses fell by 5.
    space = space_of(x=Float(0.0, 1.0), y=Float(0.0, 1.0), z=Float(0.0, 1.0))
    seen = []
    # A process would have nothing left to find after more of them.
    for number in range(16 if name == "gp" else 60):
        x = (0.1 + number * 0.618) % 1.0
        last = 1.0 + 5 * (x - 0.2) ** 2
        losses = (5 + last,) if x < 0.5 else (5 + last, 3 + last, last)
        hparams = {"x": x, "y": number * 0.414 % 1.0, "z": number * 0.732 % 1.0}
        seen.append(Trial(number, hparams, waiting if x < 0.5 else COMPLETE, losses))
    proposals = sampler_of(name, space).ask(seen, 8)
    assert sum(hparams["x"] < 0.5 for hparams in proposals) >= 5


@pytest.mark.parametrize("name", QUICK)
def test_samplers_avoid_regions_that_diverge(name):
    found = []
    sampler = sampler_of(name, PLANE)
    for number in range(80):
        (hparams,) = sampler.ask(found, 1)
        is_lost = hparams["x"] > 0.5
        losses = () if is_lost else (hparams["y"],)
        found.append(Trial(number, hparams, DIVERGED if is_lost else COMPLETE, losses))
    assert sum(trial.state is DIVERGED for trial in found[-30:]) < 10


@pytest.mark.parametrize("name", ["auto", *LEARNING])
def test_samplers_avoid_shapes_that_break_a_constraint(name):
    # Losses fall towards the models that are too large to be trained.
    seen = []
    for trial in told(PLANE, 60):
        over = trial.hparams["x"] - 0.5
        state, losses = (INFEASIBLE, ()) if over > 0 else (COMPLETE, (-over,))
        seen.append(Trial(trial.number, trial.hparams, state, losses, (), max(0.0, over)))
    forbidden = sum(trial.state is INFEASIBLE for trial in seen)
    proposals = sampler_of(name, PLANE).ask(seen, 6)
    assert forbidden > 20
    # By chance it would be half of them; half of the genes of two mutate.
    assert sum(hparams["x"] > 0.55 for hparams in proposals) <= 1 + (name in GENETIC)


@pytest.mark.parametrize("name", ["tpe", *GENETIC, OPTUNA_GP])
def test_several_objectives_are_proposed_for_where_some_trials_never_trained(name):
    seen = [Trial(t.number, t.hparams, INFEASIBLE, violation=1.0) for t in told(PLANE, 30)]
    seen[::2] = [ran(trial.number, trial.hparams, 1.0, 2.0) for trial in seen[::2]]
    for some in (seen, seen[1::2]):
        some = [replace(trial, number=number) for number, trial in enumerate(some)]
        for hparams in sampler_of(name, PLANE, objectives=2).ask(some, 2):
            assert_lies_in(PLANE, hparams)


@pytest.mark.parametrize("name", ["cmaes", *GENETIC])
def test_a_trial_under_way_changes_no_generation(name):
    space = PLANE
    seen = [ran(n, {"x": n / 30, "y": n * 7 % 30 / 30}, abs(n - 20.0)) for n in range(30)]
    for losses in [(), (0.001,)]:
        begun = [*seen, Trial(30, {"x": 0.111, "y": 0.222}, RUNNING, losses)]
        ended = [*seen, Trial(30, {"x": 0.111, "y": 0.222}, DIVERGED)]
        assert sampler_of(name, space).ask(begun, 1) == sampler_of(name, space).ask(ended, 1)


@pytest.mark.parametrize("name", [*QUICK, OPTUNA_GP, *SURROGATES])
def test_conditions_three_deep_are_searched(name):
    space = SearchSpace(
        (
            Dimension("a", Choice(("x", "y"))),
            Dimension("b", Int(1, 3), Condition("a", ("x",))),
            Dimension("c", Choice((True, False)), Condition("b", (2, 3))),
            Dimension("d", Float(1e-12, 1e12, log=True), Condition("c", (True,))),
            Dimension("e", Float(0.0, 1.0)),
        )
    )

    def loss(hparams):
        depth = sum(path in hparams for path in "abcd")
        return 4 - depth + abs(math.log10(hparams.get("d", 1e12))) / 24 + hparams["e"]

    sampler, seen = sampler_of(name, space), []
    for number in range(60 if name in QUICK else 12):
        (hparams,) = sampler.ask(seen, 1)
        assert_lies_in(space, hparams)
        seen.append(Trial(number, hparams, COMPLETE, (loss(hparams),)))
    if name in QUICK:
        assert sum("d" in trial.hparams for trial in seen[-20:]) > 10


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_samplers_propose_after_ten_thousand_trials(name):
    space = space_of(x=Float(0.0, 1.0), y=Int(0, 10**6), z=Choice(tuple(range(50))))
    drawn = sampler_of("random", space).ask([], 10_000)
    seen = [Trial(n, h, COMPLETE, (h["x"] + h["y"] / 1e6,)) for n, h in enumerate(drawn)]
    for hparams in sampler_of(name, space).ask(seen, 2):
        assert_lies_in(space, hparams)
