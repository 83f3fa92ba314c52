"""A search on images of several sizes: what it trains and leaves."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hpo.errors import HpoError, SpecError
from hpo.report.check import check_summary, render
from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import experiment_from_document
from hpo.study.storage.tables import Storage
from hpo.trial import Run
from tests.study.whole import DOCUMENT, Studies, an_experiment

DIGITS: dict[str, Any] = {"dataset": "digits", "rows": 400, "batch_size": 64}
BY_SIZE = ("search.scheduler.budget=size", "search.scheduler.eta=4", "search.trials=4")
RATE = {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}}


def test_a_space_varies_the_size_of_images(studies: Studies, tmp_path: Path) -> None:
    overrides = ["search.scheduler={name: none}", "search.sampler={name: grid}", "train.epochs=2"]
    grid = {"data.image_size": {"choice": [4, 8]}, "optimizer.learning_rate": {"choice": [0.01]}}
    experiment = an_experiment(*overrides, "search.trials=2", space=grid, data=DIGITS)
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    assert (outcome.progress.programs, len(studies.state(experiment))) == (2, 2)
    state = studies.state(experiment)
    for number, curve in enumerate(studies.curves(experiment)):
        size = state.trial(number).hparams["data.image_size"]
        alone = {
            **{part: DOCUMENT[part] for part in ("name", "model")},
            "data": DIGITS if size == 8 else {**DIGITS, "image_size": size},
            "optimizer": DOCUMENT["optimizer"] | {"learning_rate": 0.01},
            "train": {"epochs": 2, "stream": number},
        }
        spec = experiment_from_document(alone, tmp_path, f"of {size}")
        trained = studies.train(spec, tmp_path / str(size))
        assert [report.metrics for report in trained.curve] == curve


def test_a_size_of_the_space_that_does_not_fit_is_refused_at_the_start(studies: Studies) -> None:
    space = {**RATE, "data.image_size": {"int": [4, 9]}}
    with pytest.raises(HpoError, match="9 is more than the 8 pixels of the images: write 8 or"):
        studies.run(an_experiment(space=space, data=DIGITS))


def test_a_rung_is_a_training_on_smaller_images_and_the_last_one_on_whole_ones(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment(*BY_SIZE, space=RATE, data=DIGITS)
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    state, best = studies.state(experiment), outcome.progress.best
    assert best is not None
    assert (best.epochs, best.is_full) == (4, True)
    # Four trials on images of 4x4, a quarter of the pixels, and one on those of 8x8.
    assert outcome.progress.epochs == outcome.progress.epochs_total == 4 * 1 + 4
    assert outcome.progress.programs == 2
    assert {run.budget for runs in state.replicas.values() for run in runs} == {1, 4}

    def trained(document: dict[str, Any], name: str) -> list[object]:
        alone = experiment_from_document(document, tmp_path, name)
        return [report.metrics for report in studies.train(alone, tmp_path / name).curve]

    rate = best.hparams["optimizer.learning_rate"]
    plain = {
        **{part: DOCUMENT[part] for part in ("name", "model")},
        "data": DIGITS,
        "optimizer": DOCUMENT["optimizer"] | {"learning_rate": rate},
        "train": {"epochs": 4, "stream": best.number},
    }
    known = state.replicas[best.number]
    small = known[Run(best.number, budget=1)]
    assert small == trained(plain | {"data": {**DIGITS, "image_size": 4}}, "small")
    whole = known[Run(best.number, budget=4)]
    assert whole == trained(plain, "whole")
    assert state.metrics[best.number] == [small[3], *whole[1:]]
    with Storage.read(studies.url) as storage:
        report = study_report(storage, experiment.name, 3)
        exported = export_trial(storage, experiment.name, None, None, date(2026, 1, 1))
    assert (report.overview.epochs, report.top[0].deviation) == (8, None)
    document = yaml.safe_load(exported.text)
    assert document["data"]["image_size"] is None
    assert trained(document, "winner") == whole


def test_a_study_that_stops_between_sizes_goes_on_to_the_same_trials(studies: Studies) -> None:
    calm = an_experiment(*BY_SIZE, "name=calm", space=RATE, data=DIGITS)
    studies.run(calm)
    stopped = an_experiment(*BY_SIZE, "search.stop={epochs: 3}", space=RATE, data=DIGITS)
    assert studies.run(stopped).reason == "epochs"
    assert all(trial.epochs <= 1 for trial in studies.state(stopped).trials)
    whole = an_experiment(*BY_SIZE, space=RATE, data=DIGITS)
    assert studies.run(whole).reason == "finished"
    assert studies.curves(whole) == studies.curves(calm)
    assert studies.state(whole).replicas == studies.state(calm).replicas


def test_check_counts_what_each_size_costs_and_its_program() -> None:
    found = render(check_summary(an_experiment(*BY_SIZE, space=RATE, data=DIGITS)))
    assert "successive_halving, by sizes of images" in found
    assert "trials to share of the pixels: 4 to 1/4, 1 to 1" in found
    assert "epochs     8 of all pixels" in found
    assert "programs   at most 2" in found


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.image_size=4"],
            "is one size for all rungs, and search.scheduler.budget compares trials on images of "
            "several sizes: write budget: epochs, or remove data.image_size",
        ),
        (["train.keep=best"], "best may judge a trial by an earlier epoch, and search.sch"),
        (["privacy={noise: 1.0}"], "counts one training, and search.scheduler.budget compares"),
        (["compression.teacher.from=x"], "answers for images of one size, and search.scheduler"),
        (["data.dataset=iris"], "size is of images with one answer, and iris is a table: write"),
        (["search.keep_weights=1"], "budget: size trains several: write 0, or budget: epochs"),
    ],
)
def test_what_does_not_go_with_sizes_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        an_experiment(*BY_SIZE, *overrides, data=DIGITS)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 3, 1), "a rung of 1 of 16 epochs has images of 1 pixel a side: raise eta"),
        ((6,), "size is of images with one answer, and these examples are no images: write"),
    ],
)
def test_data_that_do_not_do_are_refused_before_any_trial(
    studies: Studies, tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, *shape)).astype(np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.arange(40) % 2)
    data = {"dataset": {"npz": str(tmp_path / "few.npz")}, "batch_size": 8}
    with pytest.raises(HpoError, match=message):
        studies.run(an_experiment(*BY_SIZE, "train.epochs=16", data=data, space=RATE))
