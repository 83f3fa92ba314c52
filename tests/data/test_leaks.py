"""Finds rows that are both in training and in a split that judges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.leaks import (
    known_targets_note,
    mixed_times_note,
    repeated_rows_note,
    shared_ids_note,
)
from hpo.data.source import Source


def source(x, y, words=None):
    categories = None if words is None else np.array(words, np.int32)[:, None]
    return Source(np.array(x, np.float64), np.array(y, np.float64), "t", categories=categories)


def some_rows(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 3))


def test_repeated_rows_are_counted_with_and_without_their_target():
    x, y = some_rows(100), np.arange(100.0)
    test = source([*x[:4], *some_rows(16, seed=1)], [0, 1, -2, -3, *range(1000, 1016)])
    assert repeated_rows_note("t.csv", [source(x, y), source(x[90:91], [90]), test]) == [
        "t.csv: 5 of 21 rows for validation and test repeat a row that trains (3 with its target), "
        "so scores look too good: write drop_rows: {duplicates: true} in data.dataset."
    ]


def test_rows_of_two_features_repeat_by_more_than_chance_with_a_quantity_as_target():
    x = np.round(some_rows(700)[:, :2], 1)
    y = some_rows(700, seed=2)[:, 0]
    assert repeated_rows_note("t.csv", [source(x, y), source(x[:300], y[:300])])
    classes = (y > 0).astype(float)
    assert repeated_rows_note("t.csv", [source(x, classes), source(x[:300], classes[:300])]) == []


@given(st.integers(0, 30), st.integers(0, 100))
def test_the_count_is_that_of_python_sets(repeated, seed):
    rng = np.random.default_rng(seed)
    x, words = np.round(rng.normal(size=(200, 4)), 1) + 0.0, rng.integers(-1, 3, 200)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.integers(0, 2, 200)
    picked = np.concatenate([rng.integers(0, 150, repeated), np.arange(150, 200)])
    train = source(x[:150], y[:150], words[:150])
    judged = source(x[picked], y[picked], words[picked])
    features = [str((*x[row], words[row])) for row in range(200)]
    rows = [*zip(features, y, strict=True)]
    met = sum(features[row] in {*features[:150]} for row in picked)
    alike = sum(rows[row] in {*rows[:150]} for row in picked)
    notes = repeated_rows_note("t.csv", [train, judged])
    if alike < 0.01 * len(picked):
        assert notes == []
    else:
        which = "all" if alike == met else str(alike)
        told = f"{met} of {len(picked)} rows for validation and test repeat a row that trains"
        assert notes[0].startswith(f"t.csv: {told} ({which} with its target)")


@pytest.mark.parametrize("y", [[1.0] * 200, [*range(200)]])
def test_a_zero_is_a_zero_and_a_gap_is_a_gap(y):
    x = some_rows(200)
    x[:, 0], x[:, 1] = 0.0, np.nan
    x[:, 2] = np.arange(200)
    other = x.copy()
    other[:, 0] = -0.0
    wide = np.concatenate([x, some_rows(200)], axis=1), np.concatenate([other, some_rows(200)], 1)
    assert "200 of 200" in repeated_rows_note("t.csv", [source(part, y) for part in wide])[0]


@pytest.mark.parametrize(
    ("train", "judged"),
    [
        (some_rows(200), some_rows(200, seed=1)),  # none
        (some_rows(200), np.concatenate([some_rows(200)[:1], some_rows(199, seed=1)])),  # few
        (np.tile([[0.0, 1.0], [1.0, 0.0]], (100, 1)), np.tile([[0.0, 1.0]], (50, 1))),  # chance
        (some_rows(200)[:, ::-1], some_rows(200)),  # the same numbers in other columns
    ],
)
def test_nothing_is_said_of_rows_that_are_few_or_meet_by_chance(train, judged):
    parts = [source(x, np.ones(len(x))) for x in (train, judged)]
    assert repeated_rows_note("t.csv", parts) == []


def visits(name, ids):
    """Rows that train and that judge, of people with these ids."""
    x = np.array([ids, np.arange(len(ids))], np.float64).T
    whole = Source(x, np.zeros(len(ids)), "t", names=(name, "age"))
    return [whole.take(slice(0, 60)), whole.take(slice(60, 80)), whole.take(slice(80, None))]


@pytest.mark.parametrize(
    "name", ["patient_id", "patientId", "ID", "user uuid", "Patient", "subject_no"]
)
def test_ids_that_train_and_judge_are_noted(name):
    ids = np.random.default_rng(0).permutation(np.arange(100) % 20)
    assert shared_ids_note("t.csv", visits(name, ids)) == [
        f"t.csv: 40 of 40 rows for validation and test have a '{name}' of rows that train: to "
        f"judge by new ones, write split: {{group: {name}}} in data; if it says nothing, list it "
        "in data.dataset.drop."
    ]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("paid", np.arange(100) % 20),  # no name of ids
        ("customers", np.arange(100) % 20),  # how many there are
        ("patient_id", np.arange(100)),  # of one row each
        ("patient_id", np.arange(100) % 5),  # few, as categories are
        ("patient_id", np.arange(100) // 5),  # on one side each
    ],
)
def test_nothing_is_said_of_other_columns_and_of_ids_on_one_side(name, ids):
    assert shared_ids_note("t.csv", visits(name, ids)) == []


DAYS = np.arange(40)
PARTS = ("days", "year", "month", "day", "weekday")


def sites(site, y, *, as_numbers):
    site = np.asarray(site)
    noise = np.random.default_rng(len(site)).normal(size=len(site))
    if as_numbers:
        return Source(np.stack([noise, site], 1), np.array(y), "t", names=("wind", "site"))
    words = {"categories": site[:, None].astype(np.int32), "text_names": ("site",)}
    return Source(noise[:, None], np.array(y), "t", names=("wind",), **words)


@pytest.mark.parametrize("as_numbers", [False, True])
def test_a_column_by_which_a_target_can_be_looked_up_is_noted_whatever_its_name(as_numbers):
    site = np.arange(90) % 30
    parts = [sites(own, own * 7 % 3 % 2, as_numbers=as_numbers) for own in (site[:60], site[60:])]
    (note,) = known_targets_note("t.csv", parts)
    assert note == (
        "t.csv: all rows of the same 'site' have the same target, and most rows for validation and "
        "test share it with rows that train. To judge by new ones, write split: {group: site} in "
        "data."
    )


@pytest.mark.parametrize(
    ("train", "judged", "y"),
    [
        (
            np.arange(60) % 30,
            np.arange(30) % 30,
            lambda site: some_rows(len(site))[:, 0] > 0,
        ),  # no rule
        (np.arange(60) % 30, np.arange(30), lambda site: (site > 15) * 1),  # a quantity
        (np.arange(60) % 30, 50 + np.arange(30) % 15, lambda site: site * 7 % 3 % 2),  # new ones
        (np.arange(60) % 5, np.arange(30) % 5, lambda site: site % 2),  # few: categories
        (np.arange(60), np.arange(20), lambda site: site * 7 % 3 % 2),  # most have one row
    ],
)
def test_nothing_is_said_of_columns_that_tell_no_target_or_are_on_one_side(train, judged, y):
    parts = [sites(own, y(own), as_numbers=True) for own in (train, judged)]
    assert known_targets_note("t.csv", parts) == []


def sales(days, name="sold"):
    """Rows with the parts of a date, as a table of dates has them."""
    x = np.array([np.asarray(days, np.float64)] * len(PARTS)).T
    return Source(x, np.zeros(len(days)), "t", names=(name,) * len(PARTS))


def test_a_split_that_mixes_times_is_told():
    odd = DAYS % 2 == 1
    assert mixed_times_note("t.csv", [sales(DAYS[odd]), sales(DAYS[~odd])]) == [
        "t.csv: times are mixed: 20 of 20 rows for validation and test have a 'sold' before that "
        "of rows that train. To judge by the latest rows, write split: {time: sold} in data."
    ]


def test_dates_that_are_categories_are_told_too():
    texts = [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in DAYS]

    def part(rows):
        codes = rows.astype(np.int32)[:, None]
        y = np.zeros(len(rows))
        names = ("the day",)
        return Source(np.zeros((len(rows), 0)), y, "t", (), codes, (), names, (texts,))

    notes = mixed_times_note("t.csv", [part(DAYS[::2]), part(DAYS[1::2])])
    assert 'split: {time: "the day"}' in notes[0]


@pytest.mark.parametrize(
    ("train", "judged", "name"),
    [
        (DAYS[:30], DAYS[30:], "sold"),  # a forward split
        (DAYS[::2], DAYS[1::2], "birth_date"),
        (DAYS[::2] % 5, DAYS[1::2] % 5, "sold"),  # few different days
        (np.full(20, np.nan), np.full(20, np.nan), "sold"),
    ],
)
def test_nothing_is_said_of_times_that_are_not_mixed(train, judged, name):
    assert mixed_times_note("t.csv", [sales(train, name), sales(judged, name)]) == []
