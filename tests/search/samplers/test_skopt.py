"""Surrogate models by scikit-optimize."""

import pytest

from hpo.space import Int
from hpo.trial import Trial
from tests.search.samples import (
    COMPLETE,
    CONTINUOUS,
    SURROGATES,
    assert_lies_in,
    bowl,
    losses_of_a_study,
    sampler_of,
    space_of,
    told,
)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("acquisition", ["lcb", "pi", "hedge"])
def test_every_acquisition_proposes(name, acquisition):
    space = CONTINUOUS["mixed"]
    (hparams,) = sampler_of(name, space, acquisition=acquisition).ask(told(space, 15), 1)
    assert_lies_in(space, hparams)


def test_bayesian_is_another_word_for_gp():
    seen = told(CONTINUOUS["mixed"], 14)
    one, other = (sampler_of(name, CONTINUOUS["mixed"]).ask(seen, 1) for name in ("bayesian", "gp"))
    assert one == other


@pytest.mark.long
@pytest.mark.parametrize("name", SURROGATES)
def test_proposals_of_surrogates_are_better_than_random_draws(name):
    good = sorted(losses_of_a_study("random", 9, trials=200))[50]
    # After the ten random draws that each of three studies begins with.
    proposed = [loss for seed in range(3) for loss in losses_of_a_study(name, seed, trials=20)[10:]]
    # By chance a quarter of the thirty, give or take two or three.
    assert sum(loss < good for loss in proposed) >= 13


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_propose_points_with_good_losses(name):
    drawn = sampler_of("random", CONTINUOUS["mixed"]).ask([], 60)
    seen = [Trial(n, hparams, COMPLETE, (bowl(hparams),)) for n, hparams in enumerate(drawn)]
    losses = sorted(map(bowl, drawn))
    proposals = sampler_of(name, CONTINUOUS["mixed"]).ask(seen, 4)
    assert sum(map(bowl, proposals)) / 4 < losses[15]


def test_trials_under_way_are_not_proposed_again():
    space = space_of(x=Int(0, 7))
    ended = [Trial(n, {"x": n % 2}, COMPLETE, (1.0 - n % 2,)) for n in range(10)]
    for name in SURROGATES:
        proposals = sampler_of(name, space, startup_trials=2).ask(ended, 4)
        assert len({hparams["x"] for hparams in proposals}) >= 3, name
