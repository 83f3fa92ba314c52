"""Warm start: trials of earlier studies and of an earlier space."""

from dataclasses import replace
from importlib.util import find_spec
from statistics import fmean

import pytest

from hpo.search.proposals.stack import is_learning, make_sampler
from hpo.search.proposals.warm_start import EarlierStudy, Translated, WarmStart, WarmStarted
from hpo.search.sampler import Setting
from hpo.space import Dimension, Float, Int, SearchSpace
from hpo.spec.sections.scheduler import NoScheduler, Pbt
from hpo.trial import Trial, TrialState
from tests.search.proposals.spaces import PLAIN, SPECS, Recorder, ended, sampler_of


def test_the_sampler_sees_trials_of_an_earlier_space_translated():
    inner = Recorder()
    present = {0: None, 1: {"rate": 0.5, "kind": "a"}}
    sampler = Translated(inner, lambda trial: present.get(trial.number, trial.hparams))
    trials = [ended(0, {"x": 1}, 1.0), ended(1, {"rate": 0.5}, 2.0), ended(2, {"rate": 0.1}, 3.0)]
    sampler.ask(trials, 1)
    (shown,) = inner.shown
    assert shown[0] == Trial(0, {}, TrialState.PRUNED)
    assert shown[1] == ended(1, {"rate": 0.5, "kind": "a"}, 2.0)
    assert shown[2] is trials[2]


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"bayesian", "optuna_gp"}))
def test_every_sampler_accepts_trials_outside_its_space(name):
    space = SearchSpace(PLAIN.dimensions[1:])
    drawn = sampler_of("random", space).ask([], 8)
    trials = [ended(n, hparams, float(n * 7 % 5)) for n, hparams in enumerate(drawn)]
    outside = ended(8, {"gone": 1}, -1.0)
    sampler = sampler_of(name, space, translated={0: None, 3: None, 8: None})
    for hparams in sampler.ask([*trials, outside], 2):
        assert "kind" in hparams
        assert ("depth" in hparams) == (hparams["kind"] == "b")


def test_earlier_trials_of_the_same_problem_come_first_and_unchanged():
    inner = Recorder()
    earlier = (ended(7, {"rate": 0.5}, 1.0), ended(9, {"rate": 0.7}, 3.0))
    sampler = WarmStarted(inner, [EarlierStudy(earlier, is_comparable=True)])
    own = [ended(0, {"rate": 0.2}, 10.0)]
    sampler.ask(own, 1)
    (shown,) = inner.shown
    assert [trial.number for trial in shown] == [0, 1, 2]
    assert [trial.losses for trial in shown] == [(1.0,), (3.0,), (10.0,)]


def test_losses_of_another_problem_are_moved_to_the_scale_of_this_one():
    inner = Recorder()
    earlier = tuple(ended(n, {"rate": 0.1 * (n + 1)}, 1000.0 * n) for n in range(4))
    sampler = WarmStarted(inner, [EarlierStudy(earlier, is_comparable=False)])
    own = [ended(n, {"rate": 0.01 * (n + 1)}, 0.1 * n) for n in range(6)]
    sampler.ask(own, 1)
    (shown,) = inner.shown
    moved = [trial.losses[-1] for trial in shown[:4]]
    assert moved == sorted(moved)
    assert fmean(moved) == pytest.approx(fmean(trial.losses[-1] for trial in own))
    assert -0.2 < moved[0] < moved[-1] < 0.7


def test_neither_an_early_stop_nor_one_huge_loss_sets_the_scale_of_earlier_losses():
    earlier = tuple(ended(n, {"rate": 0.1 * (n + 1)}, 1000.0 * n) for n in range(4))
    own = [ended(n, {"rate": 0.01 * (n + 1)}, 0.1 * n) for n in range(6)]

    def moved(trials):
        inner = Recorder()
        WarmStarted(inner, [EarlierStudy(earlier, is_comparable=False)]).ask(trials, 1)
        return [trial.losses[-1] for trial in inner.shown[0][:4]]

    plain = moved(own)
    huge = moved([*own, ended(6, {"rate": 0.5}, 1e9)])
    assert max(abs(loss) for loss in huge) < 3
    # What all gain from the first epoch to the second, those that stopped there would have gained.
    longer = [replace(t, losses=(t.losses[0] + 100, t.losses[0])) for t in own[:3]]
    stopped = [replace(t, state=TrialState.PRUNED, losses=(t.losses[0] + 100,)) for t in own[3:]]
    assert moved([*longer, *stopped]) == pytest.approx(plain)


def test_a_sampler_that_learns_begins_where_the_earlier_study_was_good():
    drawn = sampler_of("random", PLAIN, seed=5).ask([], 40)
    earlier = tuple(ended(n, h, abs(h["rate"] - 0.3)) for n, h in enumerate(drawn))
    studies = (EarlierStudy(earlier, is_comparable=True),)
    warm = sampler_of("tpe", PLAIN, studies=studies).ask([], 6)
    alone = sampler_of("tpe", PLAIN).ask([], 6)
    assert fmean(abs(h["rate"] - 0.3) for h in warm) < fmean(abs(h["rate"] - 0.3) for h in alone)
    # A sampler that does not look at results draws as it would.
    own = sampler_of("random", PLAIN)
    assert sampler_of("random", PLAIN, studies=studies).ask([], 3) == own.ask([], 3)


def test_values_of_another_problem_are_moved_objective_by_objective():
    inner = Recorder()
    # The second objective tells nothing there: all trials came to the same.
    earlier = tuple(ended(n, {"rate": 0.1}, 1000.0 * n, 10.0 * n, 7.0) for n in range(4))
    sampler = WarmStarted(inner, [EarlierStudy(earlier, is_comparable=False)])
    own = [ended(n, {"rate": 0.2}, 0.1 * n, 5.0 - n, 2.0 * n) for n in range(4)]
    sampler.ask(own, 1)
    shown = inner.shown[0][:4]
    assert [trial.losses for trial in shown] == [(pytest.approx(0.1 * n),) for n in range(4)]
    assert [trial.values for trial in shown] == [(pytest.approx(2.0 + n), 3.0) for n in range(4)]
    # Two results are no scale yet.
    sampler.ask(own[:2], 1)
    assert [trial.values for trial in inner.shown[1][:4]] == [trial.values for trial in earlier]


def test_a_broken_constraint_is_no_part_of_an_objectives_scale():
    inner = Recorder()
    earlier = tuple(ended(n, {"rate": 0.1}, 1.0, float(n), float(n)) for n in range(4))
    own = [ended(n, {"rate": 0.2}, 1.0, float(n), float(n)) for n in range(4)]
    own[3] = replace(own[3], violation=9.0)
    WarmStarted(inner, [EarlierStudy(earlier, is_comparable=False)]).ask(own, 1)
    assert [trial.values for trial in inner.shown[0][:4]] == [t.values for t in earlier]


PBT = Pbt(name="pbt", population=4)


@pytest.mark.parametrize(
    ("name", "scheduler", "objectives", "learns"),
    [
        ("tpe", NoScheduler(name="none"), 1, True),
        ("auto", NoScheduler(name="none"), 1, True),
        ("tpe", NoScheduler(name="none"), 2, True),
        ("auto", NoScheduler(name="none"), 2, True),
        ("nsga2", NoScheduler(name="none"), 2, True),
        ("nsga3", NoScheduler(name="none"), 3, True),
        pytest.param(
            *("optuna_gp", NoScheduler(name="none"), 2, True),
            marks=pytest.mark.skipif(not find_spec("torch"), reason="an extra"),
        ),
        ("random", NoScheduler(name="none"), 1, False),
        ("random", NoScheduler(name="none"), 2, False),
        ("qmc", NoScheduler(name="none"), 1, False),
        ("auto", PBT, 1, False),
    ],
)
def test_earlier_studies_reach_samplers_that_learn(name, scheduler, objectives, learns):
    spec = SPECS[name](name=name)
    setting = Setting(0, trials=100, epochs=9, scheduler=scheduler, objectives=objectives)
    assert is_learning(spec, PLAIN, setting) == learns
    drawn = sampler_of("random", PLAIN, seed=5).ask([], 20)
    results = tuple(
        # What is best of the second objective is worst of the others.
        ended(n, h, loss, *([loss, -loss, loss][:objectives] if objectives > 1 else []))
        for n, h in enumerate(drawn)
        for loss in [abs(h["rate"] - 0.3)]
    )
    known = WarmStart(studies=(EarlierStudy(results, is_comparable=True),))
    warm = make_sampler(spec, PLAIN, setting, known).ask([], 2)
    assert (warm != make_sampler(spec, PLAIN, setting).ask([], 2)) == learns
    assert make_sampler(spec, PLAIN, setting, known).ask([], 2) == warm


def test_several_objectives_begin_on_the_earlier_studys_front():
    # Both are best at a rate of 0.3, and one of them at depth 1, the other at depth 9.
    space = SearchSpace((Dimension("rate", Float(0.0, 1.0)), Dimension("depth", Int(1, 9))))
    drawn = sampler_of("random", space, seed=5).ask([], 60)
    earlier = tuple(
        ended(n, h, miss + h["depth"] / 9, miss + h["depth"] / 9, miss - h["depth"] / 9)
        for n, h in enumerate(drawn)
        for miss in [5 * abs(h["rate"] - 0.3)]
    )
    setting = Setting(0, trials=100, epochs=1, scheduler=NoScheduler(name="none"), objectives=2)
    known = WarmStart(studies=(EarlierStudy(earlier, is_comparable=True),))
    for name in ("tpe", "nsga2", "nsga3"):
        spec = SPECS[name](name=name)
        warm, alone = (
            fmean(
                abs(h["rate"] - 0.3) for h in make_sampler(spec, space, setting, told).ask([], 20)
            )
            for told in (known, WarmStart())
        )
        assert warm < 0.7 * alone
