"""A driver's journal: what it records is stored together."""

import pytest

from hpo.errors import StudyError
from hpo.study.log.events import Propose, Report, Stop, StudyState
from hpo.study.storage.journal import StudyJournal
from hpo.study.storage.lease import acquire


@pytest.fixture
def lease(storage, study):
    with acquire(storage, study.id) as lease:
        yield lease


@pytest.fixture
def told():
    """What the listener has been told: the kinds of events, and how many trials there were."""
    return []


@pytest.fixture
def journal(storage, study, lease, goal, told):
    def listen(events, state):
        told.append(([event.kind for event in events], len(state)))

    return StudyJournal(storage, study.id, StudyState(goal), lease, lambda: None, listen)


def test_recorded_events_change_the_state_at_once_and_are_stored_by_a_flush(
    journal, storage, study, told
):
    journal.record(Propose({"x": 1}, 0), 0)
    journal.record(Report(1, {"accuracy": 0.5}), 0)
    assert journal.state.trial(0).losses == (-0.5,)
    assert (storage.events(study.id), told) == ([], [])

    journal.flush()
    assert [(event.seq, event.kind) for event in storage.events(study.id)] == [
        (1, "propose"),
        (2, "report"),
    ]
    assert told == [(["propose", "report"], 1)]


def test_each_event_is_stored_and_told_once(journal, storage, study, told):
    journal.record(Propose({"x": 1}, 0), 0)
    journal.flush()
    journal.flush()
    journal.record(Stop("finished"))
    journal.flush()
    assert [event.kind for event in storage.events(study.id)] == ["propose", "stop"]
    assert told == [(["propose"], 1), (["stop"], 1)]


def test_the_mirror_is_opened_after_the_first_flush(storage, study, lease, goal):
    opened = []
    state = StudyState(goal)
    journal = StudyJournal(
        storage, study.id, state, lease, lambda: opened.append(len(storage.events(study.id)))
    )
    journal.flush()
    assert opened == []
    for number in range(2):
        journal.record(Propose({"x": number}, 0), number)
        journal.flush()
    assert opened == [1]


def test_nothing_is_stored_after_another_driver_has_taken_over(journal, storage, study, lease):
    lease.release()
    with acquire(storage, study.id):
        journal.record(Propose({"x": 1}, 0), 0)
        with pytest.raises(StudyError):
            journal.flush()
    assert storage.events(study.id) == []
