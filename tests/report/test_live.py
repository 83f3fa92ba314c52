"""What a user sees while a study runs."""

from io import StringIO

import pytest
from rich.console import Console

from hpo.report import live
from hpo.report.live import LineDisplay, LiveDisplay, display_for, progress_line, progress_view
from hpo.spec.sections.goal import Objective
from hpo.study.progress import Progress
from hpo.trial import Trial, TrialState

BEST = Trial(
    7, {"model.widths": [64], "optimizer.learning_rate": 0.01}, TrialState.COMPLETE, (-0.9,)
)


def progress(**changes):
    values = {
        "study": "digits",
        "metric": "accuracy",
        "trials": 80,
        "states": {TrialState.RUNNING: 8, TrialState.COMPLETE: 2},
        "epochs": 237,
        "epochs_total": 474,
        "epochs_are_bound": False,
        "epochs_a_second": 79.0,
        "programs": 3,
        "seconds": 12.0,
        "best": BEST,
        "leader": BEST,
        **changes,
    }
    return Progress(**values)


def drawn(view, width=80):
    console = Console(file=StringIO(), width=width)
    console.print(view)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def console(**options):
    return Console(file=StringIO(), width=200, **options)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_progress_fits_eighty_columns():
    bar, *lines = drawn(progress_view(progress(), sign=-1))

    assert bar.startswith("digits ━")
    assert bar.endswith("50%  237 of 474 epochs")
    assert lines == [
        "accuracy  0.9000  trial 7  widths=[64] learning_rate=0.01",
        "trials    10 of 80  8 running  2 complete",
        "speed     79.0 epochs/s  3 programs  0:12 elapsed  0:03 left",
    ]


def test_hparams_that_do_not_fit_beside_the_best_trial_stand_whole_below_it():
    hparams = {f"model.leaf_{n}": 0.123456 for n in range(6)} | {"model.act": "x" * 90}
    best = Trial(7, hparams, losses=(-0.9,))

    lines = drawn(progress_view(progress(best=best), sign=-1))

    assert lines[1] == "accuracy  0.9000  trial 7"
    assert lines[2:6] == [
        "          leaf_0=0.1235 leaf_1=0.1235 leaf_2=0.1235 leaf_3=0.1235 leaf_4=0.1235",
        "          leaf_5=0.1235",
        f"          act={'x' * 66}",
        f"          {'x' * 24}",
    ]
    assert [line.split()[0] for line in lines[6:]] == ["trials", "speed"]


def test_a_run_that_stops_says_what_it_waits_for():
    lines = drawn(progress_view(progress(is_stopping=True), sign=-1))
    assert lines[-1] == "speed     stopping: waiting for this round to end ...  0:12"


def test_the_clock_of_the_live_display_moves_while_a_study_decides(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    out = Console(file=StringIO(), width=80)
    display = LiveDisplay(out, -1)
    display.watch(progress(seconds=12.0))
    now[0] += 5
    out.print(display._render())
    assert "0:17 elapsed" in out.file.getvalue()


def test_before_the_first_epoch_it_says_that_it_compiles():
    view = progress_view(
        progress(best=None, leader=None, epochs=0, epochs_a_second=0, seconds=3), sign=-1
    )
    _, best, _, speed = drawn(view)

    assert (best, speed) == ("accuracy  -", "speed     compiling ...  0:03")


def test_where_all_trials_diverge_it_does_not_say_that_it_compiles():
    lost = progress(
        best=None, leader=None, epochs=0, epochs_a_second=0, states={TrialState.DIVERGED: 3}
    )
    assert drawn(progress_view(lost, sign=-1))[-1] == "speed     no epoch finished yet ...  0:12"
    assert progress_line(lost, sign=-1).endswith("; 3 diverged; no epoch finished yet")


def test_the_time_left_is_shown_once_there_is_a_pace():
    assert "left" not in drawn(progress_view(progress(epochs=20), sign=-1))[-1]
    assert "left" in drawn(progress_view(progress(epochs=30), sign=-1))[-1]


def test_where_the_epochs_are_not_known_the_bar_counts_trials_that_have_ended():
    bar, *_ = drawn(progress_view(progress(epochs_are_bound=True), sign=-1))
    assert bar.endswith("2%  2 of 80 trials")


def test_until_a_trial_is_complete_the_leading_one_is_shown_with_its_epochs():
    _, best, *_ = drawn(progress_view(progress(best=None), sign=-1))
    assert best.startswith("accuracy  0.9000  trial 7 after 1 epoch  widths")


def test_progress_in_a_line_has_no_colours():
    assert progress_line(progress(), sign=-1) == (
        "0:12  237 of 474 epochs; 8 running, 2 complete; best accuracy 0.9000 (trial 7); "
        "79.0 epochs/s"
    )


@pytest.mark.parametrize(
    ("options", "kind"), [({"force_terminal": True}, LiveDisplay), ({}, LineDisplay)]
)
def test_only_a_terminal_gets_the_live_display(monkeypatch, options, kind):
    monkeypatch.setenv("TERM", "xterm")
    objective = Objective(maximize="accuracy")
    assert isinstance(display_for(console(**options), objective), kind)
    quiet = display_for(console(**options), objective, is_quiet=True)
    assert isinstance(quiet, LineDisplay)


def test_lines_come_with_a_better_trial_and_every_ten_seconds():
    clock, out = Clock(), console()
    display = LineDisplay(out, -1, clock=clock)
    for now, best in [(0, None), (0.5, BEST), (1.5, BEST), (5, BEST), (11.6, BEST), (12, BEST)]:
        clock.now = now
        display.watch(progress(best=best, seconds=now))

    lines = out.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["digits:", "0:01", "0:11"]
    assert "\x1b" not in out.file.getvalue()


def test_lines_grow_rarer_in_a_long_study():
    clock, out = Clock(), console()
    display = LineDisplay(out, -1, clock=clock)
    for now in range(3600):
        clock.now = now
        display.watch(progress(best=None))

    assert 40 < len(out.file.getvalue().splitlines()) < 100


def test_quiet_shows_only_messages():
    out = console()
    display = LineDisplay(out, -1, is_quiet=True)
    display.watch(progress())
    display.say("Resuming: 8 of 80 trials have been started.")

    assert out.file.getvalue() == "Resuming: 8 of 80 trials have been started.\n"


def test_the_live_display_leaves_nothing_but_what_was_said():
    out = Console(file=StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    with LiveDisplay(out, -1) as display:
        display.watch(progress())
        display.say("Stopping after this round.")

    after = out.file.getvalue().rpartition("Stopping after this round.")[2]
    assert after.endswith("\x1b[2K")  # the display's last line is erased
    assert "\x1b[?25h" in after  # and the cursor is back


def test_colours_are_left_out_if_asked(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = Console(file=StringIO(), width=80, force_terminal=True)
    out.print(progress_view(progress(), -1))
    assert "\x1b[3" not in out.file.getvalue()
