"""Events as rows of the database."""

import pytest
from hypothesis import given

from hpo.errors import StudyError
from hpo.study.log.event_rows import EventRow, from_rows, to_row
from hpo.study.log.events import Checkpoint, Event, ReplicaReport
from hpo.trial import Run
from tests.study.log.logs import logs


@given(logs())
def test_an_event_is_read_back_from_its_row_unchanged(log):
    assert repr(from_rows([to_row(event) for event in log])) == repr(log)


def test_an_event_of_a_later_version_asks_for_an_update():
    with pytest.raises(StudyError, match="'mutate', which this version of hpo does not know"):
        from_rows([EventRow(1, 0, "mutate", None, "{}", 0)])


def test_earlier_logs_name_a_run_by_its_seed():
    rows = [
        EventRow(1, 7, "replica", 2, '{"replica": 0, "metrics": {"loss": 1.0}}', 0),
        EventRow(2, 7, "replica", 2, '{"replica": 3, "metrics": {"loss": 2.0}}', 0),
        EventRow(3, 7, "checkpoint", 2, '{"file": "7-2", "sha256": "a"}', 0),
        EventRow(4, 7, "checkpoint", 2, '{"file": "7-2", "sha256": "a", "replica": 3}', 0),
    ]
    assert [event.what for event in from_rows(rows)] == [
        ReplicaReport(2, Run(7), {"loss": 1.0}),
        ReplicaReport(2, Run(7, 3), {"loss": 2.0}),
        Checkpoint(2, "7-2", "a", Run(7)),
        Checkpoint(2, "7-2", "a", Run(7, 3)),
    ]


def test_the_checkpoint_of_a_trials_only_run_is_stored_as_in_earlier_logs():
    row = to_row(Event(1, 7, 0, Checkpoint(2, "7-2", "a", Run(7))))
    assert row.value == '{"file": "7-2", "sha256": "a"}'
