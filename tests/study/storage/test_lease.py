import os
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from hpo.errors import StudyError
from hpo.study.log.events import Start, StudyState
from hpo.study.storage.lease import (
    AHEAD_SECONDS,
    EXPIRY_SECONDS,
    acquire,
    driver_of,
    process_start,
)
from hpo.study.storage.tables import LEASES


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def change(storage, **values):
    with storage.writing() as connection:
        connection.execute(sa.update(LEASES).values(**values))


def test_a_study_has_one_driver_at_a_time(storage, study):
    with acquire(storage, study.id), pytest.raises(StudyError) as error:
        acquire(storage, study.id)

    assert str(error.value).startswith(
        f"study 'digits' is being driven by process {os.getpid()} on {os.uname().nodename} since "
    )
    assert str(error.value).endswith(": wait for it, or stop it.")
    acquire(storage, study.id).release()


def test_two_studies_have_a_driver_each(storage, study):
    other = storage.create_study("iris", {}, 0, {}, "")

    with acquire(storage, study.id), acquire(storage, other.id):
        pass


def test_the_lease_of_a_process_that_is_gone_is_taken_over_at_once(storage, study):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    acquire(storage, study.id)
    change(storage, pid=gone.pid, process_start="boot/1")

    acquire(storage, study.id).release()


def test_the_lease_of_a_zombie_process_is_taken_over(storage, study):
    zombie = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    acquire(storage, study.id)
    change(storage, pid=zombie.pid, process_start=process_start(zombie.pid))
    with pytest.raises(StudyError, match=f"driven by process {zombie.pid} on"):
        acquire(storage, study.id)

    zombie.stdin.write(b"\n")
    zombie.stdin.close()
    zombie.stdout.close()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    acquire(storage, study.id).release()
    zombie.wait()
    assert process_start(zombie.pid) is None


def test_a_lease_that_is_taken_over_leaves_those_of_other_studies(storage, study):
    other = storage.create_study("iris", {}, 0, {}, "")
    with acquire(storage, study.id), acquire(storage, other.id) as kept:
        with storage.writing() as connection:
            gone = sa.update(LEASES).where(LEASES.c.study_id == study.id)
            connection.execute(gone.values(process_start="boot/1"))

        acquire(storage, study.id)

        with storage.reading() as connection:
            query = sa.select(LEASES.c.token).where(LEASES.c.study_id == other.id)
            assert connection.execute(query).scalars().all() == [kept.token]


def test_the_driver_of_a_study_is_named_while_it_drives(storage, study, clock):
    assert driver_of(storage, study.id, clock) is None
    with acquire(storage, study.id, clock):
        named = driver_of(storage, study.id, clock)
        assert named == f"process {os.getpid()} on {os.uname().nodename}"
        change(storage, host="elsewhere", pid=7)
        assert driver_of(storage, study.id, clock) == "process 7 on elsewhere"
        clock.now += EXPIRY_SECONDS
        assert driver_of(storage, study.id, clock) is None


@pytest.mark.skipif(not process_start(os.getpid()), reason="needs /proc")
def test_a_process_has_the_time_of_its_start_whatever_its_name(tmp_path):
    link = tmp_path / "a) Z 1 (b"
    link.symlink_to("/bin/sh")
    ticks = [os.sysconf("SC_CLK_TCK") * time.clock_gettime(time.CLOCK_BOOTTIME)]
    with subprocess.Popen([link, "-c", "read line"], stdin=subprocess.PIPE) as process:
        ticks.append(os.sysconf("SC_CLK_TCK") * time.clock_gettime(time.CLOCK_BOOTTIME))
        start = process_start(process.pid)
        process.stdin.write(b"\n")
    assert int(ticks[0]) <= int(start.rpartition("/")[2]) <= ticks[1] + 1


@pytest.mark.skipif(not process_start(os.getpid()), reason="needs /proc")
def test_a_process_number_given_to_a_new_process_does_not_hold_the_lease(storage, study):
    acquire(storage, study.id)
    change(storage, process_start="boot/1")

    acquire(storage, study.id).release()


def test_a_silent_driver_on_another_machine_loses_its_lease_after_a_minute(storage, study, clock):
    acquire(storage, study.id, clock)
    change(storage, host="elsewhere")

    clock.now += EXPIRY_SECONDS - 1
    with pytest.raises(StudyError, match="on elsewhere since"):
        acquire(storage, study.id, clock)

    clock.now += 2
    acquire(storage, study.id, clock).release()


def test_a_heartbeat_years_ahead_that_does_not_move_for_a_minute_holds_no_study(
    storage, study, clock
):
    lost = acquire(storage, study.id, clock)
    change(storage, host="elsewhere", pid=7, heartbeat_ms=9_999_999_999_999)
    said, slept = [], []

    taker = acquire(storage, study.id, clock, said.append, slept.append)

    assert sum(slept) == 60
    assert said == [
        "Process 7 on elsewhere held the study, by a clock far ahead of this one: watching for 60 s"
        " whether it still runs."
    ]
    clock.now += 6
    taker.renew()
    with pytest.raises(StudyError, match="another process has taken over"):
        lost.renew()


def test_a_heartbeat_years_ahead_that_moves_keeps_its_study(storage, study, clock):
    acquire(storage, study.id, clock)
    change(storage, host="elsewhere", heartbeat_ms=9_999_999_000_000)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if sum(slept) == 55:
            change(storage, heartbeat_ms=9_999_999_055_000)

    with pytest.raises(StudyError, match="on elsewhere since"):
        acquire(storage, study.id, clock, sleep=sleep)
    assert sum(slept) == 55


def test_a_clock_that_is_some_minutes_ahead_is_not_watched(storage, study, clock):
    acquire(storage, study.id, clock)
    change(storage, host="elsewhere", heartbeat_ms=int((clock.now + AHEAD_SECONDS) * 1000))

    with pytest.raises(StudyError, match="on elsewhere since"):
        acquire(storage, study.id, clock, sleep=lambda _: pytest.fail("it was watched"))

    clock.now += AHEAD_SECONDS + EXPIRY_SECONDS
    acquire(storage, study.id, clock).release()


def test_a_driver_that_renews_keeps_its_lease(storage, study, clock):
    lease = acquire(storage, study.id, clock)
    change(storage, host="elsewhere")

    clock.now += EXPIRY_SECONDS - 1
    lease.renew()
    clock.now += 2

    with pytest.raises(StudyError, match="on elsewhere since"):
        acquire(storage, study.id, clock)


def test_a_heartbeat_is_sent_every_five_seconds_at_most(storage, study, clock):
    lease = acquire(storage, study.id, clock)
    for seconds, is_sent in ((4.9, False), (0.1, True), (4.9, False), (0.1, True)):
        clock.now += seconds
        change(storage, heartbeat_ms=0)
        lease.renew()
        with storage.reading() as connection:
            sent = connection.execute(sa.select(LEASES.c.heartbeat_ms)).scalar_one()
        assert sent == (int(clock.now * 1000) if is_sent else 0)


def test_a_driver_whose_study_was_taken_over_cannot_go_on(storage, study, clock, goal):
    lost = acquire(storage, study.id, clock)
    change(storage, host="elsewhere")
    clock.now += EXPIRY_SECONDS + 1
    taker = acquire(storage, study.id, clock)
    event = StudyState(goal).record(Start({}), None, 0)

    with pytest.raises(StudyError, match="another process has taken over"):
        lost.renew()
    with pytest.raises(StudyError, match="another process has taken over"):
        storage.append(study.id, [event], lost.token)
    assert storage.events(study.id) == []

    lost.release()  # takes nothing from the new driver
    storage.append(study.id, [event], taker.token)


def test_one_of_several_processes_that_start_at_once_gets_the_lease(url, storage, study):
    code = (
        "import sys; from hpo.errors import StudyError;"
        "from hpo.study.storage.lease import acquire;"
        "from hpo.study.storage.tables import Storage\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n"
        f"    storage = Storage.create({url!r}); acquire(storage, {study.id}); print('won')\n"
        "except StudyError as error: print(error)\n"
        "sys.stdout.flush(); sys.stdin.readline()\n"
    )
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for driver in drivers:
        driver.stdout.readline()
    for driver in drivers:
        driver.stdin.write("\n")
        driver.stdin.flush()
    answers = [driver.stdout.readline().strip() for driver in drivers]
    for driver in drivers:
        driver.communicate("\n")

    assert answers.count("won") == 1
    assert sum("is being driven by process" in answer for answer in answers) == 2
