"""The stack around a sampler, and the turns that `auto` takes."""

from hpo.search import auto as rule
from hpo.search.auto import Pick, sampler_picks
from hpo.search.proposals.stack import AutoSearch, is_learning, make_sampler
from hpo.search.proposals.warm_start import EarlierStudy, WarmStart
from hpo.search.sampler import Setting
from hpo.spec.sections.scheduler import Bohb, NoScheduler, Pbt
from hpo.spec.sections.search import AutoSampler, CurveGp, Tpe
from hpo.trial import Trial, TrialState
from tests.search.picks import AUTO, names, space_of, study_of


def test_auto_changes_the_sampler_once_there_are_enough_results():
    class Named:
        def __init__(self, name):
            self.name = name

        def ask(self, trials, n):
            return [{"by": self.name}] * n

    picks = sampler_picks(space_of(2), study_of(1000, AUTO)).picks
    auto = AutoSearch([Pick(picks[0].spec, 2), picks[1]], lambda spec: Named(spec.name))
    results = [Trial(n, {}, TrialState.PRUNED, (1.0,)) for n in range(2)]
    begun = [Trial(n, {}) for n in range(5)]
    assert auto.ask(begun, 1) == [{"by": "curve_gp"}]
    assert auto.ask(results[:1] + begun[1:], 1) == [{"by": "curve_gp"}]
    assert auto.ask(results + begun[2:], 1) == [{"by": "tpe"}]


def test_a_population_begins_with_random_draws_that_may_be_made_ahead():
    assert names(sampler_picks(space_of(8), study_of(100, Pbt(name="pbt")))) == [("random", None)]
    auto, tpe = AutoSampler(name="auto"), Tpe(name="tpe")
    pbt, none = (Setting(0, 100, 27, s) for s in (Pbt(name="pbt"), NoScheduler(name="none")))
    assert not is_learning(auto, space_of(2), pbt)
    assert is_learning(auto, space_of(2), none)
    assert is_learning(tpe, space_of(2), none)


def test_results_of_earlier_studies_do_not_count_for_the_turns_of_auto(monkeypatch):
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
