"""What the log says of trials that went on from the weights of others."""

import pytest

from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.event_rows import from_rows, to_row
from hpo.study.log.events import Checkpoint, Propose, Report, StudyState, fold
from hpo.study.log.lineage import Segment, changes, trained_by
from hpo.trial import Exploit, Run, TrialState

LOSS = Goal((Objective(minimize="loss"),))


def log_of(*happenings):
    """The log of (trial, what), and its state."""
    state = StudyState(LOSS)
    return [state.record(what, trial, n) for n, (trial, what) in enumerate(happenings)], state


def reports(trial, *losses, first=1):
    return [(trial, Report(epoch, {"loss": loss})) for epoch, loss in enumerate(losses, first)]


@pytest.fixture
def study():
    """Trial 1 goes on from 0 after two epochs, 2 from 1 after four."""
    return log_of(
        (0, Propose({"x": 1.0, "w": [8]}, 0)),
        (1, Propose({"x": 2.0, "w": [16]}, 0)),
        (2, Propose({"x": 3.0, "w": [8]}, 0)),
        *reports(0, 0.9, 0.5),
        (0, Checkpoint(2, "0-2", "abc", Run(0))),
        *reports(1, 0.9, 0.8),
        (1, Checkpoint(1, "1-1", "def", Run(1))),
        (1, Exploit(0, 2, {"x": 1.2, "w": [8]})),
        *reports(2, 0.9, 0.7, 0.7, 0.7),
        *reports(1, 0.3, 0.2, first=3),
        (2, Exploit(1, 4, {"x": 1.0, "w": [8]})),
        *reports(2, 0.1, first=5),
    )


def test_a_lineage_goes_back_to_the_trial_that_started_the_weights(study):
    _, state = study
    first = Segment(0, 0, {"x": 1.0, "w": [8]})
    second = Segment(1, 2, {"x": 1.2, "w": [8]})
    third = Segment(2, 4, {"x": 1.0, "w": [8]})
    assert state.lineage(0) == (first,)
    assert state.lineage(1) == (first, second)
    assert state.lineage(2) == (first, second, third)
    assert changes(state.lineage(2)) == [(2, {"x": 1.2}), (4, {"x": 1.0})]
    assert [trained_by(state.lineage(2), epoch) for epoch in range(1, 6)] == [0, 0, 1, 1, 2]


def test_a_trial_has_its_own_losses_and_its_latest_hparams(study):
    _, state = study
    trial = state.trial(2)
    assert trial.losses == (0.9, 0.7, 0.7, 0.7, 0.1)
    assert (trial.hparams, trial.exploited) == ({"x": 1.0, "w": [8]}, 4)
    assert trial.state is TrialState.PAUSED
    assert state.trial(0).exploited == 0


def test_a_retrained_epoch_is_compared_with_the_epoch_of_its_weights(study):
    _, state = study
    assert state.line(2) == [{"loss": loss} for loss in (0.9, 0.5, 0.3, 0.2, 0.1)]


def test_an_exploit_replaces_the_checkpoint_by_the_sources(study):
    _, state = study
    assert {run.trial: c.file for run, c in state.checkpoints.items()} == {
        0: "0-2",
        1: "0-2",
        2: "0-2",
    }


def test_exploits_are_read_back_from_their_rows(study):
    log, state = study
    again = from_rows([to_row(event) for event in log])
    assert again == log
    assert repr(fold(again, LOSS)) == repr(state)
