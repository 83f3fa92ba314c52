"""The driver's record of which run is in which lane of which pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpo.study.loop.assign import LaneView, PoolView, Setup
from hpo.trial import Run


@dataclass
class Seat:
    """A lane's run, the epochs it has trained, and the epoch it trains up to."""

    run: Run
    epoch: int
    to_epoch: int

    @property
    def is_training(self) -> bool:
        """Whether it has work; else it waits for its next job."""
        return self.epoch < self.to_epoch


class Occupancy:
    """The setups of the pools, and the runs in their lanes.

    `pools` are the numbers of those whose workers are not lost.
    """

    def __init__(self, pools: int) -> None:
        self.pools = list(range(pools))
        self.setups: list[Setup | None] = [None] * pools
        self._lanes: list[list[Seat | None]] = [[] for _ in range(pools)]

    def load(self, pool: int, setup: Setup, lanes: int) -> None:
        """Change a pool to a setup; its lanes are then empty."""
        self.setups[pool] = setup
        self._lanes[pool] = [None] * lanes

    def unload(self, pool: int) -> None:
        """Take its setup and its lanes from a pool."""
        self.setups[pool] = None
        self._lanes[pool] = []

    def lose(self, pool: int) -> None:
        """Remove a pool whose worker is lost."""
        self.unload(pool)
        self.pools.remove(pool)

    def sit(self, pool: int, lane: int, seat: Seat) -> None:
        """Put a run into a lane."""
        self._lanes[pool][lane] = seat

    def seat(self, pool: int, lane: int) -> Seat:
        """The run in a lane that is not empty."""
        seat = self._lanes[pool][lane]
        assert seat is not None, f"lane {lane} of pool {pool} is empty"
        return seat

    def leave(self, pool: int, lane: int) -> None:
        """Empty a lane."""
        self._lanes[pool][lane] = None

    def shrink(self, pool: int, lanes: int) -> None:
        """Drop lanes: the pool has fewer than expected."""
        del self._lanes[pool][lanes:]

    def widen(self, pool: int, lanes: int) -> None:
        """Add lanes, if the pool has more than expected."""
        self._lanes[pool] += [None] * (lanes - len(self._lanes[pool]))

    @property
    def count(self) -> int:
        """How many lanes there are in all pools."""
        return sum(map(len, self._lanes))

    def occupied(self, pool: int) -> list[int]:
        """The lanes of a pool that hold a run."""
        return [lane for lane, seat in enumerate(self._lanes[pool]) if seat is not None]

    def of(self, run: Run) -> Iterator[tuple[int, int, Seat]]:
        """The lanes of a run, as (pool, lane, seat)."""
        return ((p, n, seat) for p, n, seat in self if seat.run == run)

    def in_training(self) -> set[Run]:
        """The runs whose lanes have work."""
        return {seat.run for _, _, seat in self if seat.is_training}

    def views(self) -> list[PoolView]:
        """The `pools`, in this order, for `assign`."""
        return [
            PoolView(
                self.setups[pool],
                tuple(
                    None if seat is None else LaneView(seat.run, seat.is_training)
                    for seat in self._lanes[pool]
                ),
            )
            for pool in self.pools
        ]

    def __iter__(self) -> Iterator[tuple[int, int, Seat]]:
        """Every occupied lane, as (pool, lane, seat)."""
        for pool, lanes in enumerate(self._lanes):
            for lane, seat in enumerate(lanes):
                if seat is not None:
                    yield pool, lane, seat
