"""A few attempts of each part of the campaign, in a process that has no backend to fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.campaign.__main__ import PARTS
from tests.campaign.attempts import Tally, Try
from tests.checkout import ROOT


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_a_few_attempts_of_each_part_break_no_promise(part):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.campaign", "--seed", "1", "--small", part],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.split("|")[2:4] for line in ended.stdout.splitlines()[2:]]
    assert sum(int(tried) for _, tried in rows) >= PARTS[part].small
    assert all(survived.strip() == tried.strip() for survived, tried in rows)


def test_the_table_counts_what_survived_of_what_was_tried():
    tally = Tally()
    for found in (Try("kill", count=3), Try("spec", "hangs"), Try("kill", "differs", 2)):
        tally.add(found)
    assert tally.rows()[2:] == ["| kill | 4 | 5 |", "| spec | 0 | 1 |"]
