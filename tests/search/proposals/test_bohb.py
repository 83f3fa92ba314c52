from dataclasses import replace

import pytest

from hpo.registry import SAMPLERS
from hpo.search.proposals.bohb import FittedPerRung
from hpo.search.proposals.stack import make_sampler
from hpo.search.sampler import Setting
from hpo.search.samplers.random import RandomSearch
from hpo.space import Dimension, Float, SearchSpace
from hpo.spec.sections.scheduler import Bohb, NoScheduler
from hpo.spec.sections.search import Surrogate, Tpe
from hpo.trial import Trial, TrialState

COMPLETE, PAUSED, PRUNED = TrialState.COMPLETE, TrialState.PAUSED, TrialState.PRUNED
RUNNING, DIVERGED = TrialState.RUNNING, TrialState.DIVERGED
INFEASIBLE = TrialState.INFEASIBLE
SPACE = SearchSpace((Dimension("x", Float(0.0, 1.0)), Dimension("y", Float(0.0, 1.0))))


class Recorder:
    """A sampler that remembers what it was shown."""

    def __init__(self):
        self.shown, self.seeds = [], []

    def __call__(self, seed, given):
        self.seeds.append(seed)
        return self

    def ask(self, trials, n):
        self.shown.append(list(trials))
        return [{"x": 0.5, "y": 0.5}] * n


def bohb(recorder, share=0.0, enough=2):
    return FittedPerRung(recorder, RandomSearch(SPACE, 0), 0, (1, 3, 9), share, enough)


def trials(*rows):
    return [
        Trial(number, {"x": number / 10, "y": 0.0}, row[0], tuple(map(float, row[1:])))
        for number, row in enumerate(rows)
    ]


def test_the_sampler_sees_the_highest_budget_with_enough_results():
    seen = trials(
        [PRUNED, 8],
        [PAUSED, 7, 6, 5],
        [DIVERGED, 1, 1],
        [RUNNING, 6, 5, 4, 3],
        [RUNNING, 5],
        [COMPLETE, *[4] * 9],
        [RUNNING],
    )
    recorder = Recorder()
    bohb(recorder, enough=4).ask(seen, 1)
    # At 3 epochs there are three results and one that diverged before; at 9 there is one.
    shown = [(trial.hparams["x"] * 10, trial.state, trial.losses) for trial in recorder.shown[0]]
    assert shown == [
        (1, COMPLETE, (7, 6, 5)),
        (2, DIVERGED, ()),
        (3, COMPLETE, (6, 5, 4)),
        (4, RUNNING, ()),
        (5, COMPLETE, (4, 4, 4)),
        (6, RUNNING, ()),
    ]
    assert [trial.number for trial in recorder.shown[0]] == list(range(6))


def test_a_paused_trial_is_as_good_as_a_complete_one_with_the_same_losses():
    ended = trials(*([state, 3, 2, 1] for state in (PAUSED, PRUNED, RUNNING, PAUSED)))
    assert {trial.state for trial in bohb(Recorder()).shown(ended)} == {COMPLETE}


def test_the_sampler_sees_how_much_trials_break_the_constraints():
    seen = trials([COMPLETE, *[4] * 9], [PAUSED, 5], [INFEASIBLE], [COMPLETE, *[3] * 9])
    seen[0] = replace(seen[0], violation=0.5)
    seen[2] = replace(seen[2], violation=2.0)
    shown = [(t.number, t.state, t.epochs, t.violation) for t in bohb(Recorder()).shown(seen)]
    assert shown == [(0, COMPLETE, 9, 0.5), (1, INFEASIBLE, 0, 2.0), (2, COMPLETE, 9, 0.0)]
    # Those whose shape is not allowed are no results: none is enough to fit anything.
    assert bohb(Recorder()).shown(trials(*[[INFEASIBLE]] * 5)) == []


def test_proposals_are_random_until_a_budget_has_enough_results():
    recorder = Recorder()
    proposals = bohb(recorder, enough=3).ask(trials([PAUSED, 1], [PAUSED, 2]), 2)
    assert proposals == [RandomSearch(SPACE, 0).draw(2), RandomSearch(SPACE, 0).draw(3)]
    assert recorder.shown == []


def test_a_share_of_the_proposals_is_random():
    recorder = Recorder()
    sampler = bohb(recorder, share=1 / 3)
    seen = trials([PAUSED, 1], [PAUSED, 2])
    draws = 0
    for _ in range(300):
        (hparams,) = sampler.ask(seen, 1)
        draws += hparams == RandomSearch(SPACE, 0).draw(len(seen))
        seen.append(Trial(len(seen), hparams, PRUNED))
    assert 80 < draws < 120  # 100 expected, with a standard deviation of 8
    assert len({*recorder.seeds}) == 300 - draws


def test_proposals_of_one_ask_know_of_each_other():
    recorder = Recorder()
    bohb(recorder).ask(trials([PAUSED, 1], [PAUSED, 2]), 2)
    first, second = recorder.shown
    assert second == [*first, Trial(2, {"x": 0.5, "y": 0.5})]


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [n for n in SAMPLERS if SAMPLERS[n].fits_one_budget and n != "auto"]
)
def test_every_fitting_sampler_proposes_near_the_best_of_the_budget(name):
    spec = Tpe(name="tpe") if name == "tpe" else Surrogate(name=name)
    setting = Setting(0, 100, 9, Bohb(name="bohb", random_share=0.0))
    drawn = [RandomSearch(SPACE, 7).draw(number) for number in range(24)]
    seen = [
        Trial(n, hparams, PAUSED, ((hparams["x"] - 0.2) ** 2 + (hparams["y"] - 0.7) ** 2,))
        for n, hparams in enumerate(drawn)
    ]
    proposed = make_sampler(spec, SPACE, setting).ask(seen, 3)
    again = make_sampler(spec, SPACE, setting).ask(seen, 3)
    assert proposed == again
    assert sum(abs(p["x"] - 0.2) + abs(p["y"] - 0.7) for p in proposed) / 3 < 0.6
    # By the paper's rule five results are enough for two dimensions, and four are not.
    few = make_sampler(spec, SPACE, setting).ask(seen[:4], 1)
    assert few == [RandomSearch(SPACE, 0).draw(4)]
    enough = make_sampler(spec, SPACE, setting).ask(seen[:5], 1)
    assert enough != [RandomSearch(SPACE, 0).draw(5)]


def test_other_schedulers_leave_the_sampler_alone():
    setting = Setting(0, 100, 9, NoScheduler(name="none"))
    seen = trials(*([PAUSED, n] for n in range(12)))
    plain = make_sampler(Tpe(name="tpe"), SPACE, setting).ask(seen, 1)
    with_bohb = replace(setting, scheduler=Bohb(name="bohb", random_share=0.0))
    assert make_sampler(Tpe(name="tpe"), SPACE, with_bohb).ask(seen, 1) != plain
