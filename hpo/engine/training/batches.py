"""Batches: a data set as named arrays on the host and on the device, and how rows become a batch.

A batch is a mapping of arrays whose first axis is its rows: `x`, `y`, and `weight` if rows have
weights. Each task reads the arrays that it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split, gather, scaled
from hpo.data.sequences.windows import Windows
from hpo.engine.program import Program
from hpo.spec.sections.compression.teacher import teacher_of

# Rows of one evaluation step: few enough for the activations of a convolution to stay in cache.
_EVALUATION_ROWS = 512

# Arrays live on a device while they are used and on the host before.
if TYPE_CHECKING:
    AnyArray: TypeAlias = Any
else:
    AnyArray = jax.Array | np.ndarray

Batch: TypeAlias = Mapping[str, Any]

jax.tree_util.register_dataclass(Windows, ["array", "starts"], ["parts"])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DeviceData:
    """The data set as a program takes it: whole, or a chunk of its micro-batches.

    `train` holds arrays `[N, ...]`, or `[slots, rows, ...]` where `is_chunked`. `validation` holds
    arrays `[chunks, rows, ...]`, or an index of rows; it is None where the split is streamed, and
    `piece` then has the shapes in which its rows come. `alternatives` are those of words, and
    `teacher` the networks of a teacher that answers within a step.
    """

    train: Batch
    validation: Batch | Index | None
    piece: Batch | None = None
    alternatives: Mapping[str, AnyArray] = field(default_factory=dict)
    teacher: tuple[Any, ...] = ()
    is_chunked: bool = field(default=False, metadata={"static": True})

    def without_piece(self) -> DeviceData:
        """The data without `piece`, as a round takes them."""
        return replace(self, piece=None)


def evaluation_parts(rows: int) -> int:
    """The number of equal parts into which the rows of a split are cut for evaluation."""
    return math.ceil(rows / _EVALUATION_ROWS)


def host_rows(split: Split, start: int = 0, count: int | None = None) -> dict[str, np.ndarray]:
    """`count` parts of a split from part `start` on, or all of them, `[parts, rows, ...]`.

    Padding rows of the last part have the weight 0; the other rows have their own, or 1.
    """
    parts = evaluation_parts(len(split))
    rows = math.ceil(len(split) / parts)
    count = parts if count is None else count
    arrays = dict(gather(split.arrays, slice(start * rows, (start + count) * rows)))
    arrays.setdefault("weight", np.ones(len(arrays["y"]), np.float32))

    def cut(array: np.ndarray) -> np.ndarray:
        padding = count * rows - len(array)
        padded = np.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(count, rows, *array.shape[1:])

    return {name: cut(array) for name, array in arrays.items()}


def whole_rows(split: Split) -> dict[str, np.ndarray]:
    """All rows of a split as one part, `[1, rows, ...]`, without padding."""
    return {name: array[None] for name, array in split.arrays.items()}


def host_data(data: DataSet, *, is_whole: bool) -> DeviceData:
    """The data set as a program takes it, still on the host: none but the rows of its splits.

    Where `is_whole`, the rows for evaluation are one part. With folds, the feed of a lane says
    which rows its fold evaluates.
    """
    if data.folds:
        return DeviceData(data.resident, None, teacher=data.teacher)
    rows = whole_rows if is_whole else held_rows
    return DeviceData(
        data.resident,
        rows(data.validation),
        alternatives=data.transform.alternatives,
        teacher=data.teacher,
    )


def held_rows(split: Split) -> Batch | Index:
    """The same of a split that stays on a device, where stored features are scaled part by part."""
    if split.scale is None:
        return judged_rows(split)
    places = _in_parts(np.arange(len(split)), judged_shape(len(split)))
    offset, divisor = split.scale
    return Index(split.held, {"judged": places, "offset": offset, "divisor": divisor})


def judged_rows(split: Split) -> Batch | Index:
    """All rows of a split for evaluation; windows of one array are gathered on the device."""
    if not isinstance(split.arrays, Windows):
        return host_rows(split)
    places = _in_parts(np.arange(len(split)), judged_shape(len(split)))
    return Index(split.arrays, {"judged": places})


def judged_shape(rows: int) -> tuple[int, int]:
    """The number of parts in which the rows of a fold are evaluated, and the rows of each."""
    parts = evaluation_parts(rows)
    return parts, math.ceil(rows / parts)


def fold_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """The shapes of what `fold_feed` gives."""
    shapes: dict[str, tuple[int, ...]] = {"judged": judged_shape(program.judged_rows)}
    return shapes | ({} if teacher_of(program.template) is None else {"fold": ()})


def fold_feed(program: Program, fold: DataSet) -> dict[str, np.ndarray]:
    """What lanes of different folds differ in: `judged`, the rows to evaluate.

    With a teacher also `fold`, the number of the fold for which it answers.
    """
    feed = {"judged": judged_places(fold.validation, judged_shape(program.judged_rows))}
    number = np.array(fold.number, np.int32)
    return feed | ({} if teacher_of(program.template) is None else {"fold": number})


def judged_places(split: Split, shape: tuple[int, int]) -> np.ndarray:
    """The places of the rows of a split, int32 `[parts, rows]`; -1 for padding at the end."""
    return _in_parts(split.places, shape)


def _in_parts(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    padding = math.prod(shape) - len(places)
    return np.pad(places.astype(np.int32), (0, padding), constant_values=-1).reshape(shape)


def fed(arrays: Batch, rows: Any, feed: Batch) -> Batch:
    """A batch of these rows on a device, by the feed of a lane.

    The feed may say how features are scaled, and a factor for the weight of each row.
    """
    batch = gather(arrays, rows)
    if "row_weight" in feed:
        # Extra rows lie beyond those that have a factor.
        factor = feed["row_weight"].at[rows].get(mode="fill", fill_value=1.0)
        weight = batch.get("weight")
        if weight is not None:
            factor = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        batch = {**batch, "weight": factor}
    if "offset" not in feed:
        return batch
    return {**batch, "x": scaled(batch["x"], (feed["offset"], feed["divisor"]))}


class Index(NamedTuple):
    """The rows that a lane evaluates: places in arrays on a device, from its feed.

    `judged` are their places `[parts, rows]`; -1 for padding.
    """

    arrays: Batch
    feed: Batch

    def batch(self, places: Any) -> Batch:
        """The rows at some of the places; padding rows are others with the weight 0."""
        batch = fed(self.arrays, jnp.maximum(places, 0), self.feed)
        weight, is_padding = batch.get("weight", 1.0), places < 0
        if getattr(weight, "ndim", 0) > is_padding.ndim:  # of pixels
            is_padding = is_padding[:, None, None]
        return {**batch, "weight": jnp.where(is_padding, 0.0, weight)}
