"""The precision that `auto` stands for: by fake figures, and measured for real."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.engine.devices import local_devices
from hpo.engine.programs.compiler import Compiler
from hpo.errors import DeviceError
from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import with_leaves
from hpo.study.backends import precision
from hpo.study.backends.precision import (
    Figures,
    Precisions,
    best_precision,
    candidates,
    measured,
    settled_precision,
)
from hpo.study.log.notes import Precision
from hpo.study.storage.tables import Storage
from tests.engine.samples import a_training, tiny_data
from tests.study.loop.test_driver import MemoryJournal
from tests.study.whole import Studies, an_experiment


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ({"bfloat16": (0.5, 0.700)}, "bfloat16"),
        ({"bfloat16": (0.5, 0.713)}, "bfloat16"),  # a loss of 2 % more is within the tolerance
        ({"bfloat16": (0.5, 0.715)}, "float32"),
        ({"bfloat16": (0.5, math.nan)}, "float32"),
        ({"bfloat16": (0.95, 0.600)}, "float32"),  # hardly quicker
        ({"bfloat16": (0.6, 0.700), "float16": (0.4, 0.701)}, "float16"),
        ({"bfloat16": (0.6, 0.700), "float16": (0.4, 0.900)}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_the_quickest_that_learns_as_well_is_chosen(others: Any, chosen: str) -> None:
    figures = {"float32": Figures(1.0, 0.7)} | {n: Figures(*each) for n, each in others.items()}
    assert best_precision(figures).name == chosen


def test_float32_stays_where_it_diverges_itself() -> None:
    figures = {"float32": Figures(1.0, math.nan), "bfloat16": Figures(0.1, 0.5)}
    assert best_precision(figures).name == "float32"


def test_a_private_training_is_not_measured_in_float16() -> None:
    assert candidates(a_training(), "gpu") == ("float32", "bfloat16", "float16")
    private = a_training(privacy={"clip": 1.0, "noise": 1.0})
    assert candidates(private, "gpu") == ("float32", "bfloat16")


def test_the_loss_is_that_of_the_second_epoch_in_each_precision() -> None:
    found = measured(a_training(), tiny_data(), local_devices("cpu")[0], Compiler())
    assert [*found] == ["float32", "bfloat16"]
    losses = [each.loss for each in found.values()]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert all(0 < each.seconds < 10 for each in found.values())


FAST = {"float32": Figures(1.0, 0.7), "bfloat16": Figures(0.5, 0.7)}
SLOW = {"float32": Figures(1.0, 0.7), "bfloat16": Figures(2.0, 0.7)}


class Measuring:
    """Figures in the place of measured ones: bfloat16 pays for wide layers alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widths: list[tuple[int, ...]] = []
        monkeypatch.setattr(precision, "measured", self)

    def __call__(self, training: Any, *_: Any) -> dict[str, Figures]:
        self.widths.append(training.model.widths)
        if training.model.widths == (3,):
            raise DeviceError("no room")
        return FAST if training.model.widths == (16,) else SLOW


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    return Measuring(monkeypatch)


def test_each_program_is_measured_once_and_keeps_its_precision(measuring: Measuring) -> None:
    journal, said = MemoryJournal(), list[str]()
    place, tiny = local_devices("cpu")[0], tiny_data()
    for _ in range(2):  # a study and its resume
        precisions = Precisions(place, None, journal, said.append)  # type: ignore[arg-type]
        for widths, rate, name in [
            ((16,), 0.1, "bfloat16"),
            ((8,), 0.1, "float32"),
            ((16,), 0.2, "bfloat16"),
            ((3,), 0.1, "float32"),
        ]:
            leaves = {
                "train.precision": "auto",
                "model.widths": widths,
                "optimizer.learning_rate": rate,
            }
            found = precisions.settled(with_leaves(a_training(), leaves), tiny)
            assert found == with_leaves(a_training(), leaves | {"train.precision": name})
        journal = MemoryJournal([*journal.log, *journal._noted])
    assert measuring.widths == [(16,), (8,), (3,)]
    assert len(said) == 3
    assert "train in bfloat16: float32 took 1 s for an epoch, with a loss of 0.7" in said[0]
    assert "train in float32: others could not be measured (no room)" in said[2]
    plain = a_training()
    assert precisions.settled(plain, tiny) is plain


def test_the_precision_that_an_earlier_release_noted_is_that_of_all_programs(
    measuring: Measuring,
) -> None:
    journal = MemoryJournal()
    journal.record(Precision("bfloat16", "as measured"))
    place = local_devices("cpu")[0]
    precisions = Precisions(place, None, journal, print)  # type: ignore[arg-type]
    own = with_leaves(a_training(), {"train.precision": "auto"})
    assert precisions.settled(own, tiny_data()).train.precision == "bfloat16"
    assert measuring.widths == []


def test_a_single_training_is_measured_by_itself(measuring: Measuring) -> None:
    said, tiny, place = list[str](), tiny_data(), local_devices("cpu")[0]
    found = settled_precision(an_experiment("train.precision=auto"), tiny, place, None, said.append)
    assert found.training.train.precision == "float32"
    assert said[0].startswith("Trials train in float32: float32 took 1 s for an epoch, with a ")
    plain = an_experiment()
    assert settled_precision(plain, tiny, place, None, said.append) is plain


def test_a_search_over_structures_trains_each_in_its_precision_and_exports_it(
    studies: Studies, measuring: Measuring, tmp_path: Path
) -> None:
    space = {
        "model.widths": {"choice": [[8], [16]]},
        "optimizer.learning_rate": {"choice": [0.01, 0.02]},
    }
    auto = ["train.precision=auto", "train.merged=none", "search.scheduler={name: none}"]
    sampler = "search.sampler={name: grid}"
    half = an_experiment(*auto, sampler, "search.trials=2", "train.epochs=1", space=space)
    studies.run(half)
    whole = an_experiment(*auto, sampler, "search.trials=4", "train.epochs=1", space=space)
    outcome = studies.run(whole)
    assert outcome.progress.programs is not None
    assert sorted(measuring.widths) == [(8,), (16,)]
    state = studies.state(whole)
    with Storage.read(studies.url) as storage:
        for trial in state.trials:
            name = "bfloat16" if trial.hparams["model.widths"] == [16] else "float32"
            exported = export_trial(storage, whole.name, trial.number, None, date(2026, 1, 1))
            assert yaml.safe_load(exported.text)["train"]["precision"] == name
            winner = experiment_from_document(yaml.safe_load(exported.text), Path.cwd(), "one")
            curve = studies.train(winner, tmp_path / f"model{trial.number}").curve
            assert [report.metrics for report in curve] == state.metrics[trial.number]
        report = study_report(storage, whole.name, 4)
    assert sum("train in bfloat16" in note for note in report.notes) == 1
    shown = [(one.hparams["model.widths"], one.hparams["train.precision"]) for one in report.top]
    assert sorted(shown) == [([8], "float32")] * 2 + [([16], "bfloat16")] * 2  # type: ignore[type-var]
