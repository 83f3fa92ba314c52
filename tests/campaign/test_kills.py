"""What the campaign looks for in a study that was killed, it finds where it is planted."""

from __future__ import annotations

import json
import random

import pytest

from tests.campaign.kills import _REAL_SHARE, PAIRS, _plan, lost_reports, not_diverged


def log(*trials):
    """The events of trials, each with the losses that it reports by epoch, and its end."""
    found = []
    for number, (losses, state) in enumerate(trials):
        for epoch, loss in losses.items():
            found.append((number, "report", epoch, json.dumps({"loss": loss})))
        found.append((number, "end", None, json.dumps({"state": state})))
    return [(seq, *event) for seq, event in enumerate(found)]


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (({1: 0.5, 2: 0.4, 3: 0.3}, "complete"), ""),
        (({1: 0.5, 2: 0.4}, "pruned"), ""),
        (({1: 0.5, 3: 0.3}, "complete"), "trial 1 is complete with reports of the epochs [1, 3]"),
        (({1: 0.5, 2: 0.4}, "complete"), "trial 1 is complete with reports of the epochs [1, 2]"),
        (({}, "complete"), "trial 1 is complete with reports of the epochs []"),
        (({2: 0.4}, "pruned"), "trial 1 has reports of the epochs [2] alone"),
    ],
)
def test_a_report_that_is_lost_is_found(trial, said):
    assert lost_reports(log(({1: 0.5, 2: 0.4, 3: 0.3}, "complete"), trial), 3) == said


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (({1: None}, "diverged"), ""),
        (({}, "diverged"), ""),
        (({1: 0.5}, "diverged"), 'trial 1 has a finite loss in epoch 1: {"loss": 0.5}'),
        (({1: None}, "complete"), "trial 1 has not diverged: {'state': 'complete'}"),
    ],
)
def test_a_trial_that_has_not_diverged_is_found(trial, said):
    assert not_diverged(log(({1: None}, "diverged"), trial)) == said


def test_real_processes_drive_every_pair():
    numbers = range(_REAL_SHARE - 1, _REAL_SHARE * len(PAIRS), _REAL_SHARE)
    plans = [_plan(number, random.Random(0), is_real=True) for number in numbers]
    pairs = {
        (plan.document["search"]["sampler"]["name"], plan.document["search"]["scheduler"]["name"])
        for plan in plans
    }
    assert pairs == {(sampler, scheduler) for sampler, scheduler, _ in PAIRS}
