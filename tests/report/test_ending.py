"""What a run prints at its end."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from hpo.report.ending import ending_view, next_commands
from hpo.spec.sections.goal import Objective
from hpo.spec.sections.search import SearchSpec
from hpo.study.log.baseline import Baseline
from hpo.study.log.untrained import Miss, Untrained
from hpo.study.progress import Outcome, Progress
from hpo.trial import Trial, TrialState

STORAGE = "sqlite:///hpo.db"
BEST = Trial(7, {"model.widths": [64]}, TrialState.COMPLETE, (-0.5, -0.9))
SEARCH = SearchSpec(objective=Objective(maximize="accuracy"), trials=9, timeout=600)


def outcome(reason, best=BEST, leader=BEST, set_aside=None, speed=6.0):
    states = {TrialState.COMPLETE: 2, TrialState.DIVERGED: 1}
    figures = (9, states, 12, 18, False, speed, 3, 2.0)
    return Outcome(reason, Progress("digits", "accuracy", *figures, best, leader), set_aside)


def drawn(view):
    console = Console(file=StringIO(), width=100)
    console.print(view)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_run_ends_with_its_winner_and_the_next_commands():
    assert drawn(ending_view(outcome("finished"), SEARCH, STORAGE)) == [
        "digits  finished",
        "  trials  3 of 9:  2 complete  1 diverged",
        "  epochs  12",
        "  time    2.0 s in this run, 6.0 epochs/s, 3 programs compiled",
        "  noted   1 of 3 trials diverged: a metric became NaN or infinite, or their values "
        "cannot be trained",
        "",
        "  best accuracy  0.9000  trial 7 after 2 epochs",
        "    model.widths  [64]",
        "",
        "  hpo show digits",
        "  hpo export digits -o best.yaml",
    ]


def test_without_a_full_trial_the_leading_one_is_shown_and_no_export_is_suggested():
    view = drawn(ending_view(outcome("interrupted", best=None), SEARCH, STORAGE))

    assert "  leading accuracy  0.9000  trial 7 after 2 epochs" in view
    assert view[-2:] == ["  hpo resume digits", "  hpo show digits"]


def test_a_run_without_any_result_shows_no_trial():
    view = drawn(ending_view(outcome("interrupted", best=None, leader=None), SEARCH, STORAGE))
    assert not any("accuracy" in line for line in view)


def test_a_run_that_finished_no_epoch_has_no_speed():
    view = drawn(ending_view(outcome("finished", None, None, speed=0.0), SEARCH, STORAGE))
    assert "  time    2.0 s in this run, 3 programs compiled" in view


def test_a_command_with_one_result_a_trial_has_neither_epochs_nor_programs():
    ended = outcome("finished")
    ended = replace(ended, progress=replace(ended.progress, programs=None, is_at_once=True))
    assert drawn(ending_view(ended, SEARCH, STORAGE))[1:4] == [
        "  trials  3 of 9:  2 complete  1 diverged",
        "  time    2.0 s in this run, 6.0 trials/s",
        "  noted   1 of 3 trials failed or reported NaN: `hpo logs digits TRIAL` shows why",
    ]


def test_a_run_in_which_no_trial_diverged_does_not_mention_it():
    ended = outcome("finished")
    sound = replace(ended.progress, states={TrialState.COMPLETE: 2, TrialState.PRUNED: 1})
    view = drawn(ending_view(replace(ended, progress=sound), SEARCH, STORAGE))
    assert not any("diverged" in line for line in view)


def test_a_run_that_could_train_nothing_says_what_was_missed_and_what_to_do():
    misses = (Miss("parameters at most 3", "parameters", 1067.0),)
    ended = replace(outcome("finished", None, None), untrained=Untrained(12, 4, misses))
    assert " ".join(line.strip() for line in drawn(ending_view(ended, SEARCH, STORAGE))[6:9]) == (
        "No configuration (12 tried) kept the constraints before training, and the nearest, trial "
        "4, has 1,067 parameters (bound: parameters at most 3): loosen the bound or widen the "
        "space, and run `hpo search SPEC` again."
    )


def test_the_new_name_of_an_old_study_is_shown():
    view = drawn(ending_view(outcome("finished", set_aside="digits-1"), SEARCH, STORAGE))
    assert view[-1] == "  The old study is kept as digits-1."


@pytest.mark.parametrize(
    ("reason", "timeout", "first"),
    [
        ("interrupted", None, "hpo resume digits"),
        ("timeout", 600, "hpo resume digits --timeout 20m"),
        ("timeout", 45.2, "hpo resume digits --timeout 91s"),
        ("finished", None, "hpo show digits"),
        ("exhausted", None, "hpo show digits"),
        ("none_found", None, "hpo show digits"),
    ],
)
def test_the_first_command_continues_the_study(reason, timeout, first):
    assert next_commands(outcome(reason), STORAGE, timeout)[0] == first


def test_a_storage_of_its_own_is_named_without_its_password():
    commands = next_commands(outcome("finished"), "postgresql://me:secret@host/db?a=1", None)
    assert commands[0] == "hpo show digits --storage 'postgresql://me@host/db?a=1'"


BOOSTING = Baseline("boosting", "rate 0.1, 100 rounds", {"accuracy": 0.95}, {"accuracy": 0.5})
LINEAR = Baseline("linear", "penalty 1", {"accuracy": 0.85, "loss": 0.3}, rows=80, rows_of=1000)
CUT = (
    Baseline("forest", "leaves of 1", seconds=3.0),
    Baseline("linear", "penalty 100", seconds=3.0),
    Baseline("forest", "leaves of 5", seconds=3.0),
)


def test_baselines_stand_below_the_winner_the_best_one_first_without_their_test_scores():
    view = drawn(
        ending_view(
            replace(outcome("finished"), baselines=(*CUT, LINEAR, BOOSTING)), SEARCH, STORAGE
        )
    )

    start = view.index("    model.widths  [64]")
    assert view[start + 1 : -3] == [
        "",
        "  accuracy  baseline, untuned",
        "  ─────────────────────────────────────────────────",
        "    0.9500  boosting           rate 0.1, 100 rounds",
        "    0.8500  linear             penalty 1",
        "  boosting (rate 0.1, 100 rounds) is better than the best trial, without any tuning.",
        "  No time was left for forest (2), linear: `hpo resume digits`, or search.baselines: 5m.",
    ]


def test_a_winner_that_beats_the_baselines_gets_no_warning_and_few_rows_are_said():
    view = drawn(ending_view(replace(outcome("finished"), baselines=(LINEAR,)), SEARCH, STORAGE))

    assert not any("better than" in line for line in view)
    assert "  Baselines are fitted to 80 of 1,000 training rows." in view


def test_a_baseline_that_failed_says_why():
    failed = Baseline("linear", "penalty 1", trouble="its process ended with status -9")
    view = drawn(ending_view(replace(outcome("finished"), baselines=(failed,)), SEARCH, STORAGE))

    assert "  linear (penalty 1) failed: its process ended with status -9" in view
