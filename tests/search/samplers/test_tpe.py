"""The tree-structured Parzen estimator."""

import numpy as np

from hpo.space import Float
from hpo.trial import Trial
from tests.search.samples import DIVERGED, PAUSED, sampler_of, space_of


def test_tpe_takes_a_paused_trial_for_better_than_a_diverged_one():
    # Two trials wait at the upper end; all others diverged, later and after better losses.
    space = space_of(x=Float(0.0, 1.0))
    seen = [Trial(n, {"x": n / 25}, DIVERGED, (0.1, 0.1, 0.1)) for n in range(18)]
    seen += [Trial(18 + n, {"x": 0.85 + 0.1 * n}, PAUSED, (1.0,)) for n in range(2)]
    proposals = sampler_of("tpe", space).ask(seen, 5)
    assert sum(hparams["x"] > 0.7 for hparams in proposals) >= 4


def test_the_estimator_samples_conditionally_on_the_given_values():
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters

    from hpo.search.samplers.tpe import parzen_estimator_beside

    distributions = {
        "kind": CategoricalDistribution([0, 1, 2]),
        "rate": FloatDistribution(1e-3, 1.0, log=True),
        "depth": IntDistribution(0, 5),
    }
    observed = {
        "kind": np.array([0, 1, 1, 2, 0]),
        "rate": np.array([0.5, 0.01, 0.02, 0.9, 0.002]),
        "depth": np.array([4, 1, 1, 5, 0]),
    }
    parameters = _ParzenEstimatorParameters(1.0, True, False, np.ones, True)
    fitted_to = (observed, distributions, parameters)
    rng = np.random.RandomState(0)
    anyhow = _ParzenEstimator(*fitted_to).sample(rng, 40_000)
    for values in ({"kind": 1}, {"depth": 4}, {"kind": 0, "depth": 4}):
        sampled = parzen_estimator_beside(values)(*fitted_to).sample(rng, 2_000)
        has_it = np.all([anyhow[path] == value for path, value in values.items()], axis=0)
        for path, drawn in sampled.items():
            if path in values:
                assert (drawn == values[path]).all()
            else:
                expected = anyhow[path][has_it]
                error = expected.std() / min(len(expected), 2_000) ** 0.5
                assert abs(drawn.mean() - expected.mean()) < 6 * error
