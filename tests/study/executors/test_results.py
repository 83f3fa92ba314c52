"""What counts as a result in the output of a command."""

import math

import pytest

from hpo.study.executors.results import Result, ResultReader


def read(text, metrics=("val_loss",), pattern=None):
    reader = ResultReader(metrics, pattern)
    return [*reader.feed(text.encode()), *reader.finish()]


@pytest.mark.parametrize(
    ("line", "named", "value"),
    [
        ("val_loss=0.31", None, 0.31),
        ("epoch 3/30: val_loss = 3.1e-1, acc 0.9", 3, 0.31),
        ("Epoch=7 val_loss: -2", 7, -2.0),
        ('{"epoch": 4, "val_loss": 0.31}', 4, 0.31),
        ("{'eval': 1, 'val_loss': 0.31, 'epoch': 2.0}", 2, 0.31),
        ("{'val_loss': .5, 'epoch': 1.5}", None, 0.5),
        ("val_loss=0.9 then val_loss=0.31", None, 0.31),
    ],
)
def test_a_line_reports_a_metric_and_the_epoch_that_it_names(line, named, value):
    assert read(f"{line}\n") == [Result(named, {"val_loss": value})]


@pytest.mark.parametrize(
    "line", ["loss=0.3", "best_val_loss=0.3", "val_loss=low", "val_loss", '{"val_loss": null}', ""]
)
def test_a_line_without_the_metric_is_no_result(line):
    assert read(f"{line}\n") == []


def test_a_metric_may_be_no_number():
    (nan, infinite) = read("val_loss=nan\nval_loss=-inf\n")
    assert math.isnan(nan.metrics["val_loss"])
    assert infinite.metrics["val_loss"] == -math.inf


def test_an_epoch_ends_once_every_metric_is_known():
    text = "epoch=1 val_loss=0.3\nval_loss=0.2\nacc=0.9\nacc=0.8\nepoch=2 val_loss=0.1\n"
    assert read(text, ("val_loss", "acc")) == [
        Result(1, {"val_loss": 0.2, "acc": 0.9}),
        Result(2, {"val_loss": 0.1, "acc": 0.8}),
    ]


def test_a_pattern_names_its_groups_after_metrics():
    pattern = r"^(?P<epoch>\d+)\|(?P<val_loss>\S+)$"
    assert read("3|0.25\nval_loss=9\n", pattern=pattern) == [Result(3, {"val_loss": 0.25})]


def test_output_may_come_in_any_pieces():
    reader = ResultReader(["val_loss"])
    text = b"epoch=1 val_loss=0.25\nepoch=2 val_loss=0.5"
    found = [result for i in range(len(text)) for result in reader.feed(text[i : i + 1])]
    assert found == [Result(1, {"val_loss": 0.25})]
    assert [*reader.finish()] == [Result(2, {"val_loss": 0.5})]
