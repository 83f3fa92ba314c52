"""The rows of an epoch: by classes, or a share of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program, split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.random_streams import batches
from hpo.engine.training.supervised import judged
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.sampling import (
    balanced,
    check_sampling,
    epoch_rows,
    part_of,
    probabilities,
    stratified,
    with_extra_rows,
)
from hpo.errors import HpoError
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_training, with_extra
from tests.engine.test_folds import folded

# Sixty, thirty and ten rows of three classes.
Y = np.random.default_rng(3).permutation(np.repeat([0, 1, 2], [60, 30, 10]))
ROWS = np.arange(100)


def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_stratified_rows_come_once_and_each_batch_has_the_classes_in_their_shares() -> None:
    drawn = stratified(_rng(), Y, ROWS)
    np.testing.assert_array_equal(np.sort(drawn), ROWS)
    for batch in drawn.reshape(5, 20):
        counts = np.bincount(Y[batch], minlength=3)
        assert (np.abs(counts - [12, 6, 2]) < 2).all()


def test_balanced_batches_have_all_classes_equally_often() -> None:
    drawn = balanced(_rng(), Y, ROWS)
    assert len(drawn) == len(ROWS)
    for batch in drawn[:90].reshape(6, 15):
        assert (np.abs(np.bincount(Y[batch], minlength=3) - 5) < 2).all()
    # Each of the ten rows of the smallest class comes as often as any other of them, or once more.
    times = np.bincount(drawn, minlength=100)[Y == 2]
    assert times.max() - times.min() <= 1


def test_the_parts_of_the_rows_are_nested_and_keep_the_shares_of_classes() -> None:
    before = np.zeros(100, bool)
    for share in (0.05, 0.2, 0.5, 0.9, 1.0):
        part = part_of(_rng(), share, 100, Y)
        assert part.sum() == 100 * share
        assert (part >= before).all()
        counts = np.bincount(Y[part], minlength=3)
        assert (np.abs(counts - share * np.array([60, 30, 10])) <= 1).all()
        before = part


def test_the_parts_of_a_regression_are_nested() -> None:
    small, large = (part_of(_rng(), share, 100, None) for share in (0.3, 0.7))
    assert (small.sum(), large.sum()) == (30, 70)
    assert (large >= small).all()


def test_an_epoch_on_a_share_reads_its_rows_in_the_order_of_all(tiny: DataSet) -> None:
    training = with_leaves(a_training(), {"sampling.share": 0.5})
    task = task_of(split(training, tiny, "cpu")[0])
    feed = task.feed(training, 3, tiny)
    assert feed["steps"] == task.epoch(training).steps == 3
    read = feed["rows"][:3].ravel()
    everything = batches(training.train.seed, 3, 96, 1).ravel()
    np.testing.assert_array_equal(read, everything[np.isin(everything, read)])


def test_the_share_one_trains_to_the_bits_of_none_and_shares_vary_in_one_program(
    tiny: DataSet, learn: Learn
) -> None:
    plain = a_training(1)
    varying = {"train.varying": ("sampling.share",)}
    whole = with_leaves(plain, varying)
    half = with_leaves(a_training(2), {"sampling.share": 0.5, **varying})
    assert split(whole, tiny, "cpu")[0] == split(half, tiny, "cpu")[0]
    assert split(whole, tiny, "cpu")[0] != split(plain, tiny, "cpu")[0]
    together = learn(tiny, [whole, half], lanes=2)
    assert together[1] == learn(tiny, [plain])[1]
    assert together[2] == learn(tiny, [half])[2]
    assert together[2][-1]["loss"] != together[1][-1]["loss"]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.9])
def test_every_stretch_of_rows_has_the_share_of_extra_ones(share: float) -> None:
    found = with_extra_rows(_rng(), _rng().permutation(100), 100 + np.arange(7), share)
    assert (found >= 100).sum() == round(100 * share)
    for size in (1, 4, 10, 33):
        for start in range(0, 100 - size, size):
            count = (found[start : start + size] >= 100).sum()
            assert abs(count - size * share) < 1
    times = np.bincount(found[found >= 100] - 100, minlength=7)
    assert times.max() - times.min() <= 1
    own = found[found < 100]
    np.testing.assert_array_equal(own, _rng().permutation(100)[: len(own)])


@pytest.mark.parametrize("name", ["uniform", "balanced", "importance"])
def test_extra_rows_come_beside_any_other_way_to_draw(name: str) -> None:
    training = with_leaves(a_training(), {"sampling.name": name})
    mixed = with_leaves(training, {"sampling.extra_share": 0.4})
    losses = np.linspace(0, 1, 100, dtype=np.float32)
    plain, found = (epoch_rows(one, 2, 100, Y, losses, 30) for one in (training, mixed))
    own = found.rows[found.rows < 100]
    np.testing.assert_array_equal(own, plain.rows[:60])
    assert found.rows.max() < 130
    assert np.array_equal(plain.rows, epoch_rows(training, 2, 100, Y, losses).rows)


def test_extra_rows_train_in_their_share_and_a_share_of_0_gives_the_bits_of_none(
    tiny: DataSet, learn: Learn
) -> None:
    data = with_extra(tiny, 20)
    varying = {"train.varying": ("sampling.extra_share",)}
    none = with_leaves(a_training(1), varying)
    other = with_leaves(a_training(2), {"sampling.extra_share": 0.5, **varying})
    assert split(none, data, "cpu")[0] == split(other, data, "cpu")[0]
    rows = task_of(split(other, data, "cpu")[0]).feed(other, 0, data)["rows"]
    np.testing.assert_array_equal((rows >= 96).sum(1), 8)
    assert rows.max() < 116
    together = learn(data, [none, other], lanes=2)
    assert together[1] == learn(tiny, [a_training(1)])[1]
    assert together[2] == learn(data, [other])[2]
    assert together[2][-1]["loss"] != learn(data, [a_training(2)])[2][-1]["loss"]


def test_extra_rows_of_a_fold_are_its_own() -> None:
    data = with_extra(folded(), 7)
    training = with_leaves(a_training(), {"sampling.extra_share": 0.25})
    task = task_of(split(training, data, "cpu")[0])
    for fold in data.folds:
        assert fold.extra is not None
        feed = task.feed(training, 1, fold)
        read = feed["rows"][: feed["steps"]]
        is_extra = np.isin(read, fold.extra.places)
        np.testing.assert_array_equal(is_extra.sum(1), 4)
        assert np.isin(read[~is_extra], fold.train.places).all()
        judged = feed["judged"][feed["judged"] >= 0]
        np.testing.assert_array_equal(judged, fold.validation.places)


@pytest.mark.parametrize("name", ["stratified", "balanced"])
def test_a_trial_reads_the_rows_that_are_drawn_by_class(tiny: DataSet, name: str) -> None:
    training = with_leaves(a_training(), {"sampling.name": name})
    task = task_of(split(training, tiny, "cpu")[0])
    first, second = (task.feed(training, epoch, tiny)["rows"] for epoch in (0, 1))
    assert (first != second).any()
    shares = np.bincount(tiny.train.y) / 96 if name == "stratified" else np.full(3, 1 / 3)
    for batch in first:
        counts = np.bincount(tiny.train.y[batch], minlength=3)
        assert (np.abs(counts - 16 * shares) < 2).all()


def test_a_share_that_fills_no_batch_is_refused(tiny: DataSet) -> None:
    with pytest.raises(HpoError, match=r"sampling.share: 0.1 of 96 .* are 10, fewer than a batch"):
        check_sampling(with_leaves(a_training(), {"sampling.share": 0.1}), tiny)


def test_the_expectation_over_all_draws_by_importance_is_the_full_gradient() -> None:
    # Least squares in one weight w = 0: the gradient of a row is -2 x y, its loss y^2.
    x, y = np.array([1.0, 2.0, -1.0, 3.0]), np.array([0.1, -0.2, 0.3, 4.0])
    gradients, losses = -2 * x * y, y**2
    for temperature in (0.5, 1.0, 3.0):
        chances = probabilities(losses, temperature)
        weights = 1 / (4 * chances)
        pairs = list(product(range(4), repeat=2))  # every batch of two
        means = np.array(
            [(weights[i] * gradients[i] + weights[j] * gradients[j]) / 2 for i, j in pairs]
        )
        likely = np.array([chances[i] * chances[j] for i, j in pairs])
        np.testing.assert_allclose(likely @ means, gradients.mean(), rtol=1e-12)
        variance = likely @ (means - gradients.mean()) ** 2
        assert variance < gradients.var() / 2  # that of two uniform draws


def test_rows_are_drawn_by_their_losses_and_weighed_by_the_inverse_of_their_chance() -> None:
    losses = np.linspace(0, 9, 100).astype(np.float32)
    training = with_leaves(a_training(), {"sampling.name": "importance"})
    drawn = [epoch_rows(training, epoch, 100, None, losses) for epoch in range(300)]
    chances = probabilities(losses, 1.0)
    counts = np.bincount(np.concatenate([one.rows for one in drawn]), minlength=100)
    np.testing.assert_allclose(counts / counts.sum(), chances, atol=0.003)
    np.testing.assert_allclose(drawn[0].weight, 1 / (100 * chances), rtol=1e-6)
    first = epoch_rows(training, 0, 100, None, np.zeros(100, np.float32))
    assert (first.weight == 1).all()


def test_a_curriculum_reads_the_easiest_rows_first_and_all_in_the_end() -> None:
    losses = np.arange(100)[::-1].astype(np.float32)
    training = with_leaves(
        a_training(),
        {"sampling.name": "curriculum", "sampling.start": 0.2, "train.epochs": 20},
    )
    read = [np.unique(epoch_rows(training, e, 100, None, losses).rows) for e in (1, 5, 10, 19)]
    assert [len(rows) for rows in read] == [28, 60, 100, 100]
    np.testing.assert_array_equal(read[0], np.arange(72, 100))


def test_losses_and_the_order_that_they_give_go_on_after_a_pause(
    tiny: DataSet, compiler: Compiler
) -> None:
    training = with_leaves(a_training(), {"sampling.name": "importance"})
    program, knobs = split(training, tiny, "cpu")

    def run(lane: Any | None) -> tuple[Any, Any, list[dict[str, float]]]:
        pool = Pool(local_devices("cpu")[0], compiler)
        pool.load(program, Plans(Plan("map", 2)), tiny)
        pool.put(1, 0, training, knobs, lane, 4)
        found, paused = [], None
        while pool.has_work:
            found += [report.metrics for report in pool.round()]
            paused = pool.take(1) if paused is None and len(found) == 2 else paused
        return pool.take(1), paused, found

    ended, paused, curve = run(None)
    # The losses are those of the weights at the end of the epoch: their mean is the split's.
    outputs = _outputs(program, knobs, ended, tiny)
    odds = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    np.testing.assert_allclose(ended.row_losses, -odds[np.arange(96), tiny.train.y], atol=1e-5)
    again, _, rest = run(lane_from_arrays(paused, lane_to_arrays(paused)))
    assert rest == curve[2:]
    np.testing.assert_array_equal(again.row_losses, ended.row_losses)


def _outputs(program: Program, knobs: np.ndarray, lane: Any, data: DataSet) -> np.ndarray:
    params, variables = judged(program, program.fill(knobs), lane)
    found = forward(program, program.fill(knobs), params, variables, {"x": data.train.x})[0]
    return np.asarray(found, np.float64)
