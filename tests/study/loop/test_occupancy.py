"""Which run is in which lane of which pool."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.study.loop.assign import LaneView, PoolView
from hpo.study.loop.occupancy import Occupancy, Seat
from hpo.trial import Run

# Nothing looks into a setup.
SETUP: Any = "a setup"


@pytest.fixture
def occupancy() -> Occupancy:
    """Two pools: the first with a run in training and one that waits, the second not loaded."""
    occupancy = Occupancy(2)
    occupancy.load(0, SETUP, 3)
    occupancy.sit(0, 0, Seat(Run(4), epoch=1, to_epoch=3))
    occupancy.sit(0, 2, Seat(Run(5), epoch=3, to_epoch=3))
    return occupancy


def test_a_run_that_has_reached_its_epoch_waits_in_its_lane(occupancy: Occupancy) -> None:
    assert occupancy.occupied(0) == [0, 2]
    assert occupancy.in_training() == {Run(4)}
    occupancy.seat(0, 2).to_epoch = 9
    assert occupancy.in_training() == {Run(4), Run(5)}


def test_assigning_sees_every_pool_with_its_lanes(occupancy: Occupancy) -> None:
    lanes = (LaneView(Run(4), True), None, LaneView(Run(5), False))
    assert occupancy.views() == [PoolView(SETUP, lanes), PoolView(None, ())]
    assert occupancy.count == 3


def test_a_run_is_found_in_its_lane_until_it_leaves(occupancy: Occupancy) -> None:
    assert [(pool, lane) for pool, lane, _ in occupancy.of(Run(5))] == [(0, 2)]
    occupancy.leave(0, 2)
    assert [*occupancy.of(Run(5))] == []
    with pytest.raises(AssertionError, match="lane 2 of pool 0 is empty"):
        occupancy.seat(0, 2)


def test_a_pool_may_have_fewer_or_more_lanes_than_expected(occupancy: Occupancy) -> None:
    occupancy.shrink(0, 2)
    assert (occupancy.count, occupancy.occupied(0)) == (2, [0])
    occupancy.widen(0, 5)
    assert (occupancy.count, occupancy.occupied(0)) == (5, [0])


def test_a_pool_with_another_setup_is_empty(occupancy: Occupancy) -> None:
    occupancy.load(0, SETUP, 2)
    assert (occupancy.count, occupancy.occupied(0)) == (2, [])


def test_a_lost_pool_is_gone_and_the_others_keep_their_numbers(occupancy: Occupancy) -> None:
    occupancy.load(1, SETUP, 1)
    occupancy.sit(1, 0, Seat(Run(6), 0, 3))
    occupancy.lose(0)
    assert occupancy.pools == [1]
    assert [(pool, lane, seat.run) for pool, lane, seat in occupancy] == [(1, 0, Run(6))]
    assert occupancy.views() == [PoolView(SETUP, (LaneView(Run(6), True),))]
