"""Events as rows of the database."""

import json

import pytest
from hypothesis import given

from hpo.errors import DamagedError, StudyError
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


SOUND = {"form": "map", "lanes": 4, "why": "told", "devices": 1, "program": "mlp"}
MERGED = {"merged": {"widths": [[4], [8]]}, "programs": 1.0, "why": "told"}


@pytest.mark.parametrize(
    ("label", "plan"),
    [
        ("mlp", {}),
        ("mlp", SOUND | {"form": "pmap"}),
        ("mlp", SOUND | {"form": ["map"]}),
        ("mlp", SOUND | {"lanes": "4"}),
        ("mlp", SOUND | {"lanes": 0}),
        ("mlp", SOUND | {"devices": 0}),
        ("mlp", SOUND | {"why": 7}),
        ("mlp", SOUND | {"program": None}),
        ("merging", {}),
        ("merging", MERGED | {"merged": {"widths": [[4], "x"]}}),
        ("merging", MERGED | {"merged": None}),
        ("merging", MERGED | {"merged": {"optimizer": [{"name": "sgd", "momentum": "x"}]}}),
        ("merging", MERGED | {"merged": {"optimizer": ["sgd"]}}),
        ("merging", MERGED | {"programs": "1"}),
        ("merging", MERGED | {"programs": -1.0}),
        ("merging", {"merged": {}, "programs": 1.0}),
        ("merging", MERGED | {"why": ["told"]}),
    ],
)
def test_a_pin_that_is_no_plan_is_damage_at_its_event(label, plan):
    for sound, of in ((SOUND, "mlp"), (MERGED, "merging")):
        from_rows([EventRow(7, None, "pin", None, json.dumps({"program": of, "plan": sound}), 0)])

    with pytest.raises(DamagedError, match="hpo_events, event 7: "):
        from_rows([EventRow(7, None, "pin", None, json.dumps({"program": label, "plan": plan}), 0)])


def test_a_pin_may_name_an_optimizer_that_only_its_author_has_registered():
    plan = MERGED | {"merged": {"optimizer": [{"name": "sgd"}, {"name": "mine", "pull": 2}]}}
    value = json.dumps({"program": "merging", "plan": plan})
    (event,) = from_rows([EventRow(7, None, "pin", None, value, 0)])
    assert event.what.plan == plan
