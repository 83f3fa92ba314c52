"""What a watcher gets to know from a log."""

import pytest

from hpo.api.events import Best, Ended, Proposed, Reported, Started
from hpo.api.telling import Teller
from hpo.spec.load import load_document
from hpo.study.log.events import End, Propose, Report, Start, StudyState
from hpo.trial import Exploit, TrialState


@pytest.fixture
def told():
    """The events that were told, in order."""
    return []


@pytest.fixture
def log(flowers, told, tmp_path):
    """`log(*happenings)` records (what, trial) pairs and has them told together.

    Each start of the study is one of another process, with a teller of its own.
    """
    experiment = load_document(flowers, tmp_path)
    state, tellers = StudyState(experiment.search.goal), [Teller(experiment, told.append)]

    def record(*happenings):
        if isinstance(happenings[0][0], Start):
            tellers[0] = Teller(experiment, told.append)
        tellers[0].listen([state.record(what, trial, 0) for what, trial in happenings], state)

    return record


def full(number, *accuracies):
    """A trial of these accuracies from its proposal to its end."""
    reports = [(Report(e, {"accuracy": a}), number) for e, a in enumerate(accuracies, 1)]
    return (Propose({"x": number}, 0), number), *reports, (End(TrialState.COMPLETE), number)


def test_a_trial_is_told_from_its_proposal_to_its_end(log, told):
    log((Start({}), None), *full(0, 0.5, 0.75))

    assert told == [
        Started("flowers", "accuracy", trials=3, epochs=2, known=0),
        Proposed(0, {"x": 0}),
        Reported(0, 1, {"accuracy": 0.5}),
        Reported(0, 2, {"accuracy": 0.75}),
        Ended(0, "complete", epochs=2, value=0.75),
        Best(0, 0.75, {"x": 0}),
    ]


def test_only_a_better_trial_is_told_to_be_the_best(log, told):
    log((Start({}), None), *full(0, 0.5, 0.75))
    log(*full(1, 0.9, 0.7), *full(2, 0.1, 0.8))

    assert [(event.trial, event.value) for event in told if event.kind == "best"] == [
        (0, 0.75),
        (2, 0.8),
    ]


def test_a_run_that_goes_on_begins_with_the_best_so_far(log, told):
    log(*full(0, 0.5, 0.75), (Propose({"x": 1}, 0), 1))
    del told[:]
    log((Start({}), None), (Report(1, {"accuracy": 0.6}), 1), *full(2, 0.7, 0.8))

    assert told[:2] == [Started("flowers", "accuracy", 3, 2, known=2), Best(0, 0.75, {"x": 0})]
    assert told[-1] == Best(2, 0.8, {"x": 2})


def test_a_diverged_trial_has_no_value(log, told):
    report = Report(1, {"accuracy": 0.5, "loss": float("nan")})
    log((Propose({"x": 0}, 0), 0), (report, 0), (End(TrialState.DIVERGED), 0))
    assert told[-1] == Ended(0, "diverged", epochs=0, value=None)


def test_hparams_that_a_population_changes_are_proposed(log, told):
    log(*full(0, 0.5, 0.75), (Propose({"x": 1}, 0), 1), (Report(1, {"accuracy": 0.1}), 1))
    log((Exploit(0, 1, {"x": 0.8}), 1))
    assert told[-1] == Proposed(1, {"x": 0.8})
