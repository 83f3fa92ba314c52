"""What trials cost, as the log keeps it."""

import pytest

from hpo.spec.sections.goal import Constraint, Goal, Objective
from hpo.study.log.events import Propose, StudyState
from hpo.study.loop.costing import Costing
from hpo.trial import Run

ACCURACY = Objective(maximize="accuracy")
SMALL = Constraint(metric="parameters", at_most=100)


class Pen:
    """A journal that stores nothing."""

    def __init__(self, *constraints, objectives=(ACCURACY,)):
        self.state = StudyState(Goal(objectives, constraints))
        self.state.record(Propose({}, 0), 0, 0)

    def record(self, what, trial=None):
        self.state.record(what, trial, 0)

    def flush(self): ...


@pytest.mark.parametrize(("parameters", "is_too_large"), [(100, False), (101, True)])
def test_a_shape_may_break_a_constraint_before_it_trains(parameters, is_too_large):
    pen = Pen(SMALL)
    assert Costing(pen).price(0, {"parameters": parameters}) == is_too_large
    assert pen.state.costs[0] == {"parameters": parameters}


def test_of_several_seeds_the_smallest_latency_counts():
    pen = Pen()
    costing = Costing(pen)
    for latency in (3.0, 2.0, 4.0):
        costing.note(0, {"latency_ms": latency})
    assert pen.state.costs[0] == {"latency_ms": 2.0}


def test_the_seconds_of_all_runs_of_a_trial_are_noted_once_it_settles():
    pen = Pen()
    costing = Costing(pen)
    costing.spend({Run(0, 0): 1.5, Run(0, 1): 0.25}, {Run(0, 0): 0.0, Run(0, 1): 0.0})
    costing.spend({Run(0, 0): 1.0}, {})
    assert pen.state.costs[0] == {}

    costing.settle(0)
    costing.settle(0)  # nothing was spent since
    assert pen.state.costs[0] == {"train_seconds": 2.75}


def test_seconds_before_a_resume_are_added_to():
    pen = Pen()
    for costing in (Costing(pen), Costing(pen)):
        costing.spend({Run(0): 2.0}, {Run(0): 30.0})
        costing.settle(0)
    assert pen.state.costs[0] == {"train_seconds": 4.0, "energy_joules": 60.0}


def test_models_are_timed_only_where_the_study_asks_for_their_latency():
    timed = Pen(objectives=(ACCURACY, Objective(minimize="latency_ms")))
    assert Costing(timed).is_timed
    assert not Costing(Pen(SMALL)).is_timed
