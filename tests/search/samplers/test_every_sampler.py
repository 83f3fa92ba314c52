"""What holds of every sampler."""

import subprocess
import sys
from dataclasses import replace

import pytest

from hpo.registry import SAMPLERS
from hpo.space import Choice, Float, Int
from hpo.trial import Trial
from tests.search.samples import (
    COMPLETE,
    CONTINUOUS,
    DIVERGED,
    EVERY,
    FINITE,
    PAUSED,
    SPACES,
    SPECS,
    assert_lies_in,
    needs_torch,
    sampler_of,
    space_of,
    told,
)

searchable = [
    pytest.param(name, space, id=f"{name}-{label}", marks=needs_torch if is_gp else ())
    for name in SAMPLERS
    if name != "bayesian"  # the same as gp: see below
    for is_gp in [name == "optuna_gp"]
    for label, space in (FINITE if name == "grid" else SPACES).items()
]


@pytest.mark.parametrize(("name", "space"), searchable)
def test_proposals_lie_in_the_space_and_are_the_same_for_the_same_trials(name, space):
    seen = told(space, 14)
    proposals = sampler_of(name, space).ask(seen, 2)
    for hparams in proposals:
        assert_lies_in(space, hparams)
    if proposals:
        # With the first one under way, the next is the same as both at once.
        begun = [*seen, Trial(14, proposals[0])]
        assert sampler_of(name, space).ask(begun, 1) == proposals[1:]


@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_study_gets_the_proposals_of_an_uninterrupted_one(name):
    space = FINITE["steps"] if name == "grid" else CONTINUOUS["mixed"]

    fields = {"startup_trials": 3} if "startup_trials" in SPECS[name].model_fields else {}

    def run(is_resumed):
        sampler, seen = sampler_of(name, space, **fields), []
        for number in range(6):
            if is_resumed:
                sampler = sampler_of(name, space, **fields)
            (hparams,) = sampler.ask(seen, 1)
            seen.append(Trial(number, hparams))
            # States change over time: running, then paused, then complete.
            for past in range(max(0, number - 2), number):
                state = PAUSED if past == number - 1 else COMPLETE
                loss = (float(past * 7 % 5),)
                seen[past] = replace(seen[past], state=state, losses=(*seen[past].losses, *loss))
        return [trial.hparams for trial in seen]

    assert run(is_resumed=True) == run(is_resumed=False)


@pytest.mark.parametrize("name", EVERY)
def test_another_seed_gives_other_proposals(name):
    space = FINITE["steps"] if name == "grid" else CONTINUOUS["mixed"]
    seen = told(space, 12)
    assert sampler_of(name, space, 0).ask(seen, 2) != sampler_of(name, space, 1).ask(seen, 2)


def test_every_sampler_is_tested_here():
    names = {name if isinstance(name, str) else name.values[0] for name in EVERY}
    assert names == set(SAMPLERS)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("state", "losses"), [(COMPLETE, (1.0,)), (DIVERGED, ()), (COMPLETE, (1e30,)), (PAUSED, (2.0,))]
)
def test_proposals_are_new_even_if_all_results_are_equal(name, state, losses):
    space = FINITE["steps"] if name == "grid" else CONTINUOUS["mixed"]
    sampler = sampler_of("grid" if name == "grid" else "random", space)
    seen = [Trial(n, hparams, state, losses) for n, hparams in enumerate(sampler.ask([], 12))]
    found = sampler_of(name, space).ask(seen, 2)
    for hparams in found:
        assert_lies_in(space, hparams)
    assert len({repr(h) for h in [*found, *(trial.hparams for trial in seen)]}) == 14


@pytest.mark.parametrize("name", EVERY)
def test_40_dimensions_are_searched(name):
    range_ = Int(0, 9) if name == "grid" else Float(0.0, 1.0)
    space = space_of(**{f"x{n}": range_ for n in range(40)})
    (hparams,) = sampler_of(name, space).ask(told(space, 20), 1)
    assert_lies_in(space, hparams)


@pytest.mark.parametrize("name", EVERY)
def test_a_space_of_one_configuration_is_tried_once(name):
    space = space_of(x=Choice(("only",)), y=Choice(([64],)))
    sampler, only = sampler_of(name, space), {"x": "only", "y": [64]}
    assert sampler.ask([], 3) == [only]
    for end in (Trial(0, only, COMPLETE, (1.0,)), Trial(0, only, DIVERGED), Trial(0, only)):
        assert sampler.ask([end], 3) == []


def test_importing_the_search_loads_neither_optuna_nor_scikit_optimize_nor_jax():
    code = (
        "import importlib, pkgutil, sys\n"
        "search = importlib.import_module('hpo.search')\n"
        "for m in pkgutil.iter_modules(search.__path__, 'hpo.search.'):\n"
        "    importlib.import_module(m.name)\n"
        "print({'optuna', 'skopt', 'sklearn', 'jax'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", EVERY)
def test_a_study_whose_metric_is_always_nan_goes_on(name):
    x = Float(0.0, 1.0, step=0.25) if name == "grid" else Float(0.0, 1.0)
    space = space_of(x=x, y=Int(0, 9), z=Choice("ab"))
    sampler, seen = sampler_of(name, space), []
    while len(seen) < 24:
        seen += [Trial(len(seen) + i, h, DIVERGED) for i, h in enumerate(sampler.ask(seen, 2))]
    assert len({repr(trial.hparams) for trial in seen}) == 24
