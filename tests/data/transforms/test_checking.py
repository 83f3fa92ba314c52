"""Whether the arrays of a fit are those of the examples beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpo.data.source import Source
from hpo.data.transforms.checking import check_fit, check_tokens, width_of
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


@pytest.mark.parametrize(
    ("leaves", "damage", "told"),
    [
        ({}, {"target_std": np.array(0.0)}, "target_std holds 0, by which"),
        ({"clip": 3.0}, {"clip": np.array(-3.0)}, "clip holds -3, by which"),
        ({}, {"target_range": np.array([1.0, 0.0])}, "target_range goes from 1 to 0"),
        ({}, {"text_value": np.array([0, 1, 1, 0, 1, 2], np.int32)}, "text_value is not sorted"),
        ({}, {"text_value": np.array([0, 1, 3, 0, 1, 2], np.int32)}, "holds 3, which is not betw"),
        (
            {"encode": "ordinal"},
            {"known": np.array([1, 0, 2, 0, 1, 2], np.int32)},
            "known is not s",
        ),
        ({"encode": "embed"}, {"code_known": np.array([0, 1, 9, 0, 1, 2], np.int32)}, "holds 9"),
        ({"encode": "ordinal"}, {"known_column": np.array([1, 1], np.int32)}, "known_column is no"),
        ({"encode": "hashing", "buckets": 5}, {"hash_buckets": np.array([5, 0], np.int32)}, "no c"),
        ({"encode": "target"}, {"target_prior": np.full((6, 3), np.inf)}, "target_prior holds inf"),
        ({"transform": "quantile"}, {"quantiles": np.array([[2.0, 0], [1, 1]])}, "are not sorted"),
        ({"by_name": {"home": {"type": "text"}}}, {"text.0.weight": np.array([1.0])}, "weight has"),
        ({"by_name": {"home": {"type": "text"}}}, {"text.0.weight": np.zeros(3)}, "weight holds 0"),
        (
            {"by_name": {"home": {"type": "text"}}},
            {"text.0.token_end": np.array([4, 2, 12])},
            "do not end where its 12 bytes do",
        ),
        (
            {"by_name": {"home": {"type": "text"}}},
            {"text.0.token_bytes": np.frombuffer(b"bonnbonnrome", np.uint8)},
            "holds a token twice",
        ),
    ],
)
def test_arrays_of_wrong_numbers_are_refused(
    leaves: dict[str, Any], damage: dict[str, np.ndarray], told: str
) -> None:
    features = TABLE
    if "by_name" in leaves:
        features = Features(numbers=TABLE.numbers, texts=(TABLE.texts[0], TextColumn("home", None)))
    with pytest.raises(ValueError, match=told):
        check_fit({**fit(**leaves), **damage}, features, 99)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "lacks token_code"),
        ({"token_code": np.array([98, 97])}, "token_code is not sorted"),
        ({"token_code": np.array([97, 0x110000])}, "is not between 0 and 1114111"),
        ({"token_code": np.array([97, 98, 99, 100])}, "has 4 tokens for 3 outputs"),
        ({"merges": np.array([[97, 256]], np.int32)}, "names a token that is not there"),
    ],
)
def test_tokens_of_no_language_are_refused(arrays: dict[str, np.ndarray], told: str) -> None:
    assert check_tokens({"token_code": np.array([97, 98])}, 3).more["token_code"].tolist() == [
        97,
        98,
    ]
    with pytest.raises(ValueError, match=told):
        check_tokens(arrays, 3)


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
