"""Windows of one array, against NumPy's sliding windows."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from hpo.data.dataset import Split, gather, held_bytes
from hpo.data.sequences.windows import Part, Windows
from hpo.engine.training.batches import Index, judged_rows


def _windows(times: int, window: int, horizon: int, step: int = 1) -> Windows:
    array = np.random.default_rng(0).standard_normal((times, 3)).astype(np.float32)
    starts = np.arange(0, times - window - horizon + 1, step, dtype=np.int32)
    parts = (Part("x", 0, window), Part("y", window, horizon, 2), Part("next", window, None, 2))
    return Windows(array, starts, parts)


@settings(max_examples=40, deadline=None)
@given(
    window=st.integers(1, 6),
    horizon=st.integers(1, 4),
    extra=st.integers(0, 20),
    step=st.integers(1, 5),
    data=st.data(),
)
def test_windows_are_those_of_numpy_however_they_are_gathered(
    window: int, horizon: int, extra: int, step: int, data: st.DataObject
) -> None:
    windows = _windows(window + horizon + extra, window, horizon, step)
    past = sliding_window_view(windows.array[:-horizon], window, axis=0)
    future = sliding_window_view(windows.array[window:, 2], horizon, axis=0)
    expected = {
        "x": np.moveaxis(past, -1, 1)[::step],
        "y": future[::step],
        "next": future[::step, 0],
    }
    count = len(windows.starts)
    rows = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=6)))
    some = slice(*sorted(data.draw(st.tuples(st.integers(0, count), st.integers(0, count)))))

    assert [*windows] == [*expected]
    for name, whole in expected.items():
        np.testing.assert_array_equal(windows[name], whole, strict=True)
        np.testing.assert_array_equal(gather(windows, rows)[name], whole[rows], strict=True)
        if some.start < some.stop:
            np.testing.assert_array_equal(gather(windows, some)[name], whole[some], strict=True)


def test_rows_are_gathered_on_a_device_from_the_array_alone() -> None:
    windows = _windows(40, 5, 3)
    rows = np.array([[3, 0], [7, 32]])
    found = jax.jit(gather)(jax.device_put(windows), rows)
    for name in windows:
        np.testing.assert_array_equal(found[name], windows[name][rows])
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(jax.device_put(windows))) == windows.nbytes


def test_the_memory_of_windows_is_that_of_one_array() -> None:
    windows = _windows(1000, 96, 24)
    assert held_bytes(windows) == windows.array.nbytes + windows.starts.nbytes
    part = Split(windows, slice(100, 300))
    for name, array in part.arrays.items():
        assert np.shares_memory(array, windows.array), name
    # A part holds the places that its rows need, and no others.
    assert held_bytes(part.arrays) == 4 * (3 * (199 + 96 + 24) + 200)


def test_an_evaluation_gathers_the_rows_of_a_split_and_weighs_padding_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpo.engine.training.batches._EVALUATION_ROWS", 8)
    part = Split(_windows(60, 5, 3), slice(10, 30))
    rows = judged_rows(part)
    assert isinstance(rows, Index)
    assert rows.feed["judged"].shape == (3, 7)
    found = [rows.batch(places) for places in rows.feed["judged"]]
    weight = np.concatenate([batch["weight"] for batch in found])
    assert weight.tolist() == [1] * 20 + [0]
    for name, array in part.arrays.items():
        gathered = np.concatenate([batch[name] for batch in found])
        np.testing.assert_array_equal(gathered[weight > 0], array)


def test_a_name_that_is_no_part_is_no_key() -> None:
    with pytest.raises(KeyError):
        _windows(20, 5, 3)["weight"]
