"""Numbers, times, hparams, curves and bars as reports write them."""

import math

import pytest

from hpo.report.wording import (
    bar,
    clock_text,
    hparams_text,
    number_text,
    scheduler_text,
    search_text,
    seconds_text,
    short_names,
    sparkline,
    speed_text,
    states_text,
)
from hpo.spec.sections.pruner import MedianPruner
from hpo.spec.sections.scheduler import Hyperband, OptunaPruner
from hpo.trial import TrialState


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98888, "0.9889"),
        (0.0, "0.0000"),
        (54.12, "54.1200"),
        (1e-5, "1e-05"),
        (123456.0, "1.235e+05"),
        (float("nan"), "-"),
        (None, "-"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text", "clock"),
    [
        (0.44, "0.4 s", "0:00"),
        (9.96, "10 s", "0:09"),
        (200, "3 min 20 s", "3:20"),
        (120, "2 min", "2:00"),
        (7500, "2 h 5 min", "2:05:00"),
    ],
)
def test_times_are_shown_in_words_and_by_the_clock(seconds, text, clock):
    assert (seconds_text(seconds), clock_text(seconds)) == (text, clock)


def test_names_are_as_short_as_they_stay_distinct():
    paths = ["model.dropout", "optimizer.name", "model.name", "optimizer.schedule.name", "model"]
    assert list(short_names(paths).values()) == [
        "dropout",
        "optimizer.name",
        "model.name",
        "schedule.name",
        "model",
    ]


def test_hparams_are_shown_in_one_line():
    hparams = {
        "model.widths": [64, 64],
        "optimizer.learning_rate": 0.0387751,
        "model.activation": "relu",
        "optimizer.nesterov": True,
    }
    assert (
        hparams_text(hparams)
        == "widths=[64, 64] learning_rate=0.03878 activation=relu nesterov=true"
    )


def test_states_are_shown_in_the_order_of_a_trials_life():
    states = {TrialState.DIVERGED: 1, TrialState.COMPLETE: 1200, TrialState.RUNNING: 8}
    assert states_text(states) == "8 running, 1,200 complete, 1 diverged"
    assert states_text({}) == "none yet"


@pytest.mark.parametrize(
    ("epochs_a_second", "text"),
    [
        (1234.5, "1,234 epochs/s"),
        (146.2, "146 epochs/s"),
        (3.21, "3.2 epochs/s"),
        (0.04, "25 s an epoch"),
    ],
)
def test_a_speed_is_shown_by_the_epoch_where_epochs_are_long(epochs_a_second, text):
    assert speed_text(epochs_a_second, is_at_once=False) == text


def test_a_pruner_is_shown_by_its_own_name():
    pruner = MedianPruner(name="median")
    assert scheduler_text(OptunaPruner(name="optuna", pruner=pruner)) == "optuna (median)"
    assert scheduler_text(Hyperband(name="hyperband")) == "hyperband"


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("epochs", "tpe sampler, hyperband scheduler"),
        ("share", "tpe sampler, hyperband scheduler, by shares of the rows"),
        ("size", "tpe sampler, hyperband scheduler, by sizes of images"),
    ],
)
def test_a_search_is_told_by_its_sampler_its_scheduler_and_what_rungs_are_of(budget, told):
    assert search_text("tpe", scheduler_text(Hyperband(name="hyperband", budget=budget))) == told


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0, 8.0], "▁█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([0.5, 0.5], "▄▄"),  # neither low nor high
        ([0.0, math.nan, 1.0], "▁ █"),
        ([math.inf], " "),
    ],
)
def test_a_curve_is_a_block_for_each_value(values, line):
    assert sparkline(values) == line


def test_a_long_curve_is_cut_into_stretches_of_equal_length():
    assert sparkline([0, 0, 4, 4, 8, 8], width=3) == "▁▅█"
    assert len(sparkline(range(1000), width=40)) == 40


@pytest.mark.parametrize(
    ("share", "blocks"), [(0, ""), (1, "████"), (0.5, "██"), (0.28125, "█▏"), (2, "████")]
)
def test_a_bar_is_as_long_as_its_share(share, blocks):
    assert bar(share, width=4) == blocks
