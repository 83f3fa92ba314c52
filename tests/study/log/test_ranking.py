"""Which trial leads, and which has won."""

from hypothesis import given
from hypothesis import strategies as st

from hpo.study.log.ranking import leading_trial, ranking, winner
from hpo.trial import Trial, TrialState


def numbers(trials):
    return [trial.number for trial in trials]


def test_trials_in_full_are_ranked_by_result_and_before_all_others():
    trials = [
        Trial(7, {}, TrialState.DIVERGED, (-0.9, -0.9)),
        Trial(6, {}, TrialState.PAUSED, (-0.7,)),
        Trial(0, {}, TrialState.PRUNED, (-0.9,)),
        Trial(1, {}, TrialState.COMPLETE, (-0.1, -0.5)),
        Trial(2, {}, TrialState.COMPLETE, (-0.1, -0.6)),
        Trial(3, {}),
        Trial(4, {}, TrialState.COMPLETE, (-0.1, -0.5)),
        Trial(5, {}, TrialState.RUNNING, (-0.1, -0.2)),
    ]
    assert numbers(ranking(trials)) == [2, 1, 4, 5, 0, 6, 7]
    assert winner(trials) == leading_trial(trials) == trials[4]


def test_if_no_trial_keeps_the_constraints_the_smallest_violation_leads():
    # Of a trial that was stopped early it is not known, so that it counts as keeping them.
    trials = [
        Trial(0, {}, TrialState.COMPLETE, (-0.5, -0.9), violation=821.0),
        Trial(1, {}, TrialState.COMPLETE, (-0.5, -0.7), violation=403.0),
        Trial(2, {}, TrialState.COMPLETE, (-0.5, -0.8), violation=403.0),
        Trial(3, {}, TrialState.PRUNED, (-0.95,)),
        Trial(4, {}, TrialState.PRUNED, (-0.96, -0.97), violation=0.1),
    ]
    assert numbers(ranking(trials)) == [2, 1, 0, 3, 4]
    assert leading_trial(trials) == trials[2]
    assert winner(trials) is None


def test_with_several_objectives_the_next_one_breaks_a_tie():
    trials = [
        Trial(n, {}, TrialState.COMPLETE, (-0.9,), values)
        for n, values in enumerate([(-0.9, 70.0), (-0.9, 50.0), (-0.9, 50.0)])
    ]
    assert numbers(ranking(trials)) == [1, 2, 0]


def test_without_results_no_trial_leads():
    assert leading_trial([Trial(0, {}), Trial(1, {}, TrialState.DIVERGED)]) is None


@given(
    st.lists(
        st.builds(
            Trial,
            st.integers(0, 99),
            st.just({}),
            st.sampled_from(TrialState),
            st.lists(st.sampled_from([-0.5, 0.0, 0.5]), max_size=2).map(tuple),
            violation=st.sampled_from([0.0, 1.0]),
        ),
        unique_by=lambda trial: trial.number,
    )
)
def test_a_winner_leads_whatever_the_order_of_the_trials(trials):
    ranked = ranking(trials)
    assert ranking(reversed(trials)) == ranked
    assert leading_trial(trials) == next(iter(ranked), None)
    won = winner(trials)
    assert won is None or won == ranked[0]
