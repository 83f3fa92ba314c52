"""How data sets lie on a device: copied whole, or streamed where they are larger than its budget.

Chunks are fetched while the device trains. A chunk holds the micro-batches that the lanes train
next, each of them once. The order of rows is the same for all lanes at the same epoch, so lanes at
the same step share them. A step reads the same rows as from a whole data set, so a trial learns the
same bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split, gather, held_bytes
from hpo.data.sequences.windows import Windows
from hpo.engine.devices import memory_bytes
from hpo.engine.mesh import Place, sharding
from hpo.engine.training.batches import (
    Batch,
    DeviceData,
    evaluation_parts,
    held_rows,
    host_data,
    host_rows,
    judged_rows,
)
from hpo.engine.training.task import Progress, Tally
from hpo.errors import DeviceError
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.sizes import size_text

# The share of a device's memory that data may take by default; the rest is for the training.
_AUTO_SHARE = 0.5
# Chunks of more micro-batches would delay the first step and save nothing.
_MOST_PARTS = 1024

# A micro-batch of an epoch: the study's seed, the epoch, its index in the epoch.
_Part: TypeAlias = tuple[int, int, int]


# From the study's seed and an epoch to the rows of each micro-batch, int32 `[parts, rows]`.
RowOrder: TypeAlias = Callable[[int, int], np.ndarray]


class Course(NamedTuple):
    """The progress of a lane, and the epoch up to which it trains.

    An epoch has `steps` steps, and a step has `parts` micro-batches.
    """

    seed: int
    progress: Progress
    to_epoch: int
    steps: int
    parts: int = 1

    @property
    def has_work(self) -> bool:
        """Whether the lane has steps to train."""
        return self.progress.epoch < self.to_epoch

    def ahead(self) -> Iterator[Progress]:
        """The steps that the lane is still to train, in their order."""
        first = self.progress.step
        for epoch in range(self.progress.epoch, self.to_epoch):
            for step in range(first, self.steps):
                yield Progress(epoch, step)
            first = 0

    def micro_batches(self, at: Progress) -> list[_Part]:
        """The micro-batches of a step."""
        first = at.step * self.parts
        return [(self.seed, at.epoch, first + number) for number in range(self.parts)]


class Placement(NamedTuple):
    """How each split of a data set lies on the device: in chunks, or whole for None.

    `train` is the number of micro-batches in a chunk, `validation` that of evaluation parts.
    """

    train: int | None
    validation: int | None


def budget_bytes(spec: DataSpec, device: Any) -> int | None:
    """The bytes of a device that data may take; None if neither the spec nor the device has a
    limit.
    """
    if spec.device_budget != "auto":
        return spec.device_budget
    memory = memory_bytes(device)
    return None if memory is None else int(memory * _AUTO_SHARE)


def data_bytes(data: DataSet) -> int:
    """The memory on a device of the splits that a search needs, and of a teacher within steps."""
    held = held_bytes(data.resident) + _teacher_bytes(data)
    return held if data.folds else held + _evaluation_bytes(data.validation)


def placement_of(data: DataSet, micro_batch: int, at_once: int, budget: int | None) -> Placement:
    """The placement of a data set that may take `budget` bytes of a device.

    A larger one is streamed, and a teacher lies there throughout. A quarter of what is left of the
    budget is for the chunk in training, a quarter for the next one. The other half is for
    validation rows, which are streamed too if they take more. `at_once` is the number of
    micro-batches in a step, which a chunk must hold.

    Raises:
        DeviceError: if the budget is too small for that.
    """
    if budget is None or data_bytes(data) <= budget:
        return Placement(None, None)
    if data.folds:
        raise DeviceError(
            f"data.folds: {len(data.folds)} encoded copies take {size_text(data_bytes(data))} of "
            f"{size_text(budget)}, and folds are not streamed: raise data.device_budget, or make "
            "data.folds or data.rows smaller."
        )
    part_bytes = micro_batch * _row_bytes(data.train)
    rows, teacher = data.validation, _teacher_bytes(data)
    needed = max(4 * at_once * part_bytes, min(2 * _evaluation_bytes(rows), 4 * _part_bytes(rows)))
    if teacher + needed > budget:
        raise DeviceError(
            f"data.device_budget: {size_text(budget)} is too small to stream this data set: "
            f"write {size_text(teacher + needed)} or more, or make data.batch_size smaller."
        )
    rest = budget - teacher
    most = min(rest // 4 // part_bytes, max(_MOST_PARTS, at_once))
    return Placement(most, _piece_parts(rows, rest))


def _teacher_bytes(data: DataSet) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(data.teacher))


def streaming_text(data: DataSet, spec: DataSpec, device: Any) -> str | None:
    """The message about a data set that will be streamed; None if it will not."""
    budget = budget_bytes(spec, device)
    if budget is None or data_bytes(data) <= budget:
        return None
    return (
        f"The data take {size_text(data_bytes(data))} and may take {size_text(budget)} of a device "
        "(data.device_budget): they are streamed in chunks, with the same results."
    )


def over_pieces(
    step: Callable[[Any, Batch], Tally], sums: Any, split: Split, device: Any, budget: int | None
) -> Tally:
    """The tally, on the host, of `step(sums, rows)` for the rows of a split in turn.

    A split that takes more than half the budget comes in pieces of equal shape, each fetched while
    the one before it is evaluated.
    """
    size, parts = _piece_parts(split, budget), evaluation_parts(len(split))
    if size is None:
        return jax.device_get(step(sums, jax.device_put(judged_rows(split), device)))

    def fetch(start: int) -> Batch:
        return _put(host_rows(split, start, size), device)

    scores = []
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as fetcher:
        following = fetcher.submit(fetch, 0)
        for start in range(0, parts, size):
            rows = following.result()
            if start + size < parts:
                following = fetcher.submit(fetch, start + size)
            sums, found = jax.block_until_ready(step(sums, rows))
            if found is not None:
                scores.append(jax.device_get(found))
            del rows  # so that at most two pieces are on the device
    # The chunks are the third axis from the end. An axis of lanes may come before it.
    return Tally(jax.device_get(sums), np.concatenate(scores, -3) if scores else None)


class Stream:
    """The chunks of a training split that a pool's rounds read, following its lanes.

    `size` is the number of micro-batches in a chunk.
    """

    def __init__(
        self,
        data: DataSet,
        order: RowOrder,
        micro_batch: int,
        placement: Placement,
        device: Any,
        together: bool,
    ) -> None:
        """`together` means that lanes train at once, so that a chunk must serve all of them."""
        assert placement.train is not None
        self._train, self._order, self._device = data.train, order, device
        self.size, self._micro_batch, self._together = placement.train, micro_batch, together
        self._slots: dict[_Part, int] = {}
        self._chunk: Batch | None = None
        self._next: tuple[dict[_Part, int], Future[Batch]] | None = None
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        rows, piece = data.validation, placement.validation
        # A program takes only the shape of a piece of a streamed split.
        self._validation = None if piece else jax.device_put(held_rows(rows), device)
        self._piece = _shapes(host_rows(rows, 0, piece)) if piece else None
        self._beside = {
            "alternatives": jax.device_put(data.transform.alternatives, device),
            "teacher": jax.device_put(data.teacher, device),
        }

    @property
    def shapes(self) -> DeviceData:
        """The shapes for which programs are compiled."""
        train = {
            name: jax.ShapeDtypeStruct((self.size, self._micro_batch, *a.shape[1:]), a.dtype)
            for name, a in self._train.held.items()
        }
        return DeviceData(train, self._validation, self._piece, is_chunked=True, **self._beside)

    @property
    def chunk_bytes(self) -> int:
        """The memory that a chunk takes of the device, the next one while it is fetched too."""
        arrays = self.shapes.train.values()
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)

    def limit(self, courses: Sequence[Course | None]) -> np.ndarray:
        """The steps of its epoch that each lane can train on the current chunk.

        The next chunk replaces it once it serves no lane, or not all lanes that train together.
        """
        covered = self._covered(courses)
        if self._serves(courses, covered):
            return covered
        if self._next is not None:
            slots, future = self._next
            self._chunk, self._next = None, None  # so that no more than two are on the device
            self._slots, self._chunk = slots, future.result()
            del future
            covered = self._covered(courses)
        if not self._serves(courses, covered):
            self._chunk = None
            self._slots = self._choose(courses, ())
            self._chunk = self._fetch(tuple(self._slots))
            covered = self._covered(courses)
        following = self._choose(courses, self._slots.keys())
        if following:
            self._next = following, self._fetcher.submit(self._fetch, tuple(following))
        return covered

    def inputs(
        self, courses: Sequence[Course | None], counts: np.ndarray, most_parts: int
    ) -> tuple[DeviceData, Batch]:
        """The data of a round, and the feed of each lane: the slots of its micro-batches.

        `rows` is int32 `[L, most_parts]`, by the position in the lane's epoch.
        """
        assert self._chunk is not None
        slots = np.zeros((len(courses), most_parts), np.int32)
        for i, course in enumerate(courses):
            if course is not None:
                for at in islice(course.ahead(), int(counts[i])):
                    for part in course.micro_batches(at):
                        slots[i, part[2]] = self._slots[part]
        data = DeviceData(self._chunk, self._validation, is_chunked=True, **self._beside)
        return data, {"rows": slots}

    def close(self) -> None:
        """Let go of everything on the device."""
        self._fetcher.shutdown(cancel_futures=True)
        self._chunk, self._next, self._validation = None, None, None

    def _covered(self, courses: Sequence[Course | None]) -> np.ndarray:
        return np.array([0 if c is None else self._steps_at_hand(c) for c in courses], np.int32)

    def _steps_at_hand(self, course: Course) -> int:
        """The steps that a lane can train of its epoch."""
        count = 0
        for at in course.ahead():
            is_next_epoch = at.epoch > course.progress.epoch
            if is_next_epoch or any(p not in self._slots for p in course.micro_batches(at)):
                break
            count += 1
        return count

    def _serves(self, courses: Sequence[Course | None], covered: np.ndarray) -> bool:
        served = [n > 0 for c, n in zip(courses, covered, strict=True) if c and c.has_work]
        return all(served) if self._together else any(served)

    def _choose(
        self, courses: Sequence[Course | None], have: Collection[_Part]
    ) -> dict[_Part, int]:
        """The next micro-batches that are not in the chunk, numbered, as many as a chunk holds.

        They are in the order in which lanes at the same step need them.
        """
        chosen: dict[_Part, int] = {}
        ways = [map(course.micro_batches, course.ahead()) for course in courses if course]
        for parts in chain.from_iterable(zip_longest(*ways, fillvalue=[])):
            missing = [part for part in parts if part not in have and part not in chosen]
            if len(chosen) + len(missing) > self.size:
                break
            chosen |= {part: slot for slot, part in enumerate(missing, start=len(chosen))}
        return chosen

    def _fetch(self, parts: Sequence[_Part]) -> Batch:
        """A chunk of these micro-batches on the device; its unused slots, row 0, are never read."""
        orders = {}
        for seed, epoch in {part[:2] for part in parts}:
            order = self._orders.get((seed, epoch))
            if order is None:
                order = self._order(seed, epoch)
            orders[seed, epoch] = order
        self._orders = orders  # without those of finished epochs
        rows = np.zeros((self.size, self._micro_batch), np.int32)
        for slot, (seed, epoch, at) in enumerate(parts):
            rows[slot] = orders[seed, epoch][at]
        return _put(gather(self._train.held, rows), self._device)


class Copies:
    """Copies of data sets on a device or a mesh: a study has several if `data.normalize` varies."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # The data set is kept beside its copy, so that no other object gets its id.
        self._held: dict[int, tuple[DataSet, DeviceData]] = {}

    def of(self, data: DataSet, budget: int | None, *, is_whole: bool) -> DeviceData:
        """The copy of a data set; frees the others if the budget is too small for a new one."""
        if id(data) not in self._held:
            if budget is not None and self.bytes_beside(data) + data_bytes(data) > budget:
                self._held.clear()
            host = host_data(data, is_whole=is_whole)
            copy = jax.device_put(host, sharding(self._place, is_of_lanes=False))
            self._held[id(data)] = (data, copy)
        return self._held[id(data)][1]

    def bytes_beside(self, data: DataSet) -> int:
        """The bytes of the other data sets on each device."""
        return sum(data_bytes(other) for other, _ in self._held.values() if other is not data)

    def keep_only(self, data: DataSet | None) -> bool:
        """Free all other copies; returns whether there were any."""
        others = [key for key, (held, _) in self._held.items() if held is not data]
        for key in others:
            del self._held[key]
        return bool(others)


def _put(arrays: Any, device: Any) -> Any:
    return jax.block_until_ready(jax.device_put(arrays, device))


def _shapes(arrays: Any) -> Any:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arrays)


def _evaluation_bytes(split: Split) -> int:
    if isinstance(split.arrays, Windows):
        return held_bytes(split.arrays)
    if split.scale is not None:
        return held_bytes(split.held)
    return evaluation_parts(len(split)) * _part_bytes(split)


def _part_bytes(split: Split) -> int:
    return sum(array.nbytes for array in host_rows(split, 0, 1).values())


def _row_bytes(split: Split) -> int:
    return sum(array[:1].nbytes for array in split.held.values())


def _piece_parts(split: Split, budget: int | None) -> int | None:
    """How many parts of a split are evaluated at a time; None for all of them."""
    if budget is None or 2 * _evaluation_bytes(split) <= budget:
        return None
    return max(1, budget // 4 // _part_bytes(split))
