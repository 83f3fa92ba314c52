"""Spaces, samplers and trials that the tests of the search share."""

import math
from importlib.util import find_spec

import pytest

from hpo.search.proposals.stack import make_sampler
from hpo.search.sampler import Setting
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace, same_value
from hpo.spec.schema import variants_of
from hpo.spec.sections.scheduler import NoScheduler
from hpo.spec.sections.search import SearchSpec
from hpo.trial import Trial, TrialState

COMPLETE, PAUSED, PRUNED = TrialState.COMPLETE, TrialState.PAUSED, TrialState.PRUNED
RUNNING, DIVERGED = TrialState.RUNNING, TrialState.DIVERGED
needs_torch = pytest.mark.skipif(not find_spec("torch"), reason="the extra optuna_gp is missing")
OPTUNA_GP = pytest.param("optuna_gp", marks=needs_torch)
SURROGATES = ["gp", "forest", "extra_trees", "boosted_trees"]
GENETIC = ["nsga2", "nsga3"]
# Those that look at results and begin with random draws.
MODELS = ["tpe", "curve_gp", *GENETIC, OPTUNA_GP, *SURROGATES]
LEARNING = ["cmaes", *MODELS]
BLIND = ["random", "grid", "qmc"]
EVERY = [*BLIND, *LEARNING, "auto", "bayesian"]
SEVERAL = ["random", "grid", "qmc", "tpe", *GENETIC, OPTUNA_GP]  # take several objectives
SPECS = variants_of(SearchSpec, "sampler").specs


def spec_of(name, **fields):
    return SPECS[name](name=name, **fields)


def sampler_of(name, space, seed=0, objectives=1, **fields):
    scheduler = NoScheduler(name="none")
    setting = Setting(seed, trials=100, epochs=27, scheduler=scheduler, objectives=objectives)
    return make_sampler(spec_of(name, **fields), space, setting)


def space_of(**distributions):
    return SearchSpace(tuple(Dimension(path, dist) for path, dist in distributions.items()))


CONDITIONAL = SearchSpace(
    (
        Dimension("a", Choice(("x", "y", "z"))),
        Dimension("b", Choice((True, 1)), Condition("a", ("x", "y"))),
        Dimension("c", Int(1, 3), Condition("b", (1,))),
        Dimension("d", Float(0.0, 1.0, step=0.25), Condition("c", (2, 3))),
        Dimension("e", Choice(("only",)), Condition("a", ("z",))),
        Dimension("f", Choice(("p", "q")), Condition("e", ("only",))),
    )
)
FINITE = {
    "empty": SearchSpace(),
    "single choice": space_of(x=Choice(("only",))),
    "single values": space_of(x=Float(2.0, 2.0), y=Int(3, 3), z=Choice((None, "a"))),
    "look-alike choices": space_of(x=Choice((True, 1, None, "1", "None", False))),
    "lists and mappings": space_of(
        x=Choice(([64], [128, 128], [])), y=Choice(({"name": "relu"}, {"name": "tanh", "n": [1]}))
    ),
    "steps": space_of(x=Int(10, 31, step=5), y=Float(0.1, 1.0, step=0.2), z=Int(0, 4)),
    "log ints": space_of(x=Int(1, 9, log=True), y=Choice((1, 2))),
    "conditional": CONDITIONAL,
}
CONTINUOUS = {
    "wide logs": space_of(x=Float(1e-12, 1e12, log=True), y=Int(1, 10**9, log=True)),
    "mixed": space_of(
        rate=Float(1e-5, 1e-1, log=True), share=Float(0.0, 0.5), width=Int(8, 512, log=True),
        depth=Int(1, 8), kind=Choice(("a", "b", "c")),
    ),
    "conditional": SearchSpace(
        (*CONDITIONAL.dimensions, Dimension("g", Float(0.8, 0.99), Condition("a", ("x",))))
    ),
}  # fmt: skip
SPACES = {**FINITE, **{f"continuous {name}": space for name, space in CONTINUOUS.items()}}


def assert_lies_in(space, hparams):
    for dimension in space.dimensions:
        beside = {d.path: hparams[d.path] for d in space.dimensions if d.path in hparams}
        assert (dimension.path in hparams) == space.is_active(dimension, beside), hparams
    for path, value in hparams.items():
        distribution = space.by_path[path].distribution
        if isinstance(distribution, Choice):
            assert any(type(v) is type(value) and same_value(v, value) for v in distribution.values)
        else:
            assert type(value) is (int if isinstance(distribution, Int) else float)
            assert distribution.low <= value <= distribution.high
            if not distribution.log and distribution.step:
                steps = (value - distribution.low) / distribution.step
                assert steps == pytest.approx(round(steps))
    assert list(hparams) == [d.path for d in space.dimensions if d.path in hparams]


def told(space, count, seed=1):
    """Trials in every state, with losses that follow from their number."""
    states = [COMPLETE, PAUSED, PRUNED, COMPLETE, DIVERGED, RUNNING]
    epochs = {COMPLETE: 9, PAUSED: 3, PRUNED: 1, DIVERGED: 2, RUNNING: 0}
    drawn = sampler_of("random", space, seed).ask([], count)
    return [
        Trial(n, hparams, state, tuple(n * 7 % 5 + 1 / (e + 1) for e in range(epochs[state])))
        for n, hparams in enumerate(drawn)
        for state in [states[n % len(states)]]
    ]


def bowl(hparams):
    return (
        (math.log10(hparams["rate"]) + 3) ** 2
        + 20 * (hparams["share"] - 0.2) ** 2
        + (hparams["kind"] != "b")
        + 0.1 * abs(hparams["depth"] - 4)
    )


def losses_of_a_study(name, seed, trials, lanes=2):
    """The losses of the trials of a study, with several under way at once."""
    sampler, seen = sampler_of(name, CONTINUOUS["mixed"], seed), []
    while len(seen) < trials:
        asked = sampler.ask(seen, lanes)
        seen += [Trial(len(seen) + i, h, COMPLETE, (bowl(h),)) for i, h in enumerate(asked)]
    return [trial.losses[0] for trial in seen]


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


# Every kind of dimension, and one under a condition.
SPACE = SearchSpace(
    (
        Dimension("rate", Float(1e-5, 1e-1, log=True)),
        Dimension("width", Int(8, 512, log=True)),
        Dimension("depth", Int(1, 8, step=2)),
        Dimension("kind", Choice(("a", ["b"], "c"))),
        Dimension("momentum", Float(0.5, 1.0), Condition("kind", ("a", "c"))),
    )
)
