"""Folds as lanes: one program, one copy of the data, and each lane as its fold alone."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split, of_folds, stored
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.pools.streaming import placement_of
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Form, Plan, Plans
from hpo.errors import DeviceError
from hpo.spec.experiment import Training
from hpo.trial import Run
from tests.engine.samples import a_merged, a_training

# The training and validation rows of three folds: they end epochs after 4, 5 and 3 steps of 16.
SIZES = ((64, 40), (80, 24), (50, 30))
RUNS = [Run(0, 0, fold) for fold in range(len(SIZES))]
TRAINING = a_training(optimizer={"name": "sgd", "learning_rate": 0.1}, train={"epochs": 2})


def folded(task: str = "classification") -> DataSet:
    """Three folds, whose copies lie end to end."""
    rng = np.random.default_rng(0)
    rows = sum(map(sum, SIZES))
    x = rng.standard_normal((rows, 5)).astype(np.float32)
    y = x[:, :3].argmax(1).astype(np.int32) if task == "classification" else x[:, 0] + x[:, 1]
    arrays, folds, start = {"x": x, "y": y}, [], 0
    for number, (train, validation) in enumerate(SIZES):
        middle, end = start + train, start + train + validation
        transform = FittedTransform(target_std=np.array(1.0 + number))
        folds.append(
            DataSet(
                task,  # type: ignore[arg-type]
                Split(arrays, slice(start, middle)),
                Split(arrays, slice(middle, end)),
                None,
                3 if task == "classification" else 1,
                "f",
                transform=transform,
            )
        )
        start = end
    largest = folds[1]
    return DataSet(
        largest.task,
        largest.train,
        largest.validation,
        None,
        largest.outputs,
        "f",
        folds=tuple(folds),
    )


def trained(
    data: DataSet, training: Training, runs: list[Run], form: Form, compiler: Compiler
) -> tuple[dict[Run, list[dict[str, float]]], dict[Run, np.ndarray]]:
    """The metrics of each epoch of these runs as lanes of one pool, and their last weights."""
    pool = Pool(local_devices("cpu")[0], compiler)
    program, knobs = split(training, data, "cpu")
    pool.load(program, Plans(Plan(form, max(1, len(data.folds)))), data)
    for lane, run in enumerate(runs):
        pool.put(lane, run, training, knobs, None, training.train.epochs)
    curves: dict[Run, list[dict[str, float]]] = {run: [] for run in runs}
    while pool.has_work:
        for report in pool.round():
            curves[report.run].append(report.metrics)
    return curves, {run: pool.take(lane).params for lane, run in enumerate(runs)}


@pytest.mark.parametrize(("task", "form"), [("classification", "map"), ("regression", "vmap")])
def test_each_lane_learns_what_its_fold_alone_does(
    task: str, form: Form, compiler: Compiler
) -> None:
    data = folded(task)
    before = compiler.programs
    curves, weights = trained(data, TRAINING, RUNS, form, compiler)
    assert compiler.programs == before + 1
    run = RUNS[2]  # the smallest
    alone, own = trained(data.folds[2], TRAINING, [Run(0)], form, compiler)
    np.testing.assert_allclose(weights[run], own[Run(0)], rtol=1e-5, atol=1e-6)
    for one, other in zip(curves[run], alone[Run(0)], strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_folds_of_merged_batch_sizes_train_as_alone(compiler: Compiler) -> None:
    data, run = folded(), RUNS[2]
    training = a_merged(0, {"batch_size": [16, 48]}, data={"dataset": "iris", "batch_size": 48})
    curves, weights = trained(data, training, RUNS, "map", compiler)
    alone, own = trained(data.folds[2], training, [Run(0)], "map", compiler)
    np.testing.assert_allclose(weights[run], own[Run(0)], rtol=1e-4, atol=1e-5)
    assert curves[run][-1] == pytest.approx(alone[Run(0)][-1], rel=1e-4)


def test_a_lane_learns_the_same_beside_other_folds_as_by_itself(compiler: Compiler) -> None:
    data = folded()
    together, weights = trained(data, TRAINING, RUNS, "map", compiler)
    for run in RUNS:
        alone, own = trained(data, TRAINING, [run], "map", compiler)
        assert alone[run] == together[run]
        np.testing.assert_array_equal(own[run], weights[run])


def test_metrics_that_need_all_rows_are_those_of_the_fold(compiler: Compiler) -> None:
    data = folded()
    training = a_training(train={"epochs": 1, "metrics": ["log_loss", "auroc"]})
    for run, (reported,) in trained(data, training, RUNS, "map", compiler)[0].items():
        assert reported["log_loss"] == pytest.approx(reported["loss"], rel=1e-5), run
        assert 0 <= reported["auroc"] <= 1


def test_a_lane_scales_shared_images_as_its_fold_alone_has_them(compiler: Compiler) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (80, 4, 4, 1), dtype=np.uint8)
    shared = {"x": pixels, "y": (pixels.reshape(80, -1)[:, :3].argmax(1)).astype(np.int32)}
    folds = []
    for number in range(2):
        judged = np.arange(80) % 2 == number
        scale = np.full(1, 100.0 + number, np.float32), np.full(1, 40.0 + number, np.float32)
        splits = [Split(shared, np.flatnonzero(rows), scale) for rows in (~judged, judged)]
        folds.append(DataSet("classification", *splits, None, 3, "i"))
    data = of_folds(folds)
    curves, weights = trained(data, TRAINING, RUNS[:2], "vmap", compiler)
    for run, fold in zip(RUNS[:2], folds, strict=True):
        own = [Split(dict(split.arrays)) for split in (fold.train, fold.validation)]
        alone = DataSet("classification", *own, None, 3, "i")
        # The folds are of one size, so that both are the same program.
        by_itself, its_weights = trained(alone, TRAINING, [Run(0)], "vmap", compiler)
        np.testing.assert_allclose(weights[run], its_weights[Run(0)], rtol=1e-5, atol=1e-6)
        for one, other in zip(curves[run], by_itself[Run(0)], strict=True):
            assert one == pytest.approx(other, rel=1e-5)


def test_folds_in_a_smaller_type_are_scaled_in_their_steps(compiler: Compiler) -> None:
    plain = trained(folded(), TRAINING, RUNS, "map", compiler)[0]
    found = trained(stored(folded(), "float16"), TRAINING, RUNS, "map", compiler)[0]
    for run, epochs in plain.items():
        for one, expected in zip(found[run], epochs, strict=True):
            assert one == pytest.approx(expected, rel=1e-2)


def test_folds_of_other_sizes_are_one_program() -> None:
    data, training = folded(), a_training()
    program, _ = split(training, data, "cpu")
    assert (program.train_rows, program.judged_rows) == (80, 40)
    assert split(training, data.folds[1], "cpu")[0].judged_rows == 0


def test_folds_larger_than_the_budget_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"data\.folds: 3 encoded copies take 6\.8KiB of 2KiB"):
        placement_of(folded(), 16, 1, 2048)
