"""Assigning jobs to lanes: no device idles while a job could run, and every job runs once."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hpo.study.loop.assign import Assignment, LaneView, PoolView, assign
from hpo.trial import RunJob

LANES = 3


def _assign(pools: Sequence[PoolView], jobs: Sequence[RunJob], programs: str) -> list[Assignment]:
    """`programs[n]` is the setup of trial n."""
    return assign(pools, jobs, lambda n: programs[n], lambda _: LANES)


def _starts(*trials: int) -> list[RunJob]:
    return [RunJob(trial, 1) for trial in trials]


def test_an_empty_pool_takes_up_the_program_of_the_first_job() -> None:
    (answer,) = _assign([PoolView(None)], _starts(0, 1, 2), "ABA")
    assert answer.loads == "A"
    assert [job.run for _, job in answer.puts] == [0, 2]


def test_two_empty_pools_share_one_program() -> None:
    answers = _assign([PoolView(None), PoolView(None)], _starts(0, 1, 2, 3), "AAAA")
    assert [[job.run for _, job in answer.puts] for answer in answers] == [[0, 2], [1, 3]]


def test_two_empty_pools_begin_with_a_program_each() -> None:
    answers = _assign([PoolView(None), PoolView(None)], _starts(0, 1, 2), "AAB")
    assert [answer.loads for answer in answers] == ["A", "B"]


def test_one_job_is_not_shared() -> None:
    answers = _assign([PoolView(None), PoolView(None)], _starts(0), "A")
    assert [bool(answer) for answer in answers] == [True, False]


def test_a_trial_that_waits_in_its_lane_goes_on_there() -> None:
    pool = PoolView("A", (None, LaneView(5, is_training=False), None))
    (answer,) = _assign([pool], [RunJob(5, 3)], "AAAAAA")
    assert answer == Assignment(extends=[(1, RunJob(5, 3))])


def test_a_trial_in_training_is_left_alone() -> None:
    pool = PoolView("A", (LaneView(0, is_training=True), None, None))
    assert _assign([pool], [RunJob(0, 3)], "A") == [Assignment()]


def test_waiting_trials_make_room_when_the_empty_lanes_are_used_up() -> None:
    waiting = LaneView(8, is_training=False)
    pool = PoolView("A", (waiting, None, LaneView(9, is_training=True)))
    (answer,) = _assign([pool], _starts(0, 1), "A" * 10)
    assert answer.puts == [(1, RunJob(0, 1)), (0, RunJob(1, 1))]
    assert answer.takes == [0]


def test_a_pool_at_work_keeps_its_program() -> None:
    pool = PoolView("A", (LaneView(0, is_training=True), None, None))
    assert _assign([pool], _starts(1), "AB") == [Assignment()]


def test_an_idle_pool_changes_its_program_and_takes_out_its_waiting_trials() -> None:
    pool = PoolView("A", (LaneView(0, is_training=False), None, None))
    (answer,) = _assign([pool], _starts(1), "AB")
    assert answer == Assignment(loads="B", takes=[0], puts=[(0, RunJob(1, 1))])


def test_an_idle_pool_helps_with_a_program_under_way() -> None:
    at_work = PoolView("A", tuple(LaneView(n, is_training=True) for n in range(LANES)))
    answers = _assign([at_work, PoolView(None)], _starts(3), "AAAA")
    assert answers[1].loads == "A"


def test_an_idle_pool_is_given_half_of_the_busiest_ones_trials() -> None:
    at_work = PoolView("A", tuple(LaneView(n, is_training=True) for n in range(LANES)))
    answers = _assign([at_work, PoolView(None), at_work], [], "AAA")
    assert [answer.takes for answer in answers] == [[2], [], []]


def test_a_single_trial_stays_where_it_is() -> None:
    at_work = PoolView("A", (LaneView(0, is_training=True), None, None))
    assert _assign([at_work, PoolView(None)], [], "A") == [Assignment(), Assignment()]


occupants = st.none() | st.booleans()


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[PoolView], list[RunJob], str]:
    """Pools with trials in some lanes, and jobs for some of those and for others."""
    programs = draw(st.text("ABC", min_size=30, max_size=30))
    pools, used = [], set()
    for _ in range(draw(st.integers(1, 4))):
        program = draw(st.sampled_from([None, "A", "B", "C"]))
        if program is None:
            pools.append(PoolView(None))
            continue
        lanes: list[LaneView | None] = []
        for is_training in draw(st.lists(occupants, min_size=LANES, max_size=LANES)):
            own = [n for n in range(30) if programs[n] == program and n not in used]
            if is_training is None or not own:
                lanes.append(None)
            else:
                used.add(own[0])
                lanes.append(LaneView(own[0], is_training))
        pools.append(PoolView(program, tuple(lanes)))
    trials = draw(st.lists(st.integers(0, 29), unique=True))
    return pools, [RunJob(n, 1) for n in trials], programs


@given(situations())
def test_no_device_idles_while_a_job_waits(
    situation: tuple[list[PoolView], list[RunJob], str],
) -> None:
    pools, jobs, programs = situation
    answers = _assign(pools, jobs, programs)
    in_lanes = {o.run for pool in pools for o in pool.lanes if o is not None}
    given_out = {job.run for answer in answers for _, job in answer.puts}
    left = [job for job in jobs if job.run not in in_lanes | given_out]
    for pool, answer in zip(pools, answers, strict=True):
        is_busy = answer.puts or answer.extends or any(o and o.is_training for o in pool.lanes)
        assert is_busy or not left


@given(situations())
def test_an_assignment_can_be_carried_out(
    situation: tuple[list[PoolView], list[RunJob], str],
) -> None:
    pools, jobs, programs = situation
    answers = _assign(pools, jobs, programs)
    given_out = [job for answer in answers for _, job in answer.puts + answer.extends]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= set(jobs)
    for pool, answer in zip(pools, answers, strict=True):
        lanes = list(pool.lanes)
        for lane in answer.takes:
            occupant = lanes[lane]
            assert occupant is not None
            if occupant.is_training:
                in_lanes = {o.run for view in pools for o in view.lanes if o is not None}
                served = in_lanes | {job.run for job in given_out}
                assert {job.run for job in jobs} <= served, "shared only when no job waits"
            lanes[lane] = None
        program = pool.setup
        if answer.loads is not None:
            assert not any(lanes)
            program, lanes = answer.loads, [None] * LANES
        for lane, job in answer.extends:
            assert lanes[lane] == LaneView(job.run, is_training=False)
        for lane, job in answer.puts:
            assert lanes[lane] is None
            assert programs[job.run] == program
            lanes[lane] = LaneView(job.run, is_training=True)


@given(st.integers(0, 10_000), st.integers(1, 4), st.text("ABC", min_size=1, max_size=40))
def test_every_job_runs_and_a_replay_is_equal(seed: int, count: int, programs: str) -> None:
    def history() -> list[list[Assignment]]:
        rng = random.Random(seed)
        pools = [PoolView(None)] * count
        waiting = _starts(*range(len(programs)))
        answers = []
        while waiting or any(o for pool in pools for o in pool.lanes):
            answers.append(_assign(pools, waiting, programs))
            started = {job.run for answer in answers[-1] for _, job in answer.puts}
            waiting = [job for job in waiting if job.run not in started]
            for pool, answer in zip(pools, answers[-1], strict=True):
                moved = [o.run for n in answer.takes if (o := pool.lanes[n]) is not None]
                waiting += _starts(*moved)
            pools = [
                _after(pool, answer, rng) for pool, answer in zip(pools, answers[-1], strict=True)
            ]
        return answers

    answers = history()
    ran = {job.run for round_ in answers for answer in round_ for _, job in answer.puts}
    assert ran == set(range(len(programs)))
    assert history() == answers


def _after(pool: PoolView, answer: Assignment, rng: random.Random) -> PoolView:
    """The pool some time later: some of its trials have ended."""
    lanes = list(pool.lanes) if answer.loads is None else [None] * LANES
    for lane in answer.takes if answer.loads is None else ():
        lanes[lane] = None
    for lane, job in answer.puts:
        lanes[lane] = LaneView(job.run, is_training=True)
    ended = [None if rng.random() < 0.5 else occupant for occupant in lanes]
    return PoolView(pool.setup if answer.loads is None else answer.loads, tuple(ended))
