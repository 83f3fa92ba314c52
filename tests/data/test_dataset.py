"""Splits are rows of shared arrays, which `gather` reads."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hpo.data import load
from hpo.data.dataset import DataSet, Split, gather, scale_of, scaled
from hpo.data.source import Source
from hpo.data.split import SplitRows
from hpo.data.transforms.transform import fit_transform
from hpo.spec.sections.columns import Columns


@st.composite
def arrays_and_rows(draw):
    """Arrays of the same length, and an index of their rows: whole numbers, or a slice."""
    rows = draw(st.integers(1, 12))
    shapes = st.tuples(st.just(rows), st.integers(0, 3))
    kinds = st.sampled_from([np.float32, np.int32, np.uint8])
    named = st.dictionaries(st.sampled_from("abc"), arrays_of.arrays(kinds, shapes), min_size=1)
    whole = arrays_of.arrays(
        np.int32, arrays_of.array_shapes(max_dims=2, max_side=5), elements=st.integers(0, rows - 1)
    )
    ends = st.tuples(st.integers(0, rows), st.integers(0, rows + 2))
    return draw(named), draw(st.one_of(whole, ends.map(lambda e: slice(*e))))


@given(arrays_and_rows())
def test_gathered_rows_are_those_that_numpy_gives(drawn):
    arrays, rows = drawn
    found = gather(arrays, rows)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array[rows])


def test_a_split_has_all_rows_unless_it_has_an_index():
    x = np.arange(8.0).reshape(4, 2)
    arrays = {"x": x, "y": np.arange(4)}
    assert Split(arrays).x.tolist() == x.tolist()
    assert Split(arrays, slice(1, 3)).y.tolist() == [1, 2]
    shuffled = Split(arrays, np.array([3, 0, 1]))
    assert (len(shuffled), shuffled.x.tolist()) == (3, [[6, 7], [0, 1], [2, 3]])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_splits_of_a_load_share_one_array_of_the_rows_as_each_is_scaled_alone(
    monkeypatch, size
):
    monkeypatch.setattr(load, "_ROWS_AT_ONCE", size)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((30, 3))
    table[rng.random(table.shape) < 0.2] = np.nan
    source = Source(table, rng.standard_normal(30), "t", weight=rng.uniform(1, 2, 30))
    rows = SplitRows(*(np.arange(first, 30, 3) for first in range(3)))
    parts = [source.take(own) for own in rows]
    fit = fit_transform(parts[0], "standard", columns=Columns())
    monkeypatch.setattr(load, "read_source", lambda *_: source)
    monkeypatch.setattr(load, "split_rows", lambda *_: rows)
    data = load._prepared(load.DataSpec(dataset="iris", batch_size=1), None, None)
    for split, part in zip((data.train, data.validation, data.test), parts, strict=True):
        assert split.shared is data.train.shared
        assert np.shares_memory(split.x, data.train.shared["x"])
        np.testing.assert_array_equal(split.x, fit.apply(part))
        np.testing.assert_array_equal(split.y, fit.apply_target(part))
        np.testing.assert_allclose(
            split.arrays["weight"], part.weight / parts[0].weight.mean(), rtol=1e-6
        )
    assert {len(array) for array in data.train.shared.values()} == {30}


def test_scaling_takes_little_memory_beside_its_result():
    rng = np.random.default_rng(0)
    source = Source(rng.standard_normal((40_000, 20)), np.zeros(40_000, np.int32), "t", ("a", "b"))
    parts = [source.take(slice(30_000)), source.take(slice(30_000, None))]
    fit = fit_transform(parts[0], "standard", columns=Columns())
    tracemalloc.start()
    splits = load._encoded([parts], [fit])[0]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = sum(array.nbytes for array in splits[0].shared.values())
    assert most < 1.3 * kept


@pytest.mark.parametrize("is_shared", [True, False])
def test_black_and_white_are_the_extremes_of_the_training_images_as_scaled(is_shared):
    pixels = np.random.default_rng(0).integers(10, 200, (20, 3, 3, 2), np.uint8)
    pixels[0] = 255  # of no training row
    pixels[5, 0, 0], pixels[6, 0, 0] = [3, 90], [90, 240]
    source = Source(pixels[5:], np.zeros(15), "t")
    transform = fit_transform(source, "standard", columns=Columns())
    scale = scale_of(transform)
    if is_shared:
        train = Split({"x": pixels, "y": np.zeros(20)}, slice(5, 20), scale)
    else:
        train = Split({"x": scaled(pixels[5:], scale), "y": np.zeros(15)})

    ends = DataSet("classification", train, train, None, 1, "", transform=transform).pixel_ends

    np.testing.assert_allclose(ends, [(n - scale[0]) / scale[1] for n in (3, 240)], rtol=1e-5)
