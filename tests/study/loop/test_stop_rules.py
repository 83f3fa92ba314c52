import pytest

from hpo.spec.sections.goal import Constraint, Goal, Objective, StopSpec
from hpo.study.log.events import Cost, End, Propose, Report, StudyState, fold
from hpo.study.loop.stop_rules import StopRules, stop_sentence
from hpo.trial import TrialState

ACCURACY = Objective(maximize="accuracy")
SMALL = Constraint(metric="parameters", at_most=100)


class Study:
    """A log that grows by whole trials; every rule is asked after each of its events."""

    def __init__(self, *goal, **stop):
        self.goal = Goal(*goal) if goal else Goal((ACCURACY,))
        self.spec = StopSpec(**stop)
        self.state = StudyState(self.goal)
        self.rules = StopRules(self.spec, self.state)
        self.log = []

    def trial(self, accuracy, end=TrialState.COMPLETE, parameters=10):
        number = len(self.state)
        happenings = [
            Propose({}, 0),
            Cost({"parameters": parameters}),
            Report(1, {"accuracy": accuracy}),
            End(end),
        ]
        for what in happenings:
            self.log.append(self.state.record(what, number, 0))
            reason = self.rules.reason()
        # New rules from the log, as on a resume, say the same.
        assert StopRules(self.spec, fold(self.log, self.goal)).reason() == reason
        return reason


def test_a_target_is_reached_by_a_trial_in_full_that_keeps_the_constraints():
    study = Study((ACCURACY,), (SMALL,), target=0.9)
    assert study.trial(0.95, TrialState.PRUNED) is None
    assert study.trial(0.95, parameters=101) is None
    assert study.trial(0.89) is None
    assert study.trial(0.9) == "target"


def test_a_metric_to_minimise_reaches_its_target_from_above():
    study = Study((Objective(minimize="accuracy"),), target=0.5)
    assert study.trial(0.6) is None
    assert study.trial(0.4) == "target"


def test_trials_without_a_better_one_are_counted_from_the_best():
    study = Study(no_improvement=2)
    reasons = [study.trial(accuracy) for accuracy in (0.5, 0.4, 0.6, 0.6, 0.1)]
    assert reasons == [None, None, None, None, "no_improvement"]


def test_pruned_trials_do_not_count_and_diverged_ones_do():
    study = Study(no_improvement=2)
    assert study.trial(0.5) is None
    assert [study.trial(0.1, TrialState.PRUNED) for _ in range(3)] == [None] * 3
    assert study.trial(float("nan"), TrialState.DIVERGED) is None
    assert study.trial(float("nan"), TrialState.DIVERGED) == "no_improvement"


def test_any_new_point_on_the_front_is_an_improvement():
    both = (ACCURACY, Objective(minimize="parameters"))
    study = Study(both, no_improvement=1)
    assert study.trial(0.9, parameters=50) is None
    assert study.trial(0.5, parameters=40) is None
    assert study.trial(0.95, parameters=90) is None
    assert study.trial(0.9, parameters=60) == "no_improvement"


def test_epochs_are_those_of_all_trials():
    study = Study(epochs=3)
    assert [study.trial(0.5) for _ in range(3)] == [None, None, "epochs"]


@pytest.mark.parametrize(
    ("reason", "key"),
    [("target", "target"), ("no_improvement", "no_improvement"), ("epochs", "epochs")],
)
def test_a_rule_that_stopped_a_study_is_named_with_its_value(reason, key):
    spec = StopSpec(target=42, no_improvement=42, epochs=42)
    sentence = stop_sentence(reason, spec)
    assert f"search.stop.{key}" in sentence
    assert "42" in sentence
    assert stop_sentence("finished", spec) is None
