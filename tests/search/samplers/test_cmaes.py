"""The covariance matrix adaptation evolution strategy."""

from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from tests.search.samples import (
    ran,
    sampler_of,
    searched,
    space_of,
    told,
)


def test_cma_moves_to_the_best_and_narrows():
    space = space_of(**{f"x{n}": Float(-5.0, 5.0) for n in range(4)})
    found = searched("cmaes", space, lambda h: ((sum((x - 2) ** 2 for x in h.values()),), 0.0), 240)
    assert min(trial.losses[0] for trial in found) < 1e-2


def test_cma_varies_whole_numbers_again_after_all_were_equal():
    # The first 60 trials all had 3 of 0 to 9: their spread is nothing.
    space = space_of(n=Int(0, 9), x=Float(0.0, 1.0))
    seen = [ran(k, {"n": 3, "x": k / 60}, abs(k / 60 - 0.5)) for k in range(60)]
    found = sampler_of("cmaes", space).ask(seen, 40)
    assert 1 < sum(hparams["n"] != 3 for hparams in found) < 30


def test_tpe_proposes_the_dimensions_that_cma_cannot_model():
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
