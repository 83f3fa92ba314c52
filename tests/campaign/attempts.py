"""What an attempt of the campaign gives, and the table that counts them.

A part of the campaign makes attempts, each from a generator of random numbers of its own, so that
`--number N` makes one of them again.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class Try(NamedTuple):
    """One attempt at a promise; `trouble` says how it was broken, and is empty if it was kept."""

    promise: str
    trouble: str = ""
    count: int = 1


class Part(NamedTuple):
    """A part of the campaign: its attempts, how many are asked for, and how many the suite makes.

    `attempt` gets a folder of its own, a generator and the number of the attempt.
    """

    attempt: Callable[[Path, random.Random, int], Iterable[Try]]
    full: int
    small: int


class Tally:
    """Counts the attempts at each promise."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def add(self, found: Try) -> None:
        """Count an attempt."""
        self.tried[found.promise] += found.count
        self.broken[found.promise] += bool(found.trouble)

    def rows(self) -> list[str]:
        """A table in Markdown: survived and tried for each promise."""
        rows = ["| promise | survived | tried |", "|---|---|---|"]
        for promise, tried in self.tried.items():
            rows.append(f"| {promise} | {tried - self.broken[promise]:,} | {tried:,} |")
        return rows


def make(
    part: Part, name: str, seed: int, count: int, folder: Path, tally: Tally, only: int | None
) -> None:
    """Make attempts of a part until `count` of them are counted, or the one numbered `only`."""
    made, number = 0, only or 0
    while made < count:
        rng = random.Random(f"{seed} {name} {number}")
        place = folder / f"{name}-{number}"
        place.mkdir(parents=True)
        for found in part.attempt(place, rng, number):
            tally.add(found)
            made += found.count
            if found.trouble:
                again = f"--seed {seed} {name} --number {number}"
                print(f"{again}: {found.promise}: {found.trouble}", file=sys.stderr, flush=True)
        if only is not None:
            return
        number += 1
