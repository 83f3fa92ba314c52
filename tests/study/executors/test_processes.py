"""Trials as processes: results, faults, limits, pauses, and nothing left behind."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import HpoError
from hpo.study.executors.messages import (
    Clear,
    DataReference,
    Extend,
    Failed,
    Load,
    Put,
    State,
    Take,
    Taken,
)
from hpo.study.executors.processes import ProcessExecutor, folder_of
from hpo.trial import Run
from tests.study.executors.scripts import TRAINS, launch, launch_words, settings

EPOCHS = 4
LOAD: Any = Load("script", Plans(Plan("map", 8)), DataReference(None, ""))  # type: ignore[arg-type]


class Talk:
    """An executor with one script, its messages by run, and what it said to the user."""

    def __init__(self, folder: Path, script: str | list[str], epochs: int, **parts: Any) -> None:
        self.folder, self.said, self.states = folder, [], []
        self.curves: dict[Run, dict[int, float]] = {}

        def started(put: Put, _: Load) -> Any:
            here = folder / put.run.key
            if isinstance(script, list):
                return launch_words(here, script, epochs, {})
            return launch(here, script, epochs)

        self.executor = ProcessExecutor(settings(folder, **parts), started, self.said.append)
        self.executor.send(0, [LOAD])

    def put(self, trial: int = 0, to_epoch: int = EPOCHS, state: State | None = None) -> None:
        training: Any = None
        put = Put(trial, Run(trial), training, np.zeros(0), state, to_epoch)
        self.executor.send(0, [put])

    def hear(self, is_enough: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not is_enough():
            assert time.monotonic() < until, (self.curves, self.said, self.logs())
            for message in self.executor.receive(0.05):
                for report in getattr(message, "reports", ()):
                    curve = self.curves.setdefault(report.run, {})
                    assert report.epoch not in curve
                    curve[report.epoch] = report.metrics["loss"]
                if isinstance(message, Taken):
                    self.states += message.states

    def curve(self, trial: int = 0, epochs: int = EPOCHS) -> list[float]:
        """The curve of a trial, once it has `epochs` of them."""
        self.hear(lambda: len(self.curves.get(Run(trial), ())) >= epochs)
        return [*self.curves[Run(trial)].values()]

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("*/log.txt")))


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    opened: list[Talk] = []

    def start(script: str | list[str], epochs: int = EPOCHS, **parts: Any) -> Talk:
        opened.append(Talk(tmp_path / "trials", script, epochs, **parts))
        return opened[-1]

    yield start
    for one in opened:
        one.executor.close()


def failed(one: Talk) -> str:
    """What is said about trial 0, which has failed with no number."""
    (value,) = one.curve(epochs=1)
    assert math.isnan(value)
    (sentence,) = one.said
    return sentence


def test_a_script_reports_each_epoch_and_its_seconds(talk):
    one = talk(TRAINS)
    one.put()
    assert one.curve() == [0.1, 0.2, 0.3, 0.4]


def test_results_may_be_written_to_a_file(talk):
    one = talk("""for e in 1 2 3 4; do echo '{"loss": 0.'$e'}' >> reported.jsonl; done""")
    one.put()
    assert one.curve() == [0.1, 0.2, 0.3, 0.4]


def test_a_script_at_its_rung_waits_and_is_extended(talk):
    one = talk(TRAINS + "echo $e > ended; sleep 0.05")
    one.put(to_epoch=1)
    assert one.curve(epochs=1) == [0.1]
    one.executor.send(0, [Extend(0, 3)])
    assert one.curve(epochs=3) == [0.1, 0.2, 0.3]


def test_a_script_with_a_checkpoint_goes_on_after_a_pause(talk):
    one = talk("echo begun >> begun;" + TRAINS.replace("e=$((e+1))", "sleep 0.05; e=$((e+1))"))
    one.put(to_epoch=2)
    one.curve(epochs=2)
    one.executor.send(0, [Take(0)])
    one.hear(lambda: bool(one.states))
    (state,) = one.states
    assert (state.run, state.epoch) == (Run(0), 2)
    assert folder_of(state) == str(one.folder / "0")
    one.put(state=state)
    assert one.curve() == [0.1, 0.2, 0.3, 0.4]
    assert one.said == []


def test_a_script_without_a_checkpoint_starts_again_and_this_is_said_once(talk):
    one = talk("for e in 1 2 3 4; do echo loss=0.$e; sleep 0.1; done")
    for trial in (0, 1):
        one.put(trial, to_epoch=2)
        one.curve(trial, epochs=2)
        one.executor.send(0, [Take(trial)])
    one.hear(lambda: len(one.states) == 2)
    (sentence,) = one.said
    assert "pauses without a checkpoint" in sentence
    assert "$HPO_CHECKPOINT_DIR" in sentence
    one.put(0, state=next(state for state in one.states if state.run == Run(0)))
    assert one.curve() == [0.1, 0.2, 0.3, 0.4]


def test_a_script_is_asked_to_end_and_may_save_what_it_has(talk):
    script = "trap 'echo saved > $HPO_CHECKPOINT_DIR/s; exit' TERM; echo loss=1; sleep 60 & wait"
    one = talk(script)
    one.put(to_epoch=1)
    one.curve(epochs=1)
    one.executor.send(0, [Take(0)])
    one.hear(lambda: bool(one.states))
    assert (one.folder / "0" / "checkpoint" / "s").read_text() == "saved\n"


def test_a_script_that_does_not_end_when_asked_is_killed(talk):
    one = talk("trap '' TERM; echo loss=1; while true; do sleep 0.1; done", grace=0.2)
    one.put(to_epoch=1)
    one.curve(epochs=1)
    one.executor.send(0, [Take(0)])
    one.hear(lambda: bool(one.states))
    assert "was ended by SIGKILL" in one.logs()


def test_a_lane_takes_its_next_trial_once_the_last_one_has_ended(talk):
    one = talk(
        "trap 'sleep 0.2; echo late >> ../order; exit' TERM; echo begins >> ../order; "
        "echo loss=1; sleep 60 & wait"
    )
    one.put(to_epoch=1)
    one.curve(epochs=1)
    training: Any = None
    again = Put(0, Run(5), training, np.zeros(0), None, 1)
    one.executor.send(0, [Clear(0), again])
    one.curve(5, epochs=1)
    assert (one.folder / "order").read_text().split() == ["begins", "late", "begins"]


FAULTS = {
    "echo oh no; exit 3": "Trial 0 failed: exited with status 3: oh no.",
    "kill -SEGV $$": "Trial 0 failed: was ended by SIGSEGV.",
    "echo done": (
        "Trial 0 failed: ended without a result: let it print a line such as loss=0.31: done."
    ),
    "echo loss=1; sleep 0.05; exit 1": "Trial 0 failed: exited with status 1: loss=1.",
}


def test_a_typo_in_the_metric_is_told_with_the_name_that_the_script_reports(talk):
    one = talk("echo epoch=1 val_acc=0.5 val_losses=0.3")
    one.put()
    one.curve(epochs=1)
    assert one.said[0] == (
        "Trial 0 failed: ended without a result for loss. Did you mean val_losses? It reported "
        "val_acc, val_losses."
    )


def failing(talk, script: str, **parts: Any) -> list[str]:
    """Why a search ends whose trials run this script, the first one before five others."""
    one = talk(script, **parts)
    ends: list[str] = []
    until = time.monotonic() + 20
    one.put()
    while len(one.curves) < 6 and not ends:
        if len(one.curves) == 1:
            for trial in range(1, 6):
                one.put(trial)
        assert time.monotonic() < until, (one.curves, one.said)
        for message in one.executor.receive(0.05):
            ends += [str(message.error)] if isinstance(message, Failed) else []
            for report in getattr(message, "reports", ()):
                one.curves.setdefault(report.run, {})[report.epoch] = report.metrics["loss"]
    return ends


def test_a_search_stops_once_its_first_trials_have_all_failed_in_the_same_way(talk):
    (end,) = failing(talk, "echo no module named torch $$; exit 1")
    assert end.startswith("the first 5 trials all failed, the last one so: it exited with status")
    assert end.endswith("start over with --new; hpo logs STUDY TRIAL shows the output.")


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("[ -e ../was ] || echo loss=1; : > ../was; exit 1", {}),  # one has a result
        ("[ -e ../was ] || { : > ../was; exit 2; }; exit 1", {}),  # one fails in another way
        ("sleep 9", {"time_limit": 0.1}),  # values may decide how long a trial takes
    ],
)
def test_trials_that_fail_in_several_ways_or_by_a_limit_do_not_stop_a_search(talk, script, parts):
    assert failing(talk, script, **parts) == []


@pytest.mark.parametrize("script", list(FAULTS)[:3])
def test_a_script_that_fails_costs_one_trial_and_a_sentence(talk, script):
    one = talk(script)
    one.put()
    assert failed(one) == FAULTS[script]


def test_a_script_that_fails_later_keeps_what_it_has_reported(talk):
    script = list(FAULTS)[3]
    one = talk(script)
    one.put()
    first, second = one.curve(epochs=2)
    assert first == 1.0
    assert math.isnan(second)
    assert one.said == [FAULTS[script]]


def test_a_program_that_is_missing_costs_one_trial_and_a_sentence(talk):
    one = talk(["./missing"])
    one.put()
    assert failed(one).startswith("Trial 0 failed: cannot be started: No such file or directory")


def test_a_number_that_is_none_is_reported_as_it_is(talk):
    one = talk("echo loss=nan; sleep 60")
    one.put()
    (value,) = one.curve(epochs=1)
    assert math.isnan(value)
    assert one.said == []


def test_a_trial_may_not_run_for_longer_than_its_limit(talk):
    one = talk("sleep 60", time_limit=0.2)
    one.put()
    text = "Trial 0 failed: ran for longer than command.time_limit (0.2 s)."
    assert failed(one) == text


def test_a_trial_may_not_use_more_memory_than_its_limit(talk):
    uses = "python3 -c 'x = bytearray(200_000_000); import time; time.sleep(60)'"
    one = talk(uses, memory_limit=100 * 2**20)
    one.put()
    assert failed(one).endswith("above command.memory_limit (100 MiB).")


def test_the_last_result_of_a_script_that_ends_early_stands_to_the_end(talk):
    one = talk("echo loss=0.5; echo loss=0.25")
    one.put()
    assert one.curve() == [0.5, 0.25, 0.25, 0.25]


def test_a_process_that_clears_its_environment_does_not_outlive_the_study(talk, tmp_path):
    one = talk("setsid env -i sh -c 'echo $$ > pid; exec sleep 60' & sleep 0.1; echo loss=1", 1)
    one.put(to_epoch=1)
    one.curve(epochs=1)
    one.executor.close()
    (pid,) = (int(path.read_text()) for path in tmp_path.glob("**/pid"))
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("apart", ["", "setsid "])
def test_a_process_that_a_script_leaves_behind_changes_no_result_after_its_end(talk, apart):
    late = """while :; do echo '{"epoch": 2, "loss": 9}' >> reported.jsonl; sleep 0.02; done"""
    left = f"{apart}sh -c {shlex.quote(late)} >&- 2>&- & echo $! > pid"
    one = talk(f"""{left}; echo '{{"epoch": 1, "loss": 0.5}}' > reported.jsonl; : > begun""")
    one.put(to_epoch=2)
    early = one.curve(epochs=2)
    one.hear(lambda: "exited with status 0" in one.logs())
    reported = (one.folder / "0" / "reported.jsonl").read_text()
    one.executor.send(0, [Extend(0, EPOCHS)])
    # What the script itself had not reported by its end stands at its last result.
    assert one.curve() == [*early, early[-1], early[-1]]
    assert early[0] == 0.5
    assert (one.folder / "0" / "reported.jsonl").read_text() == reported


def test_an_epoch_that_is_reported_twice_is_said_once(talk):
    script = "echo epoch=1 loss=0.9; echo epoch=1 loss=0.1; echo epoch=2 loss=0.8"
    one = talk(f"{script}; echo epoch=2 loss=0.2; sleep 0.3", 2)
    one.put(to_epoch=2)
    one.put(1, to_epoch=2)
    assert one.curve(epochs=2) == one.curve(1, epochs=2) == [0.9, 0.8]
    one.hear(lambda: bool(one.said))
    assert one.said == [
        "Trial 0: epoch 1 is reported again: its first value stands. Report each epoch once, or "
        "name the line that counts by command.results.pattern."
    ]


def test_a_script_whose_epochs_are_all_too_far_is_told_to_train_for_longer(talk):
    one = talk("echo epoch=250 loss=0.5")
    one.put()
    assert failed(one) == (
        "Trial 0 failed: ended without a result: epoch 250 is beyond the last one (4): make "
        "train.epochs that many."
    )


def test_a_script_whose_lines_do_not_show_the_metric_needs_a_pattern(talk):
    one = talk("echo rate=3; echo step 250: the loss 2.1")
    one.put()
    assert failed(one) == (
        "Trial 0 failed: ended without a result for loss: it reported rate; "
        "command.results.pattern finds any line."
    )


def test_epochs_that_are_repeated_or_too_far_do_not_count(talk):
    one = talk("for e in 1 1 2 3 4 5 9; do echo epoch=$e loss=0.$e; done; sleep 0.1; echo loss=8")
    one.put()
    assert one.curve() == [0.1, 0.2, 0.3, 0.4]
    one.executor.send(0, [Clear(0)])
    one.executor.close()
    assert "epoch 1 is reported again" in one.logs()
    assert "epoch 9 is beyond the last one (4)" in one.logs()


def test_a_script_may_print_a_great_deal(talk):
    one = talk("yes | head -c 30000000; echo; echo loss=0.5; yes | head -c 30000000", 1)
    one.put(to_epoch=1)
    assert one.curve(epochs=1) == [0.5]
    one.executor.send(0, [Clear(0)])
    one.executor.close()
    assert 10**6 < len(one.logs()) < 2 * 10**6


def test_results_that_a_killed_study_had_not_stored_are_not_trained_again(talk, tmp_path):
    one = talk("echo begun >> begun;" + TRAINS)
    one.put(to_epoch=2)
    one.curve(epochs=2)
    one.hear(lambda: "exited with status 0" in one.logs())
    one.executor.close()
    two = talk("exit 1")
    two.put()
    assert two.curve() == [0.1, 0.2, 0.3, 0.4]
    assert (tmp_path / "trials" / "0" / "begun").read_text() == "begun\n"


@pytest.mark.long
def test_a_driver_that_is_killed_leaves_no_process_behind(tmp_path):
    code = f"""
from tests.study.executors.test_processes import Talk
from pathlib import Path
one = Talk(Path({str(tmp_path)!r}), "setsid sh -c 'echo $$ > pid; exec sleep 60' & sleep 60", 4)
for trial in range(3):
    one.put(trial)
one.hear(lambda: len(list(Path({str(tmp_path)!r}).glob("*/pid"))) == 3)
print("ready", flush=True)
one.hear(lambda: False)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"ready\n"
    pids = [int(path.read_text()) for path in tmp_path.glob("*/pid")]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_supervisor_that_is_killed_ends_the_study_with_a_sentence(talk):
    one = talk("sleep 60")
    one.put()
    one.executor.receive(0.1)
    os.kill(one.executor._process.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    errors: list[Any] = []
    while not errors and time.monotonic() < until:
        errors = [m.error for m in one.executor.receive(0.05) if hasattr(m, "error")]
    with pytest.raises(HpoError, match="the process that watches the commands has ended"):
        raise errors[0]
