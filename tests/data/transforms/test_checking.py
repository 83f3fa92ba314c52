"""Whether the arrays of a fit are those of the examples beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpo.data.source import Source
from hpo.data.transforms.checking import check_fit, width_of
from hpo.data.transforms.features import Features, NumberColumn, TextColumn
from hpo.data.transforms.transform import fit_transform
from hpo.spec.sections.columns import Columns, Reduce

WORDS = ("Bonn", "Oslo", "Rome")
TABLE = Features(
    numbers=(NumberColumn("age", "number"), NumberColumn("pay", "number")),
    texts=(TextColumn("city", WORDS), TextColumn("home", WORDS)),
)
IMAGES = Features(shape=(4, 4, 3), type="uint8")
ALL = Reduce.model_construct(name="none", components=0.95)


def rows() -> Source:
    rng = np.random.default_rng(0)
    x = rng.normal(40, 9, (30, 2))
    x[::5, 0] = np.nan
    return Source(
        x=x,
        y=np.arange(30, dtype=np.int32) % 3,
        target="t.csv",
        classes=("a", "b", "c"),
        categories=rng.integers(-1, 3, (30, 2)).astype(np.int32),
        names=("age", "pay"),
        text_names=("city", "home"),
        values=(WORDS, WORDS),
    )


def fit(reduce: Reduce = ALL, clip: float | None = None, **columns: Any) -> dict[str, np.ndarray]:
    made = fit_transform(
        rows(), "standard", clip=clip, reduce=reduce, columns=Columns.model_validate(columns)
    )
    return made.to_arrays()


def image_fit() -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), np.uint8)
    source = Source(x=x, y=np.zeros(9, np.int32), target="x.npz", classes=("a",))
    return fit_transform(source, "standard", columns=Columns(), image_size=2).to_arrays()


EVERY = [
    {},
    {"flag": True, "encode": "ordinal"},
    {"encode": "target", "transform": "quantile"},
    {"encode": "embed", "by_name": {"pay": {"transform": "log"}}},
    {"encode": "hashing", "buckets": 5, "clip": 3.0},
    {"reduce": Reduce(name="pca", components=1)},
    {"by_name": {"home": {"encode": "target"}, "city": {"encode": "ordinal"}}},
    {"by_name": {"home": {"type": "text"}}},
]


@pytest.mark.parametrize("leaves", EVERY)
def test_every_fit_of_a_table_fits_its_own_examples(leaves: dict[str, Any]) -> None:
    arrays = fit(**leaves)
    found = check_fit(arrays, TABLE, 99)
    assert width_of(found, TABLE) == found.apply(rows()).shape[1:]


def test_a_fit_of_images_fits_its_own_examples() -> None:
    assert width_of(check_fit(image_fit(), IMAGES, 12), IMAGES) == (2, 2, 3)


@pytest.mark.parametrize(
    ("leaves", "damage"),
    [
        ({}, {"offset": None}),
        ({}, {"divisor": None}),
        ({}, {"offset": np.zeros(0)}),
        ({}, {"divisor": np.ones(())}),  # one number would be stretched over both columns
        ({}, {"offset": np.zeros((2, 2))}),
        ({}, {"offset": np.array(["a", "b"])}),
        ({}, {"target_mean": np.zeros((3, 3))}),
        ({}, {"target_std": None}),
        ({}, {"kept": None}),
        ({}, {"kept": np.ones(2)}),
        ({}, {"kept": np.array([True])}),
        ({}, {"fill": np.zeros(1)}),
        ({}, {"text_fill": None}),
        ({}, {"text_fill": np.zeros(1, np.int32)}),
        ({}, {"text_value": np.zeros(0, np.int32)}),
        ({}, {"text_column": np.full(6, 2, np.int32)}),
        ({}, {"text_column": np.full(6, -1, np.int32)}),
        ({"clip": 3.0}, {"clip": np.ones(2)}),
        ({"encode": "target"}, {"known_is_target": None}),
        ({"encode": "target"}, {"target_means": np.zeros((6, 9))}),
        ({"encode": "ordinal"}, {"known_start": np.array([0, 9, 6])}),
        ({"encode": "ordinal"}, {"known_start": np.array([0, 6])}),
        ({"encode": "hashing"}, {"hash_buckets": np.full(2, 1 << 30, np.int32)}),
        ({"transform": "quantile"}, {"quantiles": np.zeros((9, 1))}),
        ({"reduce": Reduce(name="pca", components=1)}, {"map_mean": np.zeros(1)}),
        ({"flag": True}, {"flag_column": np.array([7], np.int32)}),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    leaves: dict[str, Any], damage: dict[str, np.ndarray | None]
) -> None:
    changed = {**fit(**leaves), **damage}
    arrays = {name: array for name, array in changed.items() if array is not None}
    with pytest.raises(ValueError, match=r"lacks|has the shape|names a column|more hashes"):
        check_fit(arrays, TABLE, 99)


def test_a_fit_of_other_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="is of a table"):
        check_fit(fit(), IMAGES, 99)
    with pytest.raises(ValueError, match="lacks kept"):
        check_fit(image_fit(), TABLE, 99)
    fewer = Features(numbers=TABLE.numbers[:1], texts=TABLE.texts)
    with pytest.raises(ValueError, match="kept has the shape"):
        check_fit(fit(), fewer, 99)
    grey = Features(shape=(4, 4, 1), type="uint8")
    with pytest.raises(ValueError, match="has the shape"):
        check_fit(image_fit(), grey, 99)
