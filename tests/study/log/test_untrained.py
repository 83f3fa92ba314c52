"""A study that trained nothing."""

import pytest

from hpo.spec.sections.goal import Constraint, Goal, Objective
from hpo.study.log.events import Cost, End, Propose, StudyState
from hpo.study.log.untrained import Miss, Untrained, untrained
from hpo.trial import TrialState

SMALL = Constraint(metric="parameters", at_most=100)
FAST = Constraint(metric="flops", at_most=10)
GOOD = Constraint(metric="loss", at_most=0.1)


def study(*costs, ends=None):
    state = StudyState(Goal((Objective(maximize="accuracy"),), (SMALL, FAST, GOOD)))
    for number, (parameters, flops) in enumerate(costs):
        state.record(Propose({}, state.seq), number, 0)
        state.record(Cost({"parameters": parameters, "flops": flops}), number, 0)
        end = TrialState.INFEASIBLE if ends is None else ends[number]
        if end is not None:
            state.record(End(end), number, 0)
    return state


def test_the_nearest_trial_has_the_smallest_total_violation():
    # By 4 and 0 times the bounds, by 1 and 1, by 0 and 9.
    assert untrained(study((500.0, 5.0), (200.0, 20.0), (50.0, 100.0))) == Untrained(
        3,
        1,
        (
            Miss("parameters at most 100", "parameters", 200.0),
            Miss("flops at most 10", "flops", 20),
        ),
    )
    # What it keeps is no miss.
    (miss,) = untrained(study((500.0, 5.0), (50.0, 100.0))).misses
    assert miss == Miss("parameters at most 100", "parameters", 500.0)


@pytest.mark.parametrize("end", [None, TrialState.DIVERGED])
def test_a_study_that_trained_a_trial_is_not_untrained(end):
    infeasible = TrialState.INFEASIBLE
    assert untrained(study((500.0, 5.0), (50.0, 5.0), ends=[infeasible, end])) is None
    assert untrained(study()) is None
