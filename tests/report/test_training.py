"""What `hpo train` shows."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from hpo.engine.pools.occupant import EpochReport
from hpo.report.training import EpochDisplay, trained_view
from hpo.trained.save import Trained


def test_the_metrics_of_each_split_are_shown():
    curve = tuple(EpochReport(0, e, {"loss": 1 / e, "accuracy": 0.9}) for e in (1, 2))
    metrics = {"validation": curve[-1].metrics, "test": {"loss": 0.25}}
    console = Console(file=StringIO(), width=80)
    console.print(trained_view("digits", Trained(metrics, curve, 2.5), Path("model")))

    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == [
        "digits  trained: 2 epochs in 2.5 s",
        "                loss  accuracy",
        "  validation  0.5000    0.9000",
        "  test        0.2500         -",
        "  validation loss  █▁",
        "",
        "  model/ holds weights, metrics.json and spec.yaml.",
    ]


def test_the_temperature_is_told_with_the_calibration_error_on_test():
    errors = {"validation": {"raw": 0.2, "tempered": 0.1}, "test": {"raw": 0.3, "tempered": 0.25}}
    report = EpochReport(0, 1, {"loss": 1.5})
    metrics = {"validation": report.metrics, "test": None}
    trained = Trained(metrics, (report,), 2.5, temperature=1.5, calibration=errors)
    console = Console(file=StringIO(), width=80)
    console.print(trained_view("digits", trained, Path("model")))
    told = "temperature  1.5000: calibration error on test 0.2500, without it 0.3000"
    assert told in console.file.getvalue()


def test_the_deviation_among_seeds_is_shown():
    by_run = {
        seed: {"validation": {"loss": loss}, "test": None} for seed, loss in ((0, 1.0), (1, 2.0))
    }
    metrics = {"validation": {"loss": 1.5}, "test": None}
    console = Console(file=StringIO(), width=80)
    deviations = {"validation": {"loss": 0.5}, "test": None}
    trained = Trained(metrics, (EpochReport(0, 1, {"loss": 1.5}),), 2.5, by_run, deviations)
    console.print(trained_view("digits", trained, Path("model")))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["validation", "1.5000"] in lines
    assert ["±", "among", "seeds", "0.5000"] in lines


def test_a_training_without_a_terminal_prints_its_messages():
    console = Console(file=StringIO(), width=80)
    with EpochDisplay(console, "digits", 2, is_quiet=False) as display:
        display.watch(EpochReport(0, 1, {"loss": 0.5}))
        display.say("Stopping after this round.")

    assert console.file.getvalue() == "Stopping after this round.\n"


def test_a_terminal_shows_the_epoch_and_its_metrics():
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with EpochDisplay(console, "digits", 2, is_quiet=False) as display:
        display.watch(EpochReport(0, 1, {"loss": 0.5}))

    assert "1 of 2 epochs" in console.file.getvalue()
    assert "loss 0.5000" in console.file.getvalue()
