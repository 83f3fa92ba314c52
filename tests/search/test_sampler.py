import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import pytest

from hpo.errors import HpoError
from hpo.registry import SAMPLERS
from hpo.search.combinations import shuffled
from hpo.search.proposals.stack import make_sampler
from hpo.search.results.comparing import comparable_losses
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
def test_a_resumed_study_is_offered_what_an_uninterrupted_one_is(name):
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


def test_a_random_draw_depends_on_nothing_but_seed_and_number():
    space = CONTINUOUS["mixed"]
    at_once = sampler_of("random", space).ask([], 20)
    assert sampler_of("random", space).ask(told(space, 15), 5) == at_once[15:]
    assert len({repr(hparams) for hparams in at_once}) == 20


def test_qmc_gives_every_slice_of_every_dimension_its_share():
    space = space_of(x=Float(0.0, 1.0), y=Float(1e-12, 1e12, log=True), z=Choice("abcd"))
    seen, counts = [], {"x": Counter(), "y": Counter(), "z": Counter()}
    while len(seen) < 64:  # in asks of odd sizes, with results between them
        found = sampler_of("qmc", space).ask(seen, min(7, 64 - len(seen)))
        seen += [Trial(len(seen) + i, h, COMPLETE, (1.0,)) for i, h in enumerate(found)]
    for trial in seen:
        counts["x"][int(trial.hparams["x"] * 16)] += 1
        counts["y"][int((math.log10(trial.hparams["y"]) + 12) / 1.5)] += 1
        counts["z"][trial.hparams["z"]] += 1
    assert counts["x"] == counts["y"] == Counter(dict.fromkeys(range(16), 4))
    assert counts["z"] == Counter(dict.fromkeys("abcd", 16))


def test_qmc_spends_no_coordinate_on_constants():
    varying = {f"x{n}": Float(0.0, 1.0) for n in range(3)}
    with_constants = space_of(a=Choice(("only",)), b=Int(3, 3), **varying)
    found = sampler_of("qmc", with_constants).ask([], 5)
    plain = sampler_of("qmc", space_of(**varying)).ask([], 5)
    assert found == [{"a": "only", "b": 3, **hparams} for hparams in plain]


@pytest.mark.parametrize("name", MODELS)
def test_models_begin_with_the_random_draws(name):
    space = CONTINUOUS["mixed"]
    assert sampler_of(name, space).ask([], 5) == sampler_of("random", space).ask([], 5)


# By hand: x, y with b true: 2; with b = 1: c = 1 gives 1, c = 2 and 3 give 5 each, so 11; twice.
# z: e has one value, f two.
@pytest.mark.parametrize(
    ("label", "size"),
    [("empty", 1), ("steps", 5 * 5 * 5), ("lists and mappings", 6), ("log ints", 18),
     ("single values", 2), ("conditional", 2 * (1 + 11) + 2)],
)  # fmt: skip
def test_a_grid_holds_every_combination_once(label, size):
    space = FINITE[label]
    found = sampler_of("grid", space).ask([], 1000)
    assert len(found) == size
    assert len({repr(hparams) for hparams in found}) == size


def test_a_grid_gives_less_at_its_end_and_then_nothing():
    space = FINITE["lists and mappings"]
    sampler = sampler_of("grid", space)
    assert len(sampler.ask(told(space, 4), 5)) == 2
    assert sampler.ask(told(space, 6), 5) == []


def test_a_huge_grid_is_not_written_out():
    space = space_of(**{f"x{n}": Int(1, 1000) for n in range(40)})
    found = sampler_of("grid", space).ask([], 3)
    assert len({repr(hparams) for hparams in found}) == 3


def test_a_continuous_grid_is_refused_with_the_cure():
    with pytest.raises(HpoError, match=r"space.x: .* give a step, or list them with choice"):
        sampler_of("grid", space_of(x=Float(0.0, 1.0)))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000])
def test_shuffling_is_a_permutation_that_the_seed_decides(size):
    assert sorted(shuffled(i, size, 0) for i in range(size)) == list(range(size))
    if size > 60:
        assert [shuffled(i, size, 0) for i in range(9)] != [shuffled(i, size, 1) for i in range(9)]


def test_every_sampler_is_tested_here():
    names = {name if isinstance(name, str) else name.values[0] for name in EVERY}
    assert names == set(SAMPLERS)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("state", "losses"), [(COMPLETE, (1.0,)), (DIVERGED, ()), (COMPLETE, (1e30,)), (PAUSED, (2.0,))]
)
def test_trials_that_all_come_out_alike_are_followed_by_others(name, state, losses):
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


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_models_find_better_trials_than_random_search(name):
    found, drawn = (
        sum(min(losses_of_a_study(which, seed, trials=40)) for seed in range(3))
        for which in (name, "random")
    )
    assert found < 0.9 * drawn


@pytest.mark.long
@pytest.mark.parametrize("name", SURROGATES)
def test_proposals_of_surrogates_are_better_than_random_draws(name):
    good = sorted(losses_of_a_study("random", 9, trials=200))[50]
    # After the ten random draws that each of three studies begins with.
    proposed = [loss for seed in range(3) for loss in losses_of_a_study(name, seed, trials=20)[10:]]
    # By chance a quarter of the thirty, give or take two or three.
    assert sum(loss < good for loss in proposed) >= 13


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_propose_what_promises_a_good_loss(name):
    drawn = sampler_of("random", CONTINUOUS["mixed"]).ask([], 60)
    seen = [Trial(n, hparams, COMPLETE, (bowl(hparams),)) for n, hparams in enumerate(drawn)]
    losses = sorted(map(bowl, drawn))
    proposals = sampler_of(name, CONTINUOUS["mixed"]).ask(seen, 4)
    assert sum(map(bowl, proposals)) / 4 < losses[15]


def test_tpe_takes_a_paused_trial_for_better_than_a_diverged_one():
    # Two trials wait at the upper end; all others diverged, later and after better losses.
    space = space_of(x=Float(0.0, 1.0))
    seen = [Trial(n, {"x": n / 25}, DIVERGED, (0.1, 0.1, 0.1)) for n in range(18)]
    seen += [Trial(18 + n, {"x": 0.85 + 0.1 * n}, PAUSED, (1.0,)) for n in range(2)]
    proposals = sampler_of("tpe", space).ask(seen, 5)
    assert sum(hparams["x"] > 0.7 for hparams in proposals) >= 4


def test_trials_under_way_are_not_proposed_again():
    space = space_of(x=Int(0, 7))
    ended = [Trial(n, {"x": n % 2}, COMPLETE, (1.0 - n % 2,)) for n in range(10)]
    for name in SURROGATES:
        proposals = sampler_of(name, space, startup_trials=2).ask(ended, 4)
        assert len({hparams["x"] for hparams in proposals}) >= 3, name


def test_losses_are_compared_at_the_longest_budget():
    # The trial that went on gained 4 from its first epoch, so the others are expected to as well.
    seen = [
        Trial(0, {}, COMPLETE, (5.0, 3.0, 1.0)),
        Trial(1, {}, PRUNED, (6.0,)),
        Trial(2, {}, PAUSED, (9.0, 2.0)),
        Trial(3, {}, RUNNING),
        Trial(4, {}, DIVERGED, (1.0,)),
    ]
    assert comparable_losses(seen) == {0: 1.0, 1: 2.0, 2: 0.0, 4: 2.0}


def test_an_absurd_loss_counts_as_no_more_than_bad():
    seen = [Trial(n, {}, COMPLETE, (float(n),)) for n in range(9)]
    seen.append(Trial(9, {}, COMPLETE, (1e9,)))
    # Quartiles of 0, ..., 8, 1e9 by linear interpolation: 2.25 and 6.75.
    assert comparable_losses(seen)[9] == 6.75 + 1.5 * 4.5
    assert comparable_losses(seen)[8] == 8.0


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
