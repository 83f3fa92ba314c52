"""Folds: their rows against scikit-learn's, and what each is fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.data.folds import Fold, group_folds, random_folds, time_folds
from hpo.data.load import check_batch_size, load_data
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec, IdxFolder
from hpo.spec.sections.split import GroupSplit, TimeSplit

ROWS = np.arange(7, 60)  # what the test has left


def sizes(folds: Any) -> list[tuple[int, int]]:
    return sorted((len(train), len(validation)) for train, validation in folds)


def check_each_once(folds: tuple[Fold, ...]) -> None:
    """Each row validates once, and trains in the other folds."""
    np.testing.assert_array_equal(np.sort(np.concatenate([f.validation for f in folds])), ROWS)
    for fold in folds:
        np.testing.assert_array_equal(np.union1d(fold.train, fold.validation), ROWS)
        assert not np.intersect1d(fold.train, fold.validation).size


@pytest.mark.parametrize("count", [2, 5, 53])
def test_plain_folds_have_the_sizes_of_scikit_learn(count: int) -> None:
    folds = random_folds(ROWS, None, count, 0)
    check_each_once(folds)
    assert sizes(folds) == sizes(KFold(count).split(ROWS))
    other = random_folds(ROWS, None, count, 1)
    assert any(not np.array_equal(a.train, b.train) for a, b in zip(folds, other, strict=True))


def test_stratified_folds_have_the_class_counts_of_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2], [30, 16, 7])
    folds = random_folds(ROWS, labels, 5, 0)
    check_each_once(folds)
    theirs = StratifiedKFold(5).split(labels, labels)
    found = [np.bincount(labels[fold.validation - 7]).tolist() for fold in folds]
    assert sorted(found) == sorted(np.bincount(labels[judged]).tolist() for _, judged in theirs)


def test_groups_stay_whole_in_folds_of_scikit_learns_sizes() -> None:
    groups = np.random.default_rng(0).integers(0, 12, len(ROWS))
    folds = group_folds(ROWS, groups, 4, 0)
    check_each_once(folds)
    assert sizes(folds) == sizes(GroupKFold(4).split(ROWS, groups=groups))
    for fold in folds:
        assert not np.intersect1d(groups[fold.train - 7], groups[fold.validation - 7]).size


@pytest.mark.parametrize("gap", [0, 3])
def test_folds_forward_in_time_are_those_of_scikit_learn(gap: int) -> None:
    folds = time_folds(ROWS, ROWS, 4, gap)
    for fold, (train, judged) in zip(folds, TimeSeriesSplit(4, gap=gap).split(ROWS), strict=True):
        np.testing.assert_array_equal(fold.train, ROWS[train])
        np.testing.assert_array_equal(fold.validation, ROWS[judged])


def test_equal_times_are_in_one_fold() -> None:
    times = ROWS // 5
    for fold in time_folds(ROWS, times, 4, 0):
        assert times[fold.train - 7].max() < times[fold.validation - 7].min()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: random_folds(ROWS, None, 54, 0), "54 folds of 53 rows: write 53 or less"),
        (lambda: group_folds(ROWS, ROWS // 20, 4, 0), "4 folds of 3 groups: write 3 or less"),
        (lambda: time_folds(ROWS, ROWS // 20, 3, 0), "need 4 parts, .* has 3 different times"),
        (lambda: time_folds(ROWS, ROWS, 8, 20), "gap: leaves the first of data.folds no rows"),
    ],
)
def test_folds_that_the_rows_do_not_give_are_refused(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def table(folder: Path, rows: list[tuple[str, ...]] | None = None) -> CsvFile:
    """A table of 60 rows: a number, a text, a person, a day and a target."""
    rows = rows or [
        (str(row**2), "ab"[row % 2], str(row // 4), str(row), str(0.5 + row)) for row in range(60)
    ]
    lines = ["n,word,who,day,y", *(",".join(row) for row in rows)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return CsvFile(csv="t.csv", target="y")


def load(folder: Path, cache: DataCache | None = None, **data: Any) -> DataSet:
    given = {"folds": 4, "batch_size": 4, "dataset": CsvFile(csv="t.csv", target="y"), **data}
    return load_data(DataSpec(**given), folder, None, cache)


def targets(data: DataSet, split: str) -> list[str]:
    y = getattr(data, split).y * data.target_std + data.target_mean
    return [f"{value:.1f}" for value in y]


@pytest.mark.parametrize(
    "columns", [Columns(), Columns(encode="target"), Columns(transform="quantile", flag=True)]
)
def test_outliers_in_a_fold_change_no_bit_of_the_transform_fitted_without_it(
    tmp_path: Path, columns: Columns
) -> None:
    rows = [(f"{r**2}", "abc"[r % 3], "w", "1", f"{0.5 + r}") for r in range(60)]
    table(tmp_path, rows)
    first = load(tmp_path, columns=columns)
    judged = {*targets(first.folds[2], "validation")}
    wild = [("1e30", "new", "w", "1", row[4]) if row[4] in judged else row for row in rows]
    table(tmp_path, wild)
    second = load(tmp_path, columns=columns)
    before, after = (data.folds[2].transform.to_arrays() for data in (first, second))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], name)
    width = first.folds[2].train.x.shape[1]
    np.testing.assert_array_equal(
        first.folds[2].train.x, second.folds[2].train.x[:, :width], strict=True
    )
    assert not second.folds[2].train.x[:, width:].any()
    others = first.folds[1].transform.offset, second.folds[1].transform.offset
    assert not np.array_equal(*others)


def test_the_copies_of_the_folds_lie_end_to_end_before_their_test_rows(tmp_path: Path) -> None:
    table(tmp_path)
    data = load(tmp_path)
    places = [split.places for fold in data.folds for split in (fold.train, fold.validation)] + [
        fold.test.places for fold in data.folds if fold.test is not None
    ]
    np.testing.assert_array_equal(np.concatenate(places), np.arange(4 * 60))
    assert len(data.resident["x"]) == 4 * 48
    assert {tuple(targets(fold, "test")) for fold in data.folds} == {(*targets(data, "test"),)}
    assert (len(data.train), data.train_rows) == (36, 36)


def test_the_test_rows_are_those_without_folds(tmp_path: Path) -> None:
    table(tmp_path)
    for split in (None, GroupSplit(group="who"), TimeSplit(time="day", gap=2)):
        plain = load(tmp_path, folds=None, split=split)
        assert targets(load(tmp_path, split=split), "test") == targets(plain, "test")


def test_folds_follow_the_split_that_the_data_have(tmp_path: Path) -> None:
    table(tmp_path)
    for fold in load(tmp_path, split=GroupSplit(group="who")).folds:
        people = [
            {float(y) // 4 for y in targets(fold, split)} for split in ("train", "validation")
        ]
        assert not people[0] & people[1]
    for fold in load(tmp_path, split=TimeSplit(time="day", gap=2)).folds:
        times = [[float(y) for y in targets(fold, split)] for split in ("train", "validation")]
        assert max(times[0]) + 2 < min(times[1])


def test_rows_limit_what_the_folds_share(tmp_path: Path) -> None:
    table(tmp_path)
    data = load(tmp_path, rows=20)
    assert [(len(f.train), len(f.validation)) for f in data.folds] == [(15, 5)] * 4
    late = load(tmp_path, rows=20, split=TimeSplit(time="day"))
    assert min(float(y) for fold in late.folds for y in targets(fold, "train")) == 28.5


def test_the_cache_gives_the_same_folds_back(tmp_path: Path) -> None:
    table(tmp_path)
    cache = DataCache(tmp_path / "cache")
    made, kept = load(tmp_path, cache), load(tmp_path, cache)
    assert isinstance(kept.folds[3].train.shared["x"], np.memmap)
    assert (made.fingerprint, made.notes) == (kept.fingerprint, kept.notes)
    assert load(tmp_path, cache, folds=3).fingerprint != kept.fingerprint
    for one, other in zip(made.folds, kept.folds, strict=True):
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(one, split).x, getattr(other, split).x)
        for name, array in one.transform.to_arrays().items():
            np.testing.assert_array_equal(array, other.transform.to_arrays()[name])


def test_each_fold_weighs_its_own_classes(tmp_path: Path) -> None:
    rows = [(f"{r}", "a", "w", "1", "yes" if r % 3 else "no") for r in range(60)]
    table(tmp_path, rows)
    for fold in load(tmp_path, class_weight="balanced", split_seed=3, folds=7).folds:
        weight, y = fold.train.arrays["weight"], fold.train.y
        assert weight[y == 0].sum() == pytest.approx(weight[y == 1].sum(), rel=1e-5)
        assert (fold.validation.arrays["weight"] == 1).all()


@pytest.fixture
def drawn(tmp_path: Path, write_set: Any) -> IdxFolder:
    """Forty images of 4 by 3 pixels in two classes; each is darker than the one before."""
    images = np.arange(40 * 12, dtype=np.uint16).reshape(40, 4, 3) // 2 % 251
    for names, rows in ((TRAIN_FILES, slice(0, 40)), (TEST_FILES, slice(0, 6))):
        write_set(tmp_path / "set", names, images[rows], np.arange(40)[rows] % 2)
    return IdxFolder(idx="set")


def test_folds_of_images_share_one_copy_of_the_pixels(tmp_path: Path, drawn: IdxFolder) -> None:
    data = load(tmp_path, dataset=drawn)
    shared = data.train.shared
    assert (shared["x"].dtype, shared["x"].shape) == (np.uint8, (46, 4, 3, 1))
    assert len(data.resident["x"]) == 40
    assert all(fold.train.shared is shared for fold in data.folds)
    for fold in data.folds:
        for split in (fold.train, fold.validation, fold.test):
            assert split is not None
            pixels = shared["x"][split.places]
            expected = fold.transform.apply(Source(pixels, split.y, "images", ("0", "1")))
            np.testing.assert_array_equal(split.x, expected, strict=True)
            np.testing.assert_array_equal(split.first.x, expected[:1], strict=True)
        assert fold.train.x.mean() == pytest.approx(0, abs=1e-5)
        assert fold.train.x.std() == pytest.approx(1, abs=1e-5)
    assert len({float(fold.transform.offset[0]) for fold in data.folds}) == 4


def test_the_cache_gives_folds_of_images_back(tmp_path: Path, drawn: IdxFolder) -> None:
    cache = DataCache(tmp_path / "cache")
    made, kept = (load(tmp_path, cache, dataset=drawn) for _ in range(2))
    assert isinstance(kept.train.shared["x"], np.memmap)
    assert kept.train.shared["x"].dtype == np.uint8
    for one, other in zip(made.folds, kept.folds, strict=True):
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(one, split).x, getattr(other, split).x)
            np.testing.assert_array_equal(getattr(one, split).y, getattr(other, split).y)


def test_folds_of_images_that_weigh_their_classes_have_copies(
    tmp_path: Path, drawn: IdxFolder
) -> None:
    plain = load(tmp_path, dataset=drawn, normalize="minmax")
    weighed = load(tmp_path, dataset=drawn, normalize="minmax", class_weight="balanced")
    assert weighed.train.scale is None
    assert len(weighed.resident["x"]) == 4 * 40
    for one, other in zip(plain.folds, weighed.folds, strict=True):
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(one, split).x, getattr(other, split).x)
        assert other.train.arrays["weight"].mean() == pytest.approx(1)


def test_a_batch_larger_than_the_smallest_fold_is_refused(tmp_path: Path) -> None:
    table(tmp_path)
    spec = DataSpec(dataset=table(tmp_path), folds=4, batch_size=12, split=TimeSplit(time="day"))
    with pytest.raises(DataError, match="larger than the 12 training rows of the smallest fold"):
        check_batch_size(
            spec.model_copy(update={"batch_size": 13}), load_data(spec, tmp_path, None)
        )
    check_batch_size(spec, load_data(spec, tmp_path, None))
