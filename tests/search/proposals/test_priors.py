"""Draws around the priors of a space."""

import pytest

from hpo.search.proposals.priors import around, prior_share
from hpo.trial import Trial
from tests.search.proposals.spaces import PLAIN, SPACE, sampler_of


def test_half_of_the_first_draws_and_ever_fewer_lie_near_the_prior():
    assert [prior_share(n) for n in (0, 1, 10, 50, 500)] == [1, 0.5, 0.5, 0.1, 0.01]
    rate, kind, _ = SPACE.dimensions
    positions = [(i + 0.5) / 600 for i in range(600)]
    near = [around(rate, p) for p in positions]
    assert all(1e-4 <= value <= 1 for value in near)
    below = sum(value < 1e-2 for value in near) / 600
    assert 0.7 < below < 0.85  # half of the range of a uniform draw lies there
    assert sum(around(kind, p) == "b" for p in positions) == 400  # four of six
    assert around(PLAIN.dimensions[0], 0.0) == pytest.approx(1e-4)


@pytest.mark.parametrize("name", ["random", "qmc", "tpe"])
def test_every_sampler_starts_at_the_prior_and_keeps_draws_of_its_own(name):
    proposals = sampler_of(name, SPACE).ask([], 10)
    assert (proposals[0]["rate"], proposals[0]["kind"]) == (1e-3, "b")
    own = sampler_of(name, PLAIN).ask([], 10)
    kept = sum(one == other for one, other in zip(proposals, own, strict=True))
    assert 1 <= kept <= 9
    begun = [Trial(n, hparams) for n, hparams in enumerate(proposals[:4])]
    assert sampler_of(name, SPACE).ask(begun, 6) == proposals[4:]


def test_the_trial_at_the_priors_follows_the_known_points():
    proposals = sampler_of("random", SPACE, points=({"rate": 0.5, "kind": "a"},)).ask([], 2)
    assert proposals[0]["rate"] == 0.5
    assert (proposals[1]["rate"], proposals[1]["kind"]) == (1e-3, "b")
