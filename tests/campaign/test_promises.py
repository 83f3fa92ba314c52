"""A few attempts of each part of the campaign, in a process that has no backend to fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.campaign.__main__ import PARTS
from tests.campaign.attempts import Tally, Try
from tests.campaign.mutants import changes
from tests.checkout import ROOT


@pytest.mark.long
def test_a_few_attempts_of_each_part_break_no_promise():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.campaign", "--seed", "1", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in ended.stdout.splitlines()]
    assert sum(int(tried) for _, _, tried in rows[2:]) >= sum(p.small for p in PARTS.values())
    assert all(survived == tried for _, survived, tried in rows[2:])


def test_the_table_counts_what_survived_of_what_was_tried():
    tally = Tally()
    for found in (Try("kill", count=3), Try("spec", "hangs"), Try("kill", "differs", 2)):
        tally.add(found)
    assert tally.rows()[2:] == ["| kill | 4 | 5 |", "| spec | 0 | 1 |"]


def test_a_change_of_a_module_is_one_place_that_does_something():
    text = """
import os
def share(part: int, whole: int = 4) -> float:
    \"\"\"The share of a part.\"\"\"
    if not part <= whole:
        raise ValueError(f"{part} is too large")
    return part / whole
"""
    assert [(change.line, change.what) for change in changes(text)] == [
        (3, "4 is 5"),
        (5, "the condition is turned"),
        (5, "not is left out"),
        (5, "LtE is Lt"),
        (6, "raise ValueError(f'{part} is too large') is left out"),
        (7, "gives None"),
        (7, "Div is Mult"),
    ]
    assert all(compile(change.text, "share", "exec") for change in changes(text))
