"""Baselines as events."""

from __future__ import annotations

import json
import math

import pytest

from hpo.errors import DamagedError
from hpo.study.log.baseline import Baseline, baseline_from
from hpo.study.log.event_rows import EventRow, from_rows, to_row
from hpo.study.log.events import StudyState

FOREST = Baseline(
    "forest", "leaves of 1", {"accuracy": 0.9}, {"accuracy": 0.8}, 1.5, rows=80, rows_of=100
)
CUT = Baseline("boosting", "rate 0.1, 100 rounds", seconds=2.25)


@pytest.mark.parametrize(
    "baseline", [FOREST, CUT, Baseline("linear", "penalty 1", trouble="ended with status 1")]
)
def test_a_baseline_comes_back_from_its_row(baseline, goal):
    event = StudyState(goal).record(baseline, None, 12)

    assert from_rows([to_row(event)]) == [event]


def test_metrics_that_are_no_numbers_are_kept():
    value = Baseline("linear", "", {"loss": math.inf, "r2": math.nan}).to_value()

    metrics = baseline_from(json.loads(json.dumps(value, allow_nan=False))).metrics
    assert metrics["loss"] == math.inf
    assert math.isnan(metrics["r2"])


def test_a_baseline_is_cut_where_it_has_neither_metrics_nor_trouble():
    assert [FOREST.is_cut, CUT.is_cut, Baseline("linear", "", trouble="no").is_cut] == [
        False,
        True,
        False,
    ]


def test_a_later_result_of_a_baseline_replaces_an_earlier_one_and_all_seconds_count(goal):
    state = StudyState(goal)
    for baseline in (CUT, FOREST, Baseline(*CUT.key, {"accuracy": 0.95}, seconds=3)):
        state.record(baseline, None, 0)

    assert [one.metrics for one in state.baselines.values()] == [
        {"accuracy": 0.95},
        {"accuracy": 0.9},
    ]
    assert state.baseline_seconds == 2.25 + 1.5 + 3


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("rows", -1),
        ("rows_of", 1.5),
        ("name", 3),
        ("trouble", None),
        ("seconds", "Infinity"),
        ("metrics", {"accuracy": "high"}),
    ],
)
def test_a_changed_event_of_a_baseline_is_damage(part, value):
    text = json.dumps({**FOREST.to_value(), part: value})

    with pytest.raises(DamagedError, match="event 7"):
        from_rows([EventRow(7, None, "baseline", None, text, 0)])
