"""The sampler `optuna_gp` before it fits a process; `test_learning.py` beside it needs torch."""

import pytest

from hpo.search.sampler import Setting
from hpo.search.samplers.optuna_gp import make_optuna_gp
from hpo.search.samplers.random import RandomSearch
from hpo.space import Choice, Float
from hpo.spec.sections.scheduler import NoScheduler
from hpo.trial import Trial, TrialState
from tests.search.samples import CONTINUOUS, space_of, spec_of


def optuna_gp(space, **fields):
    setting = Setting(seed=3, trials=100, epochs=27, scheduler=NoScheduler(name="none"))
    return make_optuna_gp(spec_of("optuna_gp", **fields), space, setting)


@pytest.mark.parametrize(
    "state", [TrialState.RUNNING, TrialState.DIVERGED, TrialState.COMPLETE], ids=str
)
def test_proposals_are_random_draws_until_enough_trials_have_results(state):
    space = CONTINUOUS["conditional"]
    drawn = RandomSearch(space, 3)
    count = 3 if state is TrialState.COMPLETE else 9  # those without results do not count
    seen = [
        Trial(n, hparams, state, (0.5,) if state is TrialState.COMPLETE else ())
        for n, hparams in enumerate(drawn.ask([], count))
    ]
    assert optuna_gp(space, startup_trials=4).ask(seen, 2) == drawn.ask(seen, 2)


def test_a_space_in_which_nothing_varies_is_not_modelled():
    space = space_of(kind=Choice(("only",)), rate=Float(0.5, 0.5))
    hparams = {"kind": "only", "rate": 0.5}
    seen = [Trial(n, hparams, TrialState.COMPLETE, (float(n),)) for n in range(20)]
    assert optuna_gp(space).ask(seen, 1) == [hparams]
