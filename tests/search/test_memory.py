"""What is remembered of trials follows from the trials alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hpo.search.memory import Converted, Remembered
from hpo.trial import Trial, TrialState


class Epochs:
    """The epochs of all trials, added up change by change."""

    def __init__(self):
        self.total = self.changes = 0

    def see(self, before, after):
        self.changes += 1
        self.total += after.epochs - (before.epochs if before else 0)


def test_only_changed_trials_are_looked_at():
    memory = Remembered(Epochs)
    trials = [Trial(n, {}, TrialState.PAUSED, (1.0,)) for n in range(5)]
    assert memory.of(trials).changes == 5
    trials[2] = replace(trials[2], losses=(1.0, 0.5))
    assert (memory.of(trials).changes, memory.of(trials).total) == (6, 6)


losses = st.lists(st.sampled_from([1.0, 2.0]), max_size=4).map(tuple)
states = st.sampled_from([TrialState.RUNNING, TrialState.COMPLETE, TrialState.DIVERGED])
studies = st.lists(st.tuples(losses, states), max_size=5).map(
    lambda rows: [Trial(n, {}, state, losses) for n, (losses, state) in enumerate(rows)]
)


@given(st.lists(studies, min_size=1, max_size=5))
def test_whatever_was_seen_before_the_same_trials_lead_to_the_same(seen):
    memory, converted = Remembered(Epochs), Converted(lambda trial: trial.losses)
    for trials in seen:
        assert memory.of(trials).total == sum(trial.epochs for trial in trials)
        assert converted.of(trials) == [trial.losses for trial in trials]


def test_a_trial_is_converted_again_only_where_it_has_changed():
    calls = []
    converted = Converted(lambda trial: calls.append(trial.number))
    trials = [Trial(n, {"x": n}) for n in range(3)]
    converted.of(trials)
    converted.of([*trials[:1], replace(trials[1], losses=(1.0,)), Trial(2, {"x": 2})])
    assert calls == [0, 1, 2, 1]
