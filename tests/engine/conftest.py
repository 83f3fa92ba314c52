"""Data sets, and a way to train trials beside each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.spec.experiment import Training
from tests.engine.samples import ROWS, a_split, tiny_data

Curves = dict[int, list[dict[str, float]]]


@pytest.fixture
def tiny() -> DataSet:
    """The data of `tiny_data`."""
    return tiny_data()


@pytest.fixture
def images() -> DataSet:
    """Ninety-six images of 8 by 8 pixels in three classes."""
    rng = np.random.default_rng(0)
    train, validation = a_split(rng, ROWS, (8, 8, 1)), a_split(rng, 40, (8, 8, 1))
    return DataSet("classification", train, validation, None, 3, "i")


@pytest.fixture
def line() -> DataSet:
    """A regression whose target is twice the first feature, plus 100."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS + 40, 5)).astype(np.float32)
    y = x[:, 0]
    parts = [Split({"x": x[rows], "y": y[rows]}) for rows in (slice(ROWS), slice(ROWS, None))]
    transform = FittedTransform(target_mean=np.array(100.0), target_std=np.array(2.0))
    return DataSet("regression", *parts, None, 1, "l", transform=transform)


@pytest.fixture(scope="session")
def compiler() -> Compiler:
    """One compiler for all tests, so that equal programs compile once."""
    return Compiler()


@pytest.fixture
def learn(compiler: Compiler) -> Callable[..., Curves]:
    """Train trainings together in one pool; returns the metrics of each epoch by stream."""

    def run(
        data: DataSet,
        trainings: list[Training],
        lanes: int = 1,
        form: str = "map",
        device: int = 0,
    ) -> Curves:
        curves: Curves = {t.train.stream: [] for t in trainings}
        pool = Pool(local_devices("cpu")[device], compiler)
        waiting = list(trainings)
        program, _ = split(trainings[0], data, "cpu")
        pool.load(program, Plans(Plan(form, lanes)), data)  # type: ignore[arg-type]
        lane_of: dict[int, int] = {}
        while waiting or pool.has_work:
            for lane in range(lanes):
                if waiting and lane not in pool.occupied():
                    training = waiting.pop(0)
                    same, knobs = split(training, data, "cpu")
                    assert same == program
                    pool.put(
                        lane, training.train.stream, training, knobs, None, training.train.epochs
                    )
                    lane_of[training.train.stream] = lane
            for report in pool.round():
                curves[report.run].append(report.metrics)
                is_over = not np.isfinite(list(report.metrics.values())).all()
                epochs = next(t.train.epochs for t in trainings if t.train.stream == report.run)
                if is_over or report.epoch == epochs:
                    pool.clear(lane_of[report.run])
        return curves

    return run
