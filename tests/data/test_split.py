"""Which rows train, validate and test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.split import SplitSizes, split_rows, split_sizes
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
