"""Blocks of rows give the same bits whatever stands beside a row, and fewer rows fit anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import split
from hpo.engine.training.ensemble import answering
from hpo.errors import DeviceError
from hpo.trained.blocks import Blocks, rows_that_fit, told_where_exhausted
from tests.engine.samples import a_training

FOLDER = Path("model")
XlaError = jax.errors.JaxRuntimeError


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        # With 512 rows at once this one answers otherwise than with 64, in the last bits.
        ({"name": "mlp", "widths": [8, 8]}, (5,)),
        ({"name": "cnn", "filters": [3], "dense": 6}, (8, 8, 1)),
        ({"name": "rnn", "width": 4}, (6, 3)),
        ({"name": "transformer", "width": 4, "heads": 2, "depth": 1}, (6, 3)),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_no_answer_depends_on_the_rows_beside_it(
    model: dict[str, Any], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, *shape)).astype(np.float32)
    rows = Split({"x": x[:40], "y": np.arange(40, dtype=np.int32) % 3})
    training = a_training(model=model)
    program, _ = split(training, DataSet("classification", rows, rows, None, 3, "t"), "cpu")
    shapes = abstract_model(program.of_its_own(training))
    drawn = jax.tree.map(
        lambda one: np.abs(rng.standard_normal(one.shape)).astype(one.dtype),
        {"params": shapes.params, "variables": shapes.variables},
    )
    blocks = Blocks(answering(program, training), 64, FOLDER)
    whole = blocks.outputs(drawn, x)
    assert whole.shape == (150, 3)
    for some in (slice(70, 71), slice(3, None), slice(None, None, -1), slice(0, 64)):
        np.testing.assert_array_equal(blocks.outputs(drawn, x[some]), whole[some])


@pytest.mark.parametrize(
    ("bytes_of_row", "platform", "rows"),
    [
        (100, "cpu", 512),
        (1 << 12, "cpu", 128),
        (1 << 15, "cpu", 64),
        (1 << 20, "cpu", 16),
        (3 << 20, "cpu", 4),
        (1 << 40, "cpu", 1),
        (0, "cpu", 512),
        (100, "gpu", 512),
        (16 << 20, "gpu", 32),
    ],
)
def test_a_block_has_as_many_rows_as_fit(bytes_of_row: int, platform: str, rows: int) -> None:
    assert rows_that_fit(bytes_of_row, platform) == rows


def doubled(most: int, error: Exception) -> tuple[Any, list[int]]:
    """A function that fails with more than `most` rows, and the rows that it was given."""
    seen: list[int] = []

    def function(weights: Any, x: np.ndarray) -> Any:
        seen.append(len(x))
        if len(x) > most:
            raise error
        return weights * x

    return function, seen


@pytest.mark.parametrize(
    "error",
    [
        XlaError("RESOURCE_EXHAUSTED: Out of memory allocating 4294967296 bytes."),
        XlaError("INTERNAL: YNNPACK operation failed"),
        MemoryError(),
    ],
    ids=["xla", "ynnpack", "python"],
)
def test_exhausted_memory_halves_the_block(error: Exception) -> None:
    function, seen = doubled(5, error)
    blocks, x = Blocks(function, 16, FOLDER), np.arange(10.0)[:, None]
    np.testing.assert_array_equal(blocks.outputs(2.0, x), 2 * x)
    assert (blocks.rows, seen) == (4, [16, 8, 4, 4, 4])
    blocks.outputs(2.0, x[:3])  # it remembers what fits
    assert seen[5:] == [4]


def test_an_evaluation_that_does_not_fit_is_halved_too() -> None:
    function, seen = doubled(300, MemoryError())
    blocks = Blocks(function, 64, FOLDER)
    blocks.outputs(1.0, np.zeros((3, 1)), 512)
    assert (blocks.rows, seen) == (64, [512, 256])


def test_what_is_answered_stays_so_and_no_smaller_block_helps_where_answers_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function, seen = doubled(4, MemoryError())
    blocks, x = Blocks(function, 4, FOLDER), np.arange(6.0)[:, None]

    def none(*_: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as now:
        now.setattr(np, "concatenate", none)
        with pytest.raises(MemoryError):
            blocks.outputs(2.0, x)
    assert (blocks.rows, seen) == (4, [4, 4])
    # The first block is not answered again where a later one runs out.
    calls: list[int] = []

    def once(weights: Any, rows: np.ndarray) -> Any:
        calls.append(len(rows))
        if calls == [4, 4]:
            raise MemoryError
        return weights * rows

    np.testing.assert_array_equal(Blocks(once, 4, FOLDER).outputs(2.0, x), 2 * x)
    assert calls == [4, 4, 2]


def test_a_single_row_that_does_not_fit_is_one_sentence() -> None:
    blocks = Blocks(doubled(0, XlaError("RESOURCE_EXHAUSTED: no"))[0], 4, FOLDER)
    with pytest.raises(DeviceError) as refused:
        blocks.outputs(1.0, np.zeros((3, 256, 256, 3)))
    assert str(refused.value) == (
        "model: the memory ran out with a single row of the shape [256, 256, 3]: stop other "
        "programs, or raise the limit of memory."
    )


def test_another_error_is_no_exhausted_memory() -> None:
    error = XlaError("INVALID_ARGUMENT: shapes")
    with pytest.raises(XlaError, match="INVALID_ARGUMENT"):
        Blocks(doubled(0, error)[0], 4, FOLDER).outputs(1.0, np.zeros((3, 1)))
    with pytest.raises(XlaError, match="INVALID_ARGUMENT"), told_where_exhausted(FOLDER, "x"):
        raise error


def test_work_that_needs_more_memory_than_there_is_says_what_it_was() -> None:
    with pytest.raises(DeviceError) as refused, told_where_exhausted(Path("a.csv"), "it was read"):
        raise MemoryError
    assert str(refused.value) == (
        "a.csv: the memory ran out while it was read: stop other programs, or raise the limit of "
        "memory."
    )
