"""Our trials as Optuna sees them."""

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from hpo.search.optuna_view import OptunaView, as_optuna, violations
from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.trial import Trial, TrialState

SPACE = SearchSpace(
    (
        Dimension("rate", Float(1e-4, 1e-1, log=True)),
        Dimension("share", Float(0.0, 0.5, step=0.25)),
        Dimension("width", Int(8, 512, log=True)),
        Dimension("depth", Int(1, 7, step=2)),
        Dimension("sizes", Choice(([64], [128, 128], True, 1))),
        Dimension("norm", Choice(("layer",))),
    )
)
HPARAMS = {
    "rate": 1e-2,
    "share": 0.25,
    "width": 64,
    "depth": 5,
    "sizes": 1,
    "norm": "layer",
}


def test_stepped_numbers_and_choices_are_indices_and_other_ranges_keep_their_scale():
    distributions = optuna.distributions
    assert [as_optuna(d.distribution) for d in SPACE.dimensions[:5]] == [
        distributions.FloatDistribution(1e-4, 1e-1, log=True),
        distributions.IntDistribution(0, 2),
        distributions.IntDistribution(8, 512, log=True),
        distributions.IntDistribution(0, 3),
        distributions.CategoricalDistribution(range(4)),
    ]


def test_a_trial_is_shown_by_the_dimensions_that_vary():
    trial = OptunaView(SPACE, 1).frozen(7, HPARAMS, OptunaState.COMPLETE, [0.5], {1: 0.75, 2: 0.5})
    assert trial.params == {"rate": 1e-2, "share": 1, "width": 64, "depth": 2, "sizes": 3}
    assert (trial.number, trial.values, trial.last_step) == (7, [0.5], 2)


def test_what_optuna_samples_becomes_the_value_again():
    view = OptunaView(SPACE, 1)
    shown = view.frozen(0, HPARAMS, OptunaState.RUNNING).params
    found = {path: view.value(path, sampled) for path, sampled in shown.items()}
    expected = {path: value for path, value in HPARAMS.items() if path != "norm"}
    assert found == expected
    assert [type(value) for value in found.values()] == [float, float, int, int, int]


def test_models_are_fitted_to_numbers():
    internal = OptunaView(SPACE, 1).internal(HPARAMS)
    assert internal == {"rate": 1e-2, "share": 1.0, "width": 64.0, "depth": 2.0, "sizes": 3.0}


@pytest.mark.parametrize("objectives", [1, 2])
def test_a_study_of_optunas_holds_what_is_shown_and_minimises(objectives):
    view = OptunaView(SPACE, objectives)
    view.shown.append(view.frozen(0, HPARAMS, OptunaState.PRUNED, [0.5] * objectives))
    study = view.study(optuna.samplers.RandomSampler(seed=0))
    assert [trial.number for trial in study.get_trials()] == [0]
    assert study.get_trials(states=(OptunaState.COMPLETE,)) == []
    assert study.directions == [optuna.study.StudyDirection.MINIMIZE] * objectives
    view.forget()
    assert study.get_trials() == []


def test_optuna_learns_by_how_much_a_trial_breaks_the_constraints():
    keeps, breaks = (
        Trial(0, {}, TrialState.COMPLETE, (0.5,), violation=violation) for violation in (0.0, 0.25)
    )
    assert violations(keeps) == {}
    assert violations(breaks) == {"constraints:all": 0.25}
