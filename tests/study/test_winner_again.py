"""A winner trains to its very metrics again, from the spec that its study exports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hpo.engine.programs import calibration
from hpo.engine.programs.plans import Plan, Plans
from hpo.own_files import own_folder
from hpo.report.check import check_summary
from hpo.report.export import export_trial
from hpo.spec.experiment import Training
from hpo.spec.load import load_experiment
from hpo.study.backends import planning, precision
from hpo.study.backends.precision import Figures
from hpo.study.storage.tables import Storage
from tests.study.whole import DOCUMENT, Studies, an_experiment

SEARCH = {**DOCUMENT["search"], "scheduler": {"name": "none"}, "trials": 4}
# Its last bits depend on how many lanes train at once, and on whether a dropout of 0 is computed.
MODEL = {"name": "mlp", "widths": [64], "norm": "layer", "activation": "gelu"}


@pytest.fixture
def again(tmp_path: Path, compile_cache: Path) -> Callable[..., tuple[Training, Any, Any]]:
    """Search, export the winner, train it: its spec, its stored curve and the new one."""

    def run(*overrides: str, **parts: Any) -> tuple[Training, Any, Any]:
        studies = Studies(tmp_path, compile_cache)
        experiment = an_experiment(*overrides, **{"search": SEARCH, **parts})
        best = studies.run(experiment).progress.best
        assert best is not None
        path = tmp_path / "best.yaml"
        with Storage.read(studies.url) as storage:
            path.write_text(export_trial(storage, "flowers", None, path, date(2026, 11, 22)).text)
        winner = load_experiment(path)
        curve = [r.metrics for r in studies.train(winner, tmp_path / "model").curve]
        return winner.training, studies.state(experiment).metrics[best.number], curve

    return run


def test_a_winner_of_lanes_that_train_at_once_trains_to_the_same_bits(
    again: Callable[..., tuple[Training, Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Plans(Plan("vmap", 4, "measured"))
    monkeypatch.setattr(planning, "choose_plans", lambda *_, **__: measured)
    winner, stored, curve = again(model=MODEL)
    assert (winner.train.form, winner.train.lanes) == ("vmap", 4)
    assert curve == stored


def test_the_cache_that_a_search_leaves_is_closed_to_others_again(
    again: Callable[..., tuple[Training, Any, Any]], compile_cache: Path
) -> None:
    again(model=MODEL)
    assert list(compile_cache.glob("*.lanes")), "a name that one module alone gives"
    compile_cache.chmod(0o757)
    assert own_folder(compile_cache) == compile_cache
    assert compile_cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.long
def test_a_form_that_is_written_is_not_measured_and_serves_the_winner_too(
    again: Callable[..., tuple[Training, Any, Any]],
) -> None:
    winner, stored, curve = again("train.form=vmap", "train.lanes=2", "train.seeds=3", model=MODEL)
    assert (winner.train.form, winner.train.lanes) == ("vmap", 2)
    assert curve == stored


def test_a_winner_whose_varied_dropout_is_zero_trains_to_the_same_bits(
    again: Callable[..., tuple[Training, Any, Any]],
) -> None:
    space = {
        "model.dropout": {"choice": [0.0]},
        "optimizer.learning_rate": {"float": [1e-2, 1e-1], "log": True},
    }
    winner, stored, curve = again(model=MODEL, space=space)
    assert winner.train.varying == ("model.dropout",)
    assert curve == stored


def test_a_winner_of_whole_batches_trains_to_the_same_bits_from_a_merged_program(
    again: Callable[..., tuple[Training, Any, Any]],
) -> None:
    space = {
        "data.batch_size": {"choice": [16, "all"]},
        "optimizer.learning_rate": {"float": [1e-2, 1e-1], "log": True},
    }
    start = [{"data.batch_size": "all"}] * 2
    winner, stored, curve = again(
        space=space, search={**SEARCH, "start": start, "trials": 2, "sampler": {"name": "tpe"}}
    )
    assert winner.data.batch_size == "all"
    assert winner.train.merged.batch_size == (16, 90)
    assert curve == stored


def test_whole_batches_are_batches_of_all_training_rows(
    tmp_path: Path, compile_cache: Path
) -> None:
    studies, found = Studies(tmp_path, compile_cache), {}
    for size in ("all", 90):
        experiment = an_experiment(f"data.batch_size={size}", space={})
        found[size] = studies.train(experiment, tmp_path / f"model-{size}").curve
    assert found["all"] == found[90]


def test_trials_of_one_program_train_each_on_data_of_its_own_range(
    tmp_path: Path, compile_cache: Path
) -> None:
    ranges = [[0, 1], [-1, 1], [0, 9]]
    studies, path = Studies(tmp_path, compile_cache), tmp_path / "trial.yaml"
    experiment = an_experiment(
        "data.normalize=minmax",
        space={"data.range": {"choice": ranges}},
        search={**SEARCH, "sampler": {"name": "grid"}, "trials": 3},
    )
    assert check_summary(experiment).programs == 1
    studies.run(experiment)
    state = studies.state(experiment)
    assert len(state.pins) == 1
    for trial in state.trials:
        with Storage.read(studies.url) as storage:
            path.write_text(
                export_trial(storage, "flowers", trial.number, path, date(2026, 11, 22)).text
            )
        alone = load_experiment(path)
        assert list(alone.training.data.range) == trial.hparams["data.range"]
        curve = studies.train(alone, tmp_path / f"model-{trial.number}").curve
        assert [report.metrics for report in curve] == state.metrics[trial.number]
    assert len({state.metrics[trial.number][-1]["loss"] for trial in state.trials}) == 3


def test_a_winner_of_several_seeds_trains_to_the_same_bits_whatever_was_measured(
    again: Callable[..., tuple[Training, Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Plans(Plan("map", 3, "usual"))
    monkeypatch.setattr(planning, "choose_plans", lambda *_, **__: alone)
    monkeypatch.setattr(calibration, "from_bytes", lambda _: Plan("vmap", 3, "measured"))
    winner, stored, curve = again("train.seeds=3", model=MODEL)
    assert winner.train.form == "auto"
    assert curve == stored


def test_a_trial_from_before_the_space_was_edited_trains_to_the_same_bits(
    tmp_path: Path, compile_cache: Path
) -> None:
    studies, path = Studies(tmp_path, compile_cache), tmp_path / "first.yaml"
    model = {**MODEL, "activation": "tanh"}
    rate = {"optimizer.learning_rate": {"float": [1e-2, 1e-1], "log": True}}
    first = an_experiment(
        "search.trials=1",
        model=model,
        search=SEARCH,
        space={"model.dropout": {"choice": [0.0]}, **rate},
    )
    edited = an_experiment("search.trials=3", model=model, search=SEARCH, space=rate)
    studies.run(first)
    studies.run(edited)
    varying = []
    for number in (0, 2):
        with Storage.read(studies.url) as storage:
            text = export_trial(storage, "flowers", number, path, date(2026, 11, 22)).text
        path.write_text(text)
        winner = load_experiment(path)
        varying.append(winner.training.train.varying)
        curve = [r.metrics for r in studies.train(winner, tmp_path / f"model-{number}").curve]
        assert curve == studies.state(edited).metrics[number]
    assert varying == [("model.dropout",), ()]


def test_a_winner_keeps_its_average_its_scale_and_the_precision_that_was_measured(
    again: Callable[..., tuple[Training, Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"float32": Figures(1.0, 0.7), "float16": Figures(0.5, 0.7)}
    monkeypatch.setattr(precision, "measured", lambda *_: figures)
    train = {"epochs": 3, "precision": "auto", "average": {"name": "ema", "decay": 0.8}}
    model = {"name": "mlp", "widths": [8], "norm": "batch"}
    winner, stored, curve = again(model=model, train=train, updates={"lookahead": 2})
    assert winner.train.precision == "float16"
    assert winner.train.average.decay == 0.8
    assert curve == stored
