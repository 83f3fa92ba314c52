"""A command as a process group: all of it ends, and its log is kept within bounds."""

import os
import time
from pathlib import Path

import pytest

from hpo.study.executors.process_group import Log, ProcessGroup, resident_bytes
from hpo.study.executors.staying import Waiting


@pytest.fixture(autouse=True)
def _no_fork(monkeypatch):
    """JAX warns of forks, and may be in use by other tests; a supervisor does not import it."""
    monkeypatch.setattr("hpo.study.executors.process_group._begin", None)


def a_group(tmp_path, script, log_limit=10**6):
    launch = {
        "argv": ["sh", "-c", script],
        "shown": script,
        "cwd": str(tmp_path),
        "folder": str(tmp_path),
        "env": {"HPO_FOLDER": str(tmp_path)},
        "stays": (),
    }
    return ProcessGroup(launch, log_limit, Waiting())


def run(group):
    """Its output, once the command itself has ended."""
    _, status = os.waitpid(group.pid, 0)
    group.reaped(status)
    output = b"".join(group.read())
    group.close()
    return output


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(is_true):
    until = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)


def test_output_and_errors_go_to_the_log_and_the_status_is_known(tmp_path):
    group = a_group(tmp_path, "echo one; echo two >&2; exit 3")
    assert run(group) == b"one\ntwo\n"
    assert group.exit_code == 3
    log = (tmp_path / "log.txt").read_text()
    assert log == "[hpo] starts: echo one; echo two >&2; exit 3\none\ntwo\n"


@pytest.mark.parametrize("how", ["sleep 60 &", "setsid sleep 60 & sleep 0.1;"])
def test_what_a_command_leaves_behind_is_killed_in_other_sessions_too(tmp_path, how):
    group = a_group(tmp_path, f"{how} echo $! > pid")
    run(group)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid))


def test_a_frozen_command_does_nothing_until_it_is_thawed(tmp_path):
    group = a_group(tmp_path, "while [ ! -e go ]; do sleep 0.01; done; echo went")
    group.freeze()
    (tmp_path / "go").touch()
    assert os.waitpid(group.pid, os.WNOHANG) == (0, 0)
    group.thaw()
    assert run(group) == b"went\n"


def test_memory_is_counted_over_all_processes_of_a_command(tmp_path):
    holds = "x = bytearray(30_000_000); import time; time.sleep(60)"
    group = a_group(tmp_path, f"python3 -c '{holds}' & python3 -c '{holds}'")
    wait_until(lambda: resident_bytes()[group.pid] > 60_000_000)
    group.signal(9)
    run(group)


def test_a_command_that_is_not_there_is_an_error_of_the_system(tmp_path):
    launch = {"argv": ["./missing"], "shown": "", "cwd": str(tmp_path), "env": {}, "stays": ()}
    with pytest.raises(FileNotFoundError):
        ProcessGroup({**launch, "folder": str(tmp_path)}, 100, Waiting())


def test_a_log_keeps_the_start_and_the_end_of_a_long_output(tmp_path):
    log = Log(tmp_path / "log.txt", 10)
    for _ in range(100):
        log.write(b"x" * 10_000)
    log.write(b"the end\n")
    assert log.last_line.endswith("the end")
    log.close()
    content = (tmp_path / "log.txt").read_text()
    assert content.startswith("x" * 10 + "\n[hpo] 983,614 bytes of output are not kept")
    assert content.endswith("the end\n")
    assert len(content) < 20_000
