"""What samplers that learn make of objectives, constraints and trials that have not ended."""

import math
from dataclasses import replace
from itertools import product

import pytest

from hpo.search.results.comparing import comparable_losses, compared
from hpo.search.samplers.covariance import Normal
from hpo.search.samplers.nsga import generation_size
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from hpo.trial import Trial, TrialState
from tests.search.test_sampler import (
    COMPLETE,
    DIVERGED,
    EVERY,
    GENETIC,
    LEARNING,
    OPTUNA_GP,
    PAUSED,
    PRUNED,
    RUNNING,
    SEVERAL,
    SURROGATES,
    assert_lies_in,
    sampler_of,
    space_of,
    told,
)

PLANE = space_of(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
QUICK = ["tpe", "cmaes", *GENETIC]
INFEASIBLE = TrialState.INFEASIBLE


def ran(number, hparams, *values, violation=0.0):
    return Trial(number, hparams, COMPLETE, values[:1], values, violation)


def searched(name, space, judge, trials=120, seed=0, objectives=1, lanes=4):
    """The trials of a study whose results are `judge(hparams) = (values, violation)`."""
    sampler, seen = sampler_of(name, space, seed, objectives), []
    while len(seen) < trials:
        for hparams in sampler.ask(seen, lanes):
            values, violation = judge(hparams)
            seen.append(ran(len(seen), hparams, *values, violation=violation))
    return seen


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
def test_a_constrained_search_stays_where_the_constraints_are_kept(name):
    # The lower the better, but below 0.3 the constraint is broken.
    found = searched(name, PLANE, lambda h: ((h["x"],), max(0.0, 0.3 - h["x"])))
    last = [trial.hparams["x"] for trial in found[-30:]]
    # Half of the genes of two mutate; by chance there would be 10.
    assert sum(0.25 < x < 0.6 for x in last) > 14


@pytest.mark.parametrize("name", QUICK)
def test_a_search_that_breaks_every_constraint_looks_for_where_it_breaks_them_least(name):
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
def test_diverged_trials_are_kept_away_from(name):
    found = []
    sampler = sampler_of(name, PLANE)
    for number in range(80):
        (hparams,) = sampler.ask(found, 1)
        is_lost = hparams["x"] > 0.5
        losses = () if is_lost else (hparams["y"],)
        found.append(Trial(number, hparams, DIVERGED if is_lost else COMPLETE, losses))
    assert sum(trial.state is DIVERGED for trial in found[-30:]) < 10


@pytest.mark.parametrize("name", ["auto", *LEARNING])
def test_shapes_that_break_a_constraint_are_kept_away_from(name):
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


@pytest.mark.parametrize("name", EVERY)
def test_a_study_whose_metric_is_always_nan_goes_on(name):
    x = Float(0.0, 1.0, step=0.25) if name == "grid" else Float(0.0, 1.0)
    space = space_of(x=x, y=Int(0, 9), z=Choice("ab"))
    sampler, seen = sampler_of(name, space), []
    while len(seen) < 24:
        seen += [Trial(len(seen) + i, h, DIVERGED) for i, h in enumerate(sampler.ask(seen, 2))]
    assert len({repr(trial.hparams) for trial in seen}) == 24


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_ten_thousand_trials_are_no_obstacle(name):
    space = space_of(x=Float(0.0, 1.0), y=Int(0, 10**6), z=Choice(tuple(range(50))))
    drawn = sampler_of("random", space).ask([], 10_000)
    seen = [Trial(n, h, COMPLETE, (h["x"] + h["y"] / 1e6,)) for n, h in enumerate(drawn)]
    for hparams in sampler_of(name, space).ask(seen, 2):
        assert_lies_in(space, hparams)


def test_losses_that_break_the_constraints_are_worse_the_more_they_do():
    losses = comparable_losses(
        [
            ran(0, {}, 1.0),
            ran(1, {}, 3.0),
            ran(2, {}, 0.0, violation=4.0),
            ran(3, {}, 9.0, violation=1.0),
            Trial(4, {}, DIVERGED),
        ]
    )
    # Beyond the worst that keeps them, 3, by up to as much as those differ, 2.
    assert losses == {0: 1.0, 1: 3.0, 2: 5.0, 3: 3.5, 4: 5.0}


def test_infeasible_trials_are_worse_than_all_that_trained():
    trials = [
        Trial(0, {}, INFEASIBLE, violation=2.0),
        ran(1, {}, 1.0, 7.0),
        ran(2, {}, 3.0, 5.0),
        Trial(3, {}, INFEASIBLE, violation=1.0),
        Trial(4, {}, DIVERGED),
    ]
    assert comparable_losses(trials) == {0: 5.0, 1: 1.0, 2: 3.0, 3: 4.0, 4: 3.0}
    assert compared(trials, 1) == {0: (3.0,), 1: (1.0,), 2: (3.0,), 3: (3.0,)}
    assert compared(trials, 2) == {0: (3.0, 7.0), 1: (1.0, 7.0), 2: (3.0, 5.0), 3: (3.0, 7.0)}
    assert compared(trials[:1], 2) == {0: (0.0, 0.0)}


def test_what_is_under_way_or_diverged_is_not_ranked():
    trials = [
        Trial(0, {}, COMPLETE, (5.0, 3.0), (3.0, 7.0)),
        Trial(1, {}, PAUSED, (4.0,)),
        Trial(2, {}, RUNNING, (1.0,)),
        Trial(3, {}, DIVERGED, (1.0,)),
    ]
    assert compared(trials, 1) == {0: (3.0,), 1: (2.0,)}
    assert compared(trials, 2) == {0: (3.0, 7.0)}


@pytest.mark.parametrize(("trials", "size"), [(1, 10), (100, 10), (240, 24), (10_000, 50)])
def test_a_generation_is_a_tenth_of_the_trials_within_limits(trials, size):
    assert generation_size(trials) == size


@pytest.mark.parametrize("name", GENETIC)
def test_the_first_generation_is_random_and_the_next_is_bred(name):
    space = space_of(x=Choice(tuple(range(40))), y=Choice(tuple(range(40))), z=Float(0.0, 1.0))
    sampler = sampler_of(name, space, population=8)
    drawn = sampler_of("random", space).ask([], 8)
    assert sampler.ask([], 8) == drawn
    seen = [ran(n, hparams, float(n)) for n, hparams in enumerate(drawn)]
    genes = {path: {hparams[path] for hparams in drawn} for path in "xyz"}
    bred = sampler.ask(seen, 20)
    inherited = [hparams[path] in genes[path] for hparams, path in product(bred, "xyz")]
    # By chance a gene mutates in one of three.
    assert 0.5 < sum(inherited) / len(inherited) < 0.9


def test_cma_moves_to_the_best_and_narrows():
    space = space_of(**{f"x{n}": Float(-5.0, 5.0) for n in range(4)})
    found = searched("cmaes", space, lambda h: ((sum((x - 2) ** 2 for x in h.values()),), 0.0), 240)
    assert min(trial.losses[0] for trial in found) < 1e-2


def test_cma_tries_whole_numbers_again_after_all_have_been_alike():
    # The first 60 trials all had 3 of 0 to 9: their spread is nothing.
    space = space_of(n=Int(0, 9), x=Float(0.0, 1.0))
    seen = [ran(k, {"n": 3, "x": k / 60}, abs(k / 60 - 0.5)) for k in range(60)]
    found = sampler_of("cmaes", space).ask(seen, 40)
    assert 1 < sum(hparams["n"] != 3 for hparams in found) < 30


def test_cma_begins_anew_when_it_has_converged():
    import numpy as np

    normal = Normal.start(np.full(2, 0.5), 0.2, np.zeros(2), 6)
    rng = np.random.default_rng(0)
    for _ in range(400):
        points = [normal.draw(rng) for _ in range(6)]
        points.sort(key=lambda point: float(np.sum((point - 0.3) ** 2)))
        normal = normal.update(np.array(points))
        if normal.has_converged:
            break
    assert normal.has_converged
    assert normal.mean == pytest.approx([0.3, 0.3], abs=1e-6)


def test_cma_leaves_to_tpe_what_it_cannot_model():
    space = SearchSpace(
        (
            Dimension("kind", Choice("ab")),
            Dimension("depth", Int(1, 3)),
            Dimension("width", Int(1, 100), Condition("depth", (2, 3))),
            Dimension("rate", Float(1e-4, 1.0, log=True)),
        )
    )
    seen = [ran(trial.number, trial.hparams, float(trial.number % 7)) for trial in told(space, 30)]
    (found,) = sampler_of("cmaes", space).ask(seen, 1)
    (by_tpe,) = sampler_of("tpe", space).ask(seen, 1)
    assert {path: found[path] for path in found if path != "rate"} == {
        path: by_tpe[path] for path in by_tpe if path != "rate"
    }
    assert found["rate"] != by_tpe["rate"]
