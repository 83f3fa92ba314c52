"""Streaming: data above the budget train in chunks, and only the memory changes."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools import streaming
from hpo.engine.pools.pool import Pool
from hpo.engine.pools.streaming import (
    Copies,
    Course,
    Placement,
    Stream,
    data_bytes,
    placement_of,
    streaming_text,
)
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.batches import host_rows
from hpo.engine.training.random_streams import batches
from hpo.engine.training.task import Progress
from hpo.errors import DeviceError
from hpo.spec.experiment import Training
from hpo.spec.sections.sizes import size_text
from tests.engine.samples import Learn, a_split, a_training, tiny_data

_TINY = tiny_data()
# More validation rows than training rows, so that both splits are streamed.
_DATA = replace(_TINY, validation=a_split(np.random.default_rng(1), 100, (5,)))
_BATCH = 16
_PART_BYTES = _BATCH * (5 * 4 + 4)
_BUDGET = 4 * 2 * _PART_BYTES  # two of six batches in a chunk
_DEVICE = local_devices("cpu")[0]


def _stream(micro_batch: int, placement: Placement) -> Stream:
    def order(seed: int, epoch: int) -> np.ndarray:
        return batches(seed, epoch, len(_DATA.train), micro_batch)

    return Stream(_DATA, order, micro_batch, placement, _DEVICE, together=False)


def _later(course: Course, steps: int) -> Course:
    """A course, that many steps further."""
    ahead = [*course.ahead(), Progress(course.to_epoch, 0)]
    return course._replace(progress=ahead[steps])


@pytest.fixture(autouse=True)
def _cut_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred validation rows are 17 parts of evaluation, the last one not full."""
    monkeypatch.setattr("hpo.engine.training.batches._EVALUATION_ROWS", 6)


def _trials(count: int, budget: Any = _BUDGET) -> list[Training]:
    data = {"dataset": "iris", "batch_size": _BATCH, "device_budget": budget}
    return [
        a_training(n, data=data, optimizer={"name": "sgd", "learning_rate": 0.1 * (n + 1)})
        for n in range(count)
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("data", "form", "pieces"), [(_DATA, "map", 4), (_DATA, "vmap", 4), (_TINY, "map", None)]
)
def test_a_trial_learns_the_same_from_chunks_as_from_the_whole(
    learn: Learn, monkeypatch: pytest.MonkeyPatch, data: DataSet, form: str, pieces: int | None
) -> None:
    assert placement_of(data, _BATCH, 2, _BUDGET) == Placement(2, pieces)
    whole = learn(data, _trials(5, "auto"), lanes=2, form=form)
    assert learn(data, _trials(5), lanes=2, form=form) == whole
    # Rounds end within an epoch, so that lanes are at different steps.
    monkeypatch.setattr("hpo.engine.pools.pool._ROUND_SECONDS", 0.0)
    monkeypatch.setattr("hpo.engine.pools.pool._FIRST_PARTS", 1)
    assert learn(data, _trials(5), lanes=2, form=form) == whole


def test_a_trial_paused_and_promoted_learns_from_chunks_as_if_never_stopped(
    learn: Learn, compiler: Compiler
) -> None:
    paused, other = _trials(2)
    straight = learn(_DATA, _trials(2, "auto"), lanes=2)
    pool, curves = Pool(_DEVICE, compiler), {0: [], 1: []}  # type: ignore[var-annotated]

    def train() -> None:
        while pool.has_work:
            for report in pool.round():
                curves[report.run].append(report.metrics)

    program, knobs = split(paused, _DATA, "cpu")
    pool.load(program, Plans(Plan("map", 2)), _DATA)
    pool.put(0, 0, paused, knobs, None, 1)
    train()
    state = pool.take(0)
    pool.clear(0)
    pool.put(0, 1, other, split(other, _DATA, "cpu")[1], None, 2)
    train()
    pool.put(1, 0, paused, knobs, state, 4)  # one epoch behind its neighbour
    pool.extend(0, 4)
    train()
    assert curves == straight


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_data_never_take_more_of_the_device_than_the_budget(
    learn: Learn, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    live, most = [0], [0]
    put = streaming._put

    def counted(arrays: Any, device: Any) -> Any:
        held = put(arrays, device)
        for array in jax.tree.leaves(held):
            live[0] += array.nbytes
            weakref.finalize(array, lambda size: live.__setitem__(0, live[0] - size), array.nbytes)
        most[0] = max(most[0], live[0])
        return held

    monkeypatch.setattr(streaming, "_put", counted)
    learn(_DATA, _trials(3), lanes=2, form=form)
    assert _BUDGET / 2 < most[0] <= _BUDGET < data_bytes(_DATA)
    gc.collect()
    assert live[0] == 0


def test_lanes_at_the_same_step_share_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    stream = _stream(_BATCH, Placement(2, None))
    fetch = stream._fetch
    monkeypatch.setattr(stream, "_fetch", lambda parts: fetched.extend(parts) or fetch(parts))
    courses = [Course(0, Progress(1, 0), to_epoch=2, steps=6)] * 4
    while any(course.has_work for course in courses):
        counts = stream.limit(courses)
        stream.inputs(courses, counts, 6)
        courses = [_later(c, int(n)) for c, n in zip(courses, counts, strict=True)]
    assert fetched == [(0, 1, place) for place in range(6)]


def test_a_lane_is_to_train_the_rest_of_its_epoch_and_then_whole_epochs() -> None:
    course = Course(0, Progress(1, 2), to_epoch=4, steps=3)
    rest = [(1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]
    assert [*course.ahead()] == rest
    assert [*course._replace(progress=Progress(4, 0)).ahead()] == []


def test_a_chunk_of_few_batches_serves_as_few_lanes_at_once(compiler: Compiler) -> None:
    (training,) = _trials(1)
    pool = Pool(_DEVICE, compiler)
    program, _ = split(training, _DATA, "cpu")
    assert pool.load(program, Plans(Plan("vmap", 5)), _DATA) == Plan("vmap", 2)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_chunk_holds_the_rows_of_the_epochs_own_order(parts: int) -> None:
    micro, steps = 4, 24 // parts
    stream = _stream(micro, Placement(5, None))
    course = Course(3, Progress(0, 0), to_epoch=2, steps=steps, parts=parts)
    seen: list[np.ndarray] = []
    while course.has_work:
        counts = stream.limit([None, course])
        data, feed = stream.inputs([None, course], counts, 24)
        slots = feed["rows"]
        at = course.progress.step * parts
        seen += [
            np.asarray(data.train["x"])[slot] for slot in slots[1, at : at + int(counts[1]) * parts]
        ]
        course = _later(course, int(counts[1]))
    order = np.concatenate([batches(3, epoch, 96, micro * parts) for epoch in (0, 1)])
    np.testing.assert_array_equal(np.concatenate(seen), _DATA.train.x[order.reshape(-1)])


def test_a_test_split_over_half_the_budget_is_evaluated_in_pieces(compiler: Compiler) -> None:
    found = []
    for budget in ("auto", _BUDGET):
        (training,) = _trials(1, budget)
        program, knobs = split(training, _DATA, "cpu")
        pool = Pool(_DEVICE, compiler)
        pool.load(program, Plans(Plan("map", 1)), _DATA)
        pool.put(0, 0, training, knobs, None, 1)
        found.append(pool.evaluate(0, _DATA.validation))
    assert found[0] == found[1]


def test_a_memory_map_is_read_as_an_array_in_memory(learn: Learn, tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", _DATA.train.x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    on_disk = replace(_DATA, train=Split({"x": mapped, "y": _DATA.train.y}))
    assert learn(on_disk, _trials(2), lanes=2) == learn(_DATA, _trials(2), lanes=2)


def test_a_budget_too_small_for_a_chunk_is_refused_with_the_least_sufficient_one() -> None:
    with pytest.raises(DeviceError, match=r"data\.device_budget: 1000B .* write (\d.*) or more"):
        placement_of(_DATA, _BATCH, 2, 1000)
    assert placement_of(_DATA, _BATCH, 2, _BUDGET) == Placement(2, 4)
    with pytest.raises(DeviceError, match=f"write {size_text(_BUDGET)} or more"):
        placement_of(_DATA, _BATCH, 2, _BUDGET - 1)
    # A split that is evaluated in one part is on the device whole or not at all.
    few = replace(_DATA, validation=a_split(np.random.default_rng(1), 6, (5,)))
    with pytest.raises(DeviceError, match=r"write 1\.5KiB or more"):
        placement_of(few, _BATCH, 1, 1000)
    assert placement_of(few, _BATCH, 1, 4 * _PART_BYTES) == Placement(1, None)


def test_a_teacher_within_steps_takes_a_part_of_the_budget() -> None:
    taught = replace(_DATA, teacher=({"kernel": np.zeros((5, 8), np.float32)},))
    assert data_bytes(taught) == data_bytes(_DATA) + 160
    assert placement_of(taught, _BATCH, 2, data_bytes(_DATA)).train is not None
    assert placement_of(taught, _BATCH, 2, _BUDGET + 160) == placement_of(_DATA, _BATCH, 2, _BUDGET)
    with pytest.raises(DeviceError, match=f"write {size_text(_BUDGET + 160)} or more"):
        placement_of(taught, _BATCH, 2, _BUDGET)


def test_a_search_says_that_data_will_be_streamed() -> None:
    within, over = (_trials(1, budget)[0].data for budget in (data_bytes(_DATA), _BUDGET))
    assert streaming_text(_DATA, within, _DEVICE) is None
    assert "take 5.1KiB and may take 3KiB" in (streaming_text(_DATA, over, _DEVICE) or "")


def test_data_within_the_budget_lie_on_the_device_whole() -> None:
    assert placement_of(_DATA, _BATCH, 1, data_bytes(_DATA)) == Placement(None, None)
    assert placement_of(_DATA, _BATCH, 1, None) == Placement(None, None)
    assert data_bytes(_DATA) == sum(
        a.nbytes for a in (_DATA.train.x, _DATA.train.y, *host_rows(_DATA.validation).values())
    )


def test_a_data_set_is_copied_once_and_the_others_go_where_the_budget_is_too_small() -> None:
    copies, other = Copies(_DEVICE), replace(_DATA)
    size = data_bytes(_DATA)
    first = copies.of(_DATA, None, is_whole=False)
    assert copies.of(_DATA, 0, is_whole=False) is first
    copies.of(other, 2 * size, is_whole=False)
    assert copies.bytes_beside(other) == size
    copies.of(replace(_DATA), 2 * size, is_whole=False)
    assert copies.bytes_beside(_DATA) == size
    assert copies.keep_only(None)
    assert not copies.keep_only(None)
