"""Which rows train, validate and test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupShuffleSplit, TimeSeriesSplit

from hpo.data.split import SplitSizes, split_groups, split_rows, split_sizes, split_times
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec


def sizes_of(total, /, *, has_own_test=False, classes=0, **data):
    spec = DataSpec(dataset="digits", **data)
    return split_sizes(spec, total, has_own_test=has_own_test, classes=classes)


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        ({}, SplitSizes(train=600, validation=200, test=200, left_out=0)),
        ({"test": 0}, SplitSizes(800, 200, 0, 0)),
        ({"test": 0.1, "validation": 0.3}, SplitSizes(600, 300, 100, 0)),
        ({"test": 150, "validation": 50}, SplitSizes(800, 50, 150, 0)),
        ({"test": 1, "validation": 1}, SplitSizes(998, 1, 1, 0)),  # counts, not shares
        ({"rows": 500}, SplitSizes(400, 100, 200, 300)),  # the test split stays as it was
        ({"rows": 500, "validation": 50}, SplitSizes(450, 50, 200, 300)),
        ({"has_own_test": True}, SplitSizes(800, 200, 0, 0)),
        ({"has_own_test": True, "test": 0}, SplitSizes(800, 200, 0, 0)),
    ],
)
def test_shares_are_of_all_rows_and_counts_are_counts(data, sizes):
    assert sizes_of(1000, **data) == sizes


@pytest.mark.parametrize(
    ("total", "data", "message"),
    [
        (100, {"test": 100}, "data.test: 100 leaves none of the 100 rows to train on: write a"),
        (100, {"test": 0.001}, "data.test: 0.001 of 100 rows is less than one: write a count."),
        (100, {"validation": 0}, "data.validation: 0 leaves no rows to compare trials on: write"),
        (100, {"validation": 200}, "data.validation: 200 leaves none of the 100 rows to train on"),
        (100, {"validation": 80}, "data.validation: 80 leaves 0 of 80 rows to train on, too few"),
        (100, {"rows": 81}, "data.rows: 81 is more than the 80 rows there are beside the test"),
        (100, {"rows": 101, "test": 0}, "data.rows: 101 is more than the 100 rows there are: wri"),
        (100, {"rows": 11, "validation": 2, "classes": 10}, "too few to have one for each of the"),
        (150, {"has_own_test": True, "test": 0.2}, "data.test: 0.2: this data set has test files"),
        (150, {"has_own_test": True, "test": 50}, "write auto to use them, or 0 for no test spl"),
    ],
)
def test_the_message_about_impossible_sizes_says_what_to_do(total, data, message):
    with pytest.raises(DataError) as error:
        sizes_of(total, **data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@st.composite
def labelled_sizes(draw):
    """Shuffled labels of some classes, and sizes that leave every class a row to train on."""
    counts = draw(st.lists(st.integers(2, 40), min_size=1, max_size=6))
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    free = len(labels) - len(counts)
    test = draw(st.integers(0, free))
    left_out = draw(st.integers(0, free - test))
    validation = draw(st.integers(0, free - test - left_out))
    return SplitSizes(
        len(labels) - test - left_out - validation, validation, test, left_out
    ), labels


@given(labelled_sizes(), st.booleans(), st.integers(0, 2**40))
def test_splits_are_disjoint_and_of_the_sizes_asked_for(drawn, is_classification, seed):
    sizes, labels = drawn
    rows = split_rows(sizes, labels if is_classification else None, seed)
    assert [len(split) for split in rows] == [sizes.train, sizes.validation, sizes.test]
    everything = np.concatenate(rows)
    assert len(np.unique(everything)) == len(everything)
    assert set(everything) <= set(range(len(labels)))


@given(labelled_sizes(), st.integers(0, 100))
def test_every_class_has_a_row_to_train_on(drawn, seed):
    sizes, labels = drawn
    rows = split_rows(sizes, labels, seed)
    assert set(labels[rows.train]) == set(labels)


@given(
    st.lists(st.integers(10, 200), min_size=2, max_size=8),
    st.floats(0.01, 0.35),
    st.floats(0.01, 0.35),
    st.integers(0, 100),
)
def test_each_class_has_its_share_of_a_split_to_within_one_row(counts, test, validation, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    n_test, n_validation = round(test * len(labels)), round(validation * len(labels))
    sizes = SplitSizes(len(labels) - n_test - n_validation, n_validation, n_test, 0)
    rows = split_rows(sizes, labels, seed)
    for split in (rows.validation, rows.test):
        found = np.bincount(labels[split], minlength=len(counts))
        assert np.abs(found - len(split) * np.array(counts) / len(labels)).max() < 1


@given(labelled_sizes(), st.integers(0, 100))
def test_the_seed_fixes_the_split(drawn, seed):
    sizes, labels = drawn
    for one, other in zip(
        split_rows(sizes, labels, seed), split_rows(sizes, labels, seed), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_another_split():
    sizes = SplitSizes(60, 20, 20, 0)
    assert set(split_rows(sizes, None, 0).test) != set(split_rows(sizes, None, 1).test)


def test_leaving_rows_out_does_not_change_the_test_split():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    whole = split_rows(SplitSizes(60, 20, 20, 0), labels, 3)
    part = split_rows(SplitSizes(24, 6, 20, 50), labels, 3)
    np.testing.assert_array_equal(whole.test, part.test)


@st.composite
def grouped_sizes(draw):
    """The group of each row, shuffled, and sizes of the splits that leave rows to train on."""
    counts = draw(st.lists(st.integers(1, 30), min_size=3, max_size=12))
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    free = len(groups) - 1
    validation = draw(st.integers(1, free - 1))
    test = draw(st.integers(0, free - validation))
    left_out = draw(st.integers(0, free - validation - test))
    return groups, SplitSizes(
        len(groups) - validation - test - left_out, validation, test, left_out
    )


@given(grouped_sizes(), st.integers(0, 100))
def test_no_group_is_in_two_splits_and_each_split_has_one(drawn, seed):
    groups, sizes = drawn
    rows = split_groups(sizes, groups, seed)
    of = [set(groups[split]) for split in rows]
    assert sum(map(len, of)) == len(set().union(*of))
    assert all(of[:2])
    assert bool(of[2]) == (sizes.test > 0)
    for split, found in zip(rows, of, strict=True):  # whole groups, in the order of the rows
        np.testing.assert_array_equal(split, np.flatnonzero(np.isin(groups, [*found])))


@given(
    st.lists(st.integers(1, 30), min_size=10, max_size=40),
    st.floats(0.1, 0.3),
    st.floats(0.1, 0.3),
    st.integers(0, 100),
)
def test_groups_come_within_half_a_group_of_the_shares(counts, test, validation, seed):
    groups = np.repeat(np.arange(len(counts)), counts)
    n_test, n_validation = (max(1, round(share * len(groups))) for share in (test, validation))
    sizes = SplitSizes(len(groups) - n_test - n_validation, n_validation, n_test, 0)
    rows = split_groups(sizes, groups, seed)
    for split, size in ((rows.test, n_test), (rows.validation, n_validation)):
        is_forced = len(set(groups[split])) == 1
        assert is_forced or abs(len(split) - size) <= max(counts) / 2


def test_groups_of_one_size_give_the_sizes_of_scikit_learn():
    groups = np.tile(np.arange(20), 5)
    rows = split_groups(SplitSizes(75, 25, 0, 0), groups, 3)
    one = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
    train, validation = next(one.split(groups, groups=groups))
    assert (len(rows.train), len(rows.validation)) == (len(train), len(validation))
    assert len(rows.test) == 0


def test_the_seed_fixes_the_groups_and_another_gives_others():
    groups, sizes = np.repeat(np.arange(30), 3), SplitSizes(54, 18, 18, 0)
    one, again, other = (split_groups(sizes, groups, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.test, again.test)
    assert {*groups[one.test]} != {*groups[other.test]}


@pytest.mark.parametrize(
    ("sizes", "groups", "message"),
    [
        (
            SplitSizes(2, 1, 1, 0),
            [0, 0, 1, 1],
            "data.split.group: the column has 2 groups, and training, validation and test need one "
            "each: name another column, set data.test to 0 or remove data.split.",
        ),
        (
            SplitSizes(2, 2, 0, 0),
            [0, 0, 0, 0],
            "data.split.group: the column has 1 group, and training and validation need one each: "
            "name another column or remove data.split.",
        ),
    ],
)
def test_too_few_groups_are_refused(sizes, groups, message):
    with pytest.raises(DataError) as error:
        split_groups(sizes, np.array(groups), 0)
    assert str(error.value) == message


@given(
    st.integers(13, 60),
    st.integers(1, 4),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_times_that_differ_are_split_as_by_scikit_learn(rows, validation, gap, random):
    times = np.arange(rows, dtype=np.float64)
    random.shuffle(times)
    order = np.argsort(times)
    found = split_times(SplitSizes(rows - validation, validation, 0, 0), times, gap)
    forward = TimeSeriesSplit(n_splits=2, test_size=validation, gap=gap)
    train, judged = [*forward.split(order)][-1]
    np.testing.assert_array_equal(found.train, np.sort(order[train]))
    np.testing.assert_array_equal(found.validation, np.sort(order[judged]))


@given(
    st.lists(st.integers(0, 30), min_size=6, max_size=60).filter(lambda days: len({*days}) > 4),
    st.floats(0.1, 0.4),
    st.floats(0.1, 0.4),
)
def test_each_split_is_later_than_the_one_before_and_parts_no_equal_times(days, test, validation):
    times = np.array("2024-01-01", "datetime64[us]") + np.array(days) * np.timedelta64(1, "D")
    n_test, n_validation = (max(1, round(share * len(days))) for share in (test, validation))
    sizes = SplitSizes(len(days) - n_test - n_validation, n_validation, n_test, 0)
    rows = split_times(sizes, times, 0)
    assert sorted(np.concatenate(rows)) == [*range(len(days))]
    assert times[rows.train].max() < times[rows.validation].min()
    assert times[rows.validation].max() < times[rows.test].min()


def test_a_gap_of_days_leaves_out_what_a_gap_of_as_many_daily_rows_does():
    times = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]").astype("datetime64[us]")
    sizes = SplitSizes(20, 10, 10, 0)
    by_rows, by_days = (split_times(sizes, times, gap) for gap in (3, np.timedelta64(3, "D")))
    assert by_rows.train.tolist() == [*range(17)]
    assert by_rows.validation.tolist() == [*range(20, 27)]
    assert by_rows.test.tolist() == [*range(30, 40)]
    for one, other in zip(by_rows, by_days, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_rows_are_the_latest_ones():
    found = split_times(SplitSizes(12, 3, 5, 20), np.arange(40.0), 0)
    assert found.train.tolist() == [*range(20, 32)]
    assert found.validation.tolist() == [32, 33, 34]


@pytest.mark.parametrize(
    ("times", "gap", "message"),
    [
        ([1, 1, 2, 2, 2, 2], 0, "data.split.time: the column has 2 different times, and training"),
        ([1, 2, 3, 4, 5, 6], 2, "data.split.gap: leaves no rows to validate on: make it smaller."),
        ([1, 2, 2, 2, 2, 4], 1, "data.split.gap: leaves no rows to train on: make it smaller."),
    ],
)
def test_times_that_leave_a_split_empty_are_refused(times, gap, message):
    with pytest.raises(DataError) as error:
        split_times(SplitSizes(3, 2, 1, 0), np.array(times, np.float64), gap)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
