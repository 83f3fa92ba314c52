"""The rows of an epoch: by classes, or a share of them."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.pools.streaming import check_order
from hpo.engine.program import split
from hpo.engine.training.random_streams import batches
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.sampling import balanced, check_sampling, part_of, stratified
from hpo.errors import DeviceError, HpoError
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_training

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
    # The mean over the steps is a product with 1 / 6 in the program of a fixed number of them.
    for found, wanted in zip(together[1], learn(tiny, [plain])[1], strict=True):
        assert found.pop("train_loss") == pytest.approx(wanted.pop("train_loss"), rel=1e-6)
        assert found == wanted
    assert together[2] == learn(tiny, [half])[2]
    assert together[2][-1]["loss"] != together[1][-1]["loss"]


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


def test_a_share_that_fills_no_batch_and_classes_of_a_quantity_are_refused(
    tiny: DataSet, line: DataSet
) -> None:
    with pytest.raises(HpoError, match=r"sampling.share: 0.1 of 96 .* are 10, fewer than a batch"):
        check_sampling(with_leaves(a_training(), {"sampling.share": 0.1}), tiny)
    with pytest.raises(HpoError, match=r"sampling.name: balanced needs one class for each row"):
        check_sampling(with_leaves(a_training(), {"sampling.name": "balanced"}), line)


def test_an_order_of_a_trials_own_is_refused_for_streamed_data(tiny: DataSet) -> None:
    for leaf, value in (("share", 0.5), ("name", "balanced")):
        training = with_leaves(a_training(), {f"sampling.{leaf}": value})
        with pytest.raises(DeviceError, match=r"sampling: draws .* raise data.device_budget"):
            check_order(split(training, tiny, "cpu")[0])
    check_order(split(a_training(), tiny, "cpu")[0])
