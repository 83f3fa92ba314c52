"""Cohorts: trials proposed together that share a program."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.search.proposals.cohorts import Cohorts, advice, behind, cohort_text, given_in
from hpo.search.proposals.distinct import Distinct
from hpo.search.proposals.stack import make_sampler
from hpo.search.proposals.warm_start import EarlierStudy, WarmStart
from hpo.search.sampler import Setting, free
from hpo.search.samplers.random import RandomSearch
from hpo.space import Choice, Condition, Dimension, Float, Int, Prior, RangeMove, SearchSpace
from hpo.spec.experiment import Training
from hpo.spec.sections.scheduler import Bohb, NoScheduler
from hpo.spec.sections.search import AutoSampler, CurveGp, SearchSpec, Tpe
from hpo.trial import Trial, TrialState
from tests.search.samples import CONTINUOUS, SPACES, assert_lies_in, space_of, told

COMPLETE, INFEASIBLE, RUNNING = TrialState.COMPLETE, TrialState.INFEASIBLE, TrialState.RUNNING
FOLLOWERS = {
    "tpe": Tpe(name="tpe", startup_trials=4),
    "tpe apart": Tpe(name="tpe", startup_trials=4, multivariate=False),
    "curve_gp": CurveGp(name="curve_gp", startup_trials=4),
    "auto": AutoSampler(name="auto"),
}
# Conditions three deep, on the way to a knob and to what shapes programs.
DEEP = SearchSpace(
    (
        Dimension("model", Choice(("mlp", "cnn"))),
        Dimension("width", Int(8, 64, log=True), Condition("model", ("mlp",))),
        Dimension("optimizer", Choice(("sgd", "adam", "rmsprop"))),
        Dimension("rate", Float(1e-4, 1e-1, log=True)),
        Dimension(
            "schedule", Choice(("constant", "step")), Condition("optimizer", ("sgd", "adam"))
        ),
        Dimension("parts", Int(1, 4), Condition("schedule", ("step",))),
        Dimension("factor", Float(0.1, 0.9), Condition("parts", (2, 3, 4))),
        Dimension("decay", Float(0.0, 0.1, step=0.01), Condition("optimizer", ("adam",))),
        Dimension("only", Choice(("one",)), Condition("model", ("cnn",))),
    )
)
SHAPING = frozenset({"model", "width", "optimizer", "schedule", "parts", "only"})


def setting_of(size=4, shaping=SHAPING, seed=0, scheduler=None):
    cohorts = Cohorts(shaping, size).given if size else free
    return Setting(seed, 100, 9, scheduler or NoScheduler(name="none"), given=cohorts)


def sampler_of(spec, space=DEEP, warm_start=None, **fields):
    return make_sampler(spec, space, setting_of(**fields), warm_start)


def ended(number, hparams):
    """A trial that ended with a loss that its number decides, or is still under way."""
    if number % 5 == 4:
        return Trial(number, hparams)
    return Trial(number, hparams, COMPLETE, tuple(number * 7 % 11 + 1 / e for e in range(1, 10)))


def searched(sampler, count, at_once=4, trials=()):
    trials = list(trials)
    while len(trials) < count:
        asked = sampler().ask(trials, min(at_once, count - len(trials)))
        if not asked:
            break
        trials += [ended(len(trials) + i, hparams) for i, hparams in enumerate(asked)]
    return trials


def shape(trial, shaping=SHAPING):
    return {path: value for path, value in trial.hparams.items() if path in shaping}


def shapes_of(trials, size=4, shaping=SHAPING):
    """The different shapes of each cohort in turn."""
    found = []
    for first in range(0, len(trials), size):
        shapes = [shape(trial, shaping) for trial in trials[first : first + size]]
        found.append(len({str(each) for each in shapes}))
    return found


@pytest.mark.parametrize("name", FOLLOWERS)
def test_the_trials_of_a_cohort_have_one_shape_and_differ_in_the_rest(name):
    trials = searched(lambda: sampler_of(FOLLOWERS[name]), 16)
    assert shapes_of(trials) == [1] * 4
    assert len({str(shape(trial)) for trial in trials}) > 2
    assert len({str(trial.hparams) for trial in trials}) == 16
    for trial in trials:
        assert_lies_in(DEEP, trial.hparams)


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["tpe", "curve_gp"]),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(2, 6),
    at_once=st.integers(1, 9),
    count=st.integers(6, 14),
)
def test_cohorts_share_shapes_however_many_trials_are_asked_for(name, seed, size, at_once, count):
    fields = {"size": size, "seed": seed}
    trials = searched(lambda: sampler_of(FOLLOWERS[name], **fields), count, at_once)
    assert set(shapes_of(trials, size)) == {1}
    for trial in trials:
        assert_lies_in(DEEP, trial.hparams)


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize("label", SPACES)
def test_a_cohort_of_one_is_proposed_as_without_cohorts(name, label):
    space = SPACES[label]
    seen = told(space, 14)
    shaping = frozenset(space.by_path)
    plain = sampler_of(FOLLOWERS[name], space, size=None).ask(seen, 2)
    assert sampler_of(FOLLOWERS[name], space, size=1, shaping=shaping).ask(seen, 2) == plain


@pytest.mark.parametrize("name", ["tpe", "curve_gp"])
def test_cohorts_change_nothing_in_a_space_without_shapes(name):
    space = CONTINUOUS["mixed"]
    seen = told(space, 14)
    plain = sampler_of(FOLLOWERS[name], space, size=None).ask(seen, 3)
    assert sampler_of(FOLLOWERS[name], space, shaping=frozenset()).ask(seen, 3) == plain


@pytest.mark.parametrize("name", FOLLOWERS)
def test_a_resumed_search_proposes_the_same_as_an_uninterrupted_one(name):
    kept = sampler_of(FOLLOWERS[name])
    assert searched(lambda: kept, 18, 3) == searched(lambda: sampler_of(FOLLOWERS[name]), 18, 3)


@pytest.mark.parametrize("label", SPACES)
@pytest.mark.parametrize("name", ["tpe", "curve_gp"])
def test_cohorts_work_in_every_space(name, label):
    space = SPACES[label]
    shaping = frozenset([d.path for d in space.dimensions][::2])
    # With a dimension come those that its condition looks at.
    for dimension in reversed(space.dimensions):
        if dimension.path in shaping and dimension.when is not None:
            shaping |= {dimension.when.path}
    trials = searched(lambda: sampler_of(FOLLOWERS[name], space, shaping=shaping), 10)
    for trial in trials:
        assert_lies_in(space, trial.hparams)
    assert len({str(trial.hparams) for trial in trials}) == len(trials) == min(10, space.size)


def test_a_cohort_that_has_tried_all_of_its_shape_goes_on_in_others():
    space = space_of(width=Int(1, 40), kind=Choice(("a", "b", "c")))
    fields = {"size": 5, "shaping": frozenset({"width"})}
    for name in ("tpe", "curve_gp"):
        trials = searched(lambda n=name: sampler_of(FOLLOWERS[n], space, **fields), 20, 5)
        assert len({str(trial.hparams) for trial in trials}) == 20
        for first in range(0, 20, 5):
            widths = Counter(trial.hparams["width"] for trial in trials[first : first + 5])
            before = {t.hparams["width"] for t in trials[:first]}
            own = trials[first].hparams["width"]
            assert widths[own] == 3 or own in before


def test_a_repeated_proposal_is_replaced_by_a_neighbour_of_the_same_shape():
    class Stubborn:
        def ask(self, trials, n):
            return [{"width": 1, "rate": 3, "depth": 2}] * n

    space = space_of(width=Int(1, 99), rate=Int(1, 30), depth=Int(1, 99))
    shaping = frozenset({"width", "depth"})
    sampler = Distinct(Stubborn(), space, 0, True, Cohorts(shaping, 8).given)
    found = sampler.ask([], 8)
    assert len({str(hparams) for hparams in found}) == 8
    assert {(hparams["width"], hparams["depth"]) for hparams in found} == {(1, 2)}


def test_infeasible_trials_and_trials_outside_the_space_lead_no_cohort():
    cohorts = Cohorts(frozenset({"width"}), 4)
    first, lost = Trial(4, {"width": 9, "rate": 1.0}, INFEASIBLE), Trial(4, {})
    before = [Trial(n, {"width": 1, "rate": 0.5}) for n in range(4)]
    follower = Trial(5, {"width": 3, "rate": 0.2})
    assert cohorts.given(before) == {}
    assert cohorts.given([*before, first]) == {} == cohorts.given([*before, lost])
    assert cohorts.given([*before, first, follower]) == {"width": 3}
    assert cohorts.given([*before, replace(first, state=RUNNING), follower]) == {"width": 9}


@pytest.mark.parametrize("count", [3, 9])
@pytest.mark.parametrize("is_comparable", [False, True])
def test_trials_of_earlier_studies_do_not_move_the_first_trials_of_cohorts(count, is_comparable):
    drawn = RandomSearch(DEEP, 5).ask([], count)
    study = EarlierStudy(tuple(ended(n, hparams) for n, hparams in enumerate(drawn)), is_comparable)
    for name in ("tpe", "curve_gp"):
        known = WarmStart(studies=(study,))
        trials = searched(lambda n=name, k=known: sampler_of(FOLLOWERS[n], warm_start=k), 12)
        assert shapes_of(trials) == [1, 1, 1]


def test_trials_follow_a_known_point_that_leads():
    points = ({"model": "cnn", "optimizer": "sgd", "rate": 0.01, "schedule": "constant"},)
    known = WarmStart(points=points)
    trials = searched(lambda: sampler_of(FOLLOWERS["tpe"], warm_start=known), 8)
    assert trials[0].hparams["rate"] == 0.01
    assert [trial.hparams["model"] for trial in trials[:4]] == ["cnn"] * 4
    assert shapes_of(trials) == [1, 1]


def test_draws_around_a_prior_follow_their_leader_and_the_first_takes_the_priors():
    priors = {"optimizer": "rmsprop", "rate": 0.01, "model": "cnn"}
    space = replace(
        DEEP,
        dimensions=tuple(
            replace(d, prior=Prior(priors[d.path])) if d.path in priors else d
            for d in DEEP.dimensions
        ),
    )
    trials = searched(lambda: sampler_of(FOLLOWERS["tpe"], space), 20)
    assert shapes_of(trials) == [1] * 5
    assert {path: trials[0].hparams[path] for path in priors} == priors
    point = {"model": "mlp", "width": 8, "optimizer": "adam", "rate": 0.1}
    known = WarmStart(points=({**point, "schedule": "constant", "decay": 0.0},))
    trials = searched(lambda: sampler_of(FOLLOWERS["tpe"], space, warm_start=known), 8)
    assert {path: trials[1].hparams[path] for path in priors} == priors
    assert shapes_of([trials[0], *trials[2:4]], 3) == [1]


def test_cohorts_hold_where_ranges_move():
    dimensions = [
        replace(d, limits=(1e-5, 1.0)) if d.path == "rate" else d for d in DEEP.dimensions
    ]
    space = SearchSpace(tuple(dimensions))
    moves = [RangeMove("rate", 1e-4, 1e-2, 8, "because")]
    known = WarmStart(moves=lambda: moves)
    begun = searched(lambda: sampler_of(FOLLOWERS["tpe"]), 8)
    trials = searched(lambda: sampler_of(FOLLOWERS["tpe"], space, known), 20, 4, begun)
    assert shapes_of(trials) == [1] * 5
    assert all(1e-4 <= trial.hparams["rate"] <= 1e-2 for trial in trials[8:])


def test_bohb_proposes_in_cohorts():
    bohb = Bohb(name="bohb", min_epochs=1, min_points=4)
    spec = Tpe(name="tpe")
    trials = searched(lambda: sampler_of(spec, scheduler=bohb), 32)
    assert shapes_of(trials) == [1] * 8
    draws = [RandomSearch(DEEP, 0).draw(n)["rate"] for n in range(32)]
    modelled = [t for t, rate in zip(trials, draws, strict=True) if t.hparams["rate"] != rate]
    assert len(modelled) > 8  # the others are the share that is drawn


def test_rules_hold_for_proposals_beside_given_hparams():
    space = space_of(width=Choice((8, 16)), rate=Float(0.0, 1.0))

    class Rule:
        text, deciding = "rate > 0.5 or not", frozenset({"width", "rate"})
        landmarks: ClassVar = {}

        def forbids(self, hparams):
            return hparams["width"] == 8 and hparams["rate"] > 0.25

    space = replace(space, rules=(Rule(),))
    shaping = frozenset({"width"})
    for name in ("tpe", "curve_gp"):
        trials = searched(lambda n=name: sampler_of(FOLLOWERS[n], space, shaping=shaping), 16)
        assert not any(Rule().forbids(trial.hparams) for trial in trials)
        assert shapes_of(trials, shaping=shaping) == [1] * 4


# The best rate of each optimizer is far from that of the other.
OPTIMIZERS = space_of(optimizer=Choice(("sgd", "adam")), rate=Float(0.0, 1.0))
BEST = {"sgd": 0.9, "adam": 0.1}


def rates_given(spec, optimizer, count):
    """The rates proposed for an optimizer after `count` random trials, for several seeds."""
    found = []
    for seed in range(5):
        drawn = RandomSearch(OPTIMIZERS, seed).ask([], count)
        losses = [abs(hparams["rate"] - BEST[hparams["optimizer"]]) for hparams in drawn]
        trials = [
            Trial(n, hparams, COMPLETE, (loss,) * 9)
            for n, (hparams, loss) in enumerate(zip(drawn, losses, strict=True))
        ]
        setting = replace(setting_of(seed=seed), given=lambda _: {"optimizer": optimizer})
        (hparams,) = make_sampler(spec, OPTIMIZERS, setting).ask(trials, 1)
        assert hparams["optimizer"] == optimizer
        found.append(hparams["rate"])
    return found


@pytest.mark.parametrize("optimizer", BEST)
@pytest.mark.parametrize(("name", "count"), [("tpe", 100), ("curve_gp", 40)])
def test_proposals_beside_given_hparams_did_well_with_them(name, count, optimizer):
    rates = rates_given(FOLLOWERS[name], optimizer, count)
    assert abs(np.median(rates) - BEST[optimizer]) < 0.1


def search_of(**fields):
    return SearchSpec.model_validate(
        {"objective": {"maximize": "accuracy"}, "trials": 40, **fields}
    )


NORMS = space_of(
    **{
        "model.norm": Choice(("none", "layer")),
        "optimizer.name": Choice(("sgd", "adamw")),
        "optimizer.learning_rate": Float(1e-4, 1e-1, log=True),
    }
)
KNOBS = space_of(**{"optimizer.learning_rate": Float(1e-4, 1e-1, log=True)})
STATIC = space_of(**{"model.norm": Choice(("none", "layer"))})


def test_a_cohort_takes_over_all_that_shapes_a_program():
    given = given_in(search_of(cohort=4), NORMS, Training)
    leader = {"model.norm": "layer", "optimizer.name": "sgd", "optimizer.learning_rate": 0.01}
    assert given([Trial(0, leader)]) == {"model.norm": "layer", "optimizer.name": "sgd"}
    assert given([Trial(n, leader) for n in range(4)]) == {}
    assert behind(given, 3)([Trial(n, leader) for n in range(4)]) != {}
    for space in (KNOBS, STATIC):
        assert (
            given_in(search_of(cohort=4), space, Training)([Trial(0, {"model.norm": "none"})]) == {}
        )


def test_the_text_on_cohorts_names_the_shared_dimensions():
    text = "4 trials in a row share a program: the first decides model.norm, optimizer.name"
    assert cohort_text(4, NORMS, Training) == text
    assert "changes nothing: nothing that varies shapes a program" in cohort_text(
        4, KNOBS, Training
    )
    assert "changes nothing: all that varies shapes a program" in cohort_text(4, STATIC, Training)


@pytest.mark.parametrize(
    ("space", "fields", "programs", "lanes", "is_accelerator", "size"),
    [
        (NORMS, {}, 4, 32, True, 5),
        (NORMS, {"trials": 400}, 4, 32, True, 32),
        (NORMS, {}, 1, 32, True, None),
        (NORMS, {}, 11, 4, False, 4),
        (NORMS, {}, 10, 4, False, None),  # one for each cohort of four already
        (NORMS, {"trials": 15}, 15, 4, False, None),  # too few trials for eight cohorts
        (NORMS, {"cohort": 2}, 40, 32, True, None),
        (NORMS, {"sampler": {"name": "random"}}, 40, 32, True, None),
        (NORMS, {"scheduler": {"name": "pbt"}}, 40, 32, True, None),
        (KNOBS, {}, 40, 32, True, None),
        (STATIC, {}, 40, 32, True, None),
    ],
)
def test_cohorts_are_advised_where_many_programs_could_be_shared(
    space, fields, programs, lanes, is_accelerator, size
):
    search = search_of(**fields)
    text = advice(search, space, programs, lanes, is_accelerator, Training)
    count = f"About {programs} programs for {search.trials} trials"
    shared = f"in a new study with search.cohort: {size}, {size} trials in a row would share one."
    assert text == (f"{count}: {shared}" if size else "")
