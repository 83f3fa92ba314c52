"""Genetic search."""

from itertools import product

import pytest

from hpo.search.samplers.nsga import generation_size
from hpo.space import Choice, Float
from tests.search.samples import (
    GENETIC,
    ran,
    sampler_of,
    space_of,
)


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
