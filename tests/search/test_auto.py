import pytest

from hpo.search import auto as rule
from hpo.search.auto import Pick, chosen_scheduler, picked, sampler_picks
from hpo.search.proposals.stack import AutoSearch, is_learning, make_sampler
from hpo.search.proposals.warm_start import EarlierStudy, WarmStart
from hpo.search.sampler import Setting
from hpo.search.schedulers.make import make_scheduler
from hpo.space import Choice, Condition, Dimension, Float, SearchSpace
from hpo.spec.sections.population import Pbt
from hpo.spec.sections.scheduler import AutoScheduler, Bohb, Median, NoScheduler, Patience
from hpo.spec.sections.search import AutoSampler, CurveGp, Objective, SearchSpec, Tpe
from hpo.trial import Trial, TrialState

AUTO = AutoScheduler(name="auto")


def space_of(dimensions, conditional=0):
    plain = [Dimension("kind", Choice(("a", "b")))]
    plain += [Dimension(f"x{i}", Float(0.0, 1.0)) for i in range(dimensions - 1 - conditional)]
    condition = Condition("kind", ("a",))
    children = [Dimension(f"y{i}", Float(0.0, 1.0), condition) for i in range(conditional)]
    return SearchSpace((*plain, *children))


def names(picks):
    return [(pick.spec.name, pick.until) for pick in picks.picks]


@pytest.mark.parametrize(
    ("space", "trials", "expected"),
    [
        (space_of(8), 100, [("curve_gp", None)]),
        (space_of(8), 1000, [("curve_gp", 400), ("tpe", None)]),
        (space_of(8, conditional=4), 100, [("curve_gp", None)]),
        (space_of(8, conditional=5), 100, [("tpe", None)]),
        (space_of(24), 100, [("curve_gp", None)]),
        (space_of(25), 100, [("tpe", None)]),
        (SearchSpace(), 100, [("curve_gp", None)]),
    ],
)
def test_the_sampler_follows_dimensions_conditions_and_trials(space, trials, expected):
    assert names(sampler_picks(space, trials, AUTO)) == expected


def test_several_objectives_and_bohb_have_tpe():
    assert names(sampler_picks(space_of(8), 100, AUTO, objectives=2)) == [("tpe", None)]
    assert names(sampler_picks(space_of(8), 100, Bohb(name="bohb"))) == [("tpe", None)]


@pytest.mark.parametrize(
    ("epochs", "budgets"),
    [(1, (1,)), (3, (3,)), (4, (1, 4)), (27, (1, 6, 27)), (52, (3, 13, 52)), (200, (12, 50, 200))],
)
def test_the_scheduler_has_three_rungs_where_there_are_epochs_for_them(epochs, budgets):
    assert {bracket.budgets for bracket in make_scheduler(AUTO, epochs, 40).brackets} == {budgets}


def test_another_scheduler_is_what_it_says():
    none = NoScheduler(name="none")
    assert chosen_scheduler(none, 100) is none


def test_the_sampler_changes_when_there_are_results_enough():
    class Named:
        def __init__(self, name):
            self.name = name

        def ask(self, trials, n):
            return [{"by": self.name}] * n

    picks = sampler_picks(space_of(2), 1000, AUTO).picks
    auto = AutoSearch([Pick(picks[0].spec, 2), picks[1]], lambda spec: Named(spec.name))
    results = [Trial(n, {}, TrialState.PRUNED, (1.0,)) for n in range(2)]
    begun = [Trial(n, {}) for n in range(5)]
    assert auto.ask(begun, 1) == [{"by": "curve_gp"}]
    assert auto.ask(results[:1] + begun[1:], 1) == [{"by": "curve_gp"}]
    assert auto.ask(results + begun[2:], 1) == [{"by": "tpe"}]


def test_what_was_picked_is_told_with_its_reason():
    search = SearchSpec(objective=Objective(maximize="accuracy"), trials=1000)
    assert picked(search, space_of(8), 52) == {
        "sampler": "curve_gp, from 400 results on tpe (8 dimensions that vary)",
        "scheduler": "successive_halving, min_epochs 3, eta 4 (52 epochs)",
    }
    plain = search.model_copy(update={"sampler": Tpe(name="tpe")})
    assert list(picked(plain, space_of(8), 52)) == ["scheduler"]
    assert "none" in picked(search, space_of(8), 2)["scheduler"]


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        (Median(name="median"), {"scheduler": "min_epochs 6 (51 epochs)"}),
        (Median(name="median", min_epochs=2), {}),
        (Patience(name="patience"), {"scheduler": "epochs 5 (of 51 epochs)"}),
        (Patience(name="patience", epochs=2), {}),
    ],
)
def test_what_follows_from_the_length_of_a_training_is_told(scheduler, told):
    search = SearchSpec(
        objective=Objective(maximize="accuracy"),
        trials=10,
        sampler=Tpe(name="tpe"),
        scheduler=scheduler,
    )
    assert picked(search, space_of(8), 51) == told


def test_a_population_begins_with_random_draws_that_may_be_made_ahead():
    assert names(sampler_picks(space_of(8), 100, Pbt(name="pbt"))) == [("random", None)]
    auto, tpe = AutoSampler(name="auto"), Tpe(name="tpe")
    pbt, none = (Setting(0, 100, 27, s) for s in (Pbt(name="pbt"), NoScheduler(name="none")))
    assert not is_learning(auto, space_of(2), pbt)
    assert is_learning(auto, space_of(2), none)
    assert is_learning(tpe, space_of(2), none)


def test_results_of_other_studies_do_not_bring_the_next_sampler_on_sooner(monkeypatch):
    monkeypatch.setattr(rule, "_MOST_RESULTS", 30)
    seen = [
        Trial(n, {"kind": "a", "x0": n / 30}, TrialState.COMPLETE, tuple([n / 30] * 27))
        for n in range(30)
    ]
    known = WarmStart(studies=(EarlierStudy(tuple(seen), is_comparable=True),))
    setting = Setting(0, 100, 27, NoScheduler(name="none"))
    auto, process, tpe = (
        make_sampler(spec, space_of(2), setting, known)
        for spec in (AutoSampler(name="auto"), CurveGp(name="curve_gp"), Tpe(name="tpe"))
    )
    assert auto.ask(seen[:12], 1) == process.ask(seen[:12], 1)
    assert auto.ask(seen, 1) == tpe.ask(seen, 1) != process.ask(seen, 1)


def test_bohb_fits_tpe_where_the_sampler_is_auto():
    setting = Setting(0, 100, 27, Bohb(name="bohb"))
    seen = [
        Trial(n, {"kind": "a", "x0": n / 30}, TrialState.COMPLETE, tuple([n / 30] * 27))
        for n in range(30)
    ]
    auto, tpe = (
        make_sampler(spec, space_of(2), setting)
        for spec in (AutoSampler(name="auto"), Tpe(name="tpe"))
    )
    assert auto.ask(seen, 4) == tpe.ask(seen, 4)
