"""A task of a user's own: its class in place of a model, a loss and an optimizer.

These functions work on one lane, as those of `supervised` do; `lanes` maps them over the axis `L`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

from hpo.data.dataset import DataSet, Split, gather
from hpo.engine.task_program import TaskProgram
from hpo.engine.training.batches import AnyArray, Batch, DeviceData
from hpo.engine.training.random_streams import batches, lane_key
from hpo.engine.training.task import Epoch, Progress, Tally
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.running import run_code

T = TypeVar("T")

_GENERATOR = "threefry2x32"
# What a key is for, so that no two uses share a stream.
_INIT, _STEP, _EVALUATE = 0, 1, 2


class TaskLane(NamedTuple):
    """The state of a trial of an own task, as a checkpoint holds it; keys in it as their data."""

    state: Any
    key: UInt32[AnyArray, "2"]  # the trial's own random stream
    step: Int[AnyArray, ""]  # steps trained since the start


class _Kinds(NamedTuple):
    """The shapes of a state, and the generator of each leaf that is a key ("" for others).

    `is_remade` says that each call of `init` makes parts that are no arrays, and equal no others:
    the optimizer in Flax's `TrainState`. A lane then holds the arrays alone, by their places.
    """

    shapes: Any
    keys: tuple[str, ...]
    is_remade: bool


@dataclass(frozen=True)
class OwnTask:
    """The task of a program whose steps are a user's own."""

    program: TaskProgram
    is_whole: ClassVar[bool] = True
    scores: ClassVar[int] = 0

    @property
    def sums(self) -> int:
        """M: the number of metrics."""
        return len(self.program.metrics)

    @cached_property
    def _author(self) -> Any:
        """The object of the user's class."""
        # Its arrays are computed, so that a trace does not keep them from the next one.
        with jax.ensure_compile_time_eval():
            return self._run(lambda: run_code(self.program.code)(**self.program.arguments))

    @cached_property
    def _init(self) -> Callable[..., Any]:
        """The compiled `init`, with the state as a lane holds it."""
        return jax.jit(lambda knobs, key: self._held(_plain(self._first(knobs, key))))

    @cached_property
    def _kinds(self) -> _Kinds:
        """What a state is made of, from two traces of `init`."""
        found: list[Any] = []

        def kinds(knobs: Any, key: Any) -> Any:
            state = self._first(knobs, key)
            found.append(state)
            return _plain(state)

        shapes = jax.eval_shape(lambda *start: kinds(*start), *self._start_shapes())
        jax.eval_shape(lambda *start: kinds(*start), *self._start_shapes())
        structures: list[Any] = [jax.tree.structure(state) for state in found]
        leaves = jax.tree.leaves(found[0])
        keys = tuple(str(jax.random.key_impl(leaf)) if _is_key(leaf) else "" for leaf in leaves)
        return _Kinds(shapes, keys, is_remade=structures[0] != structures[1])

    def _held(self, state: Any) -> Any:
        """A state of arrays alone as a lane holds it."""
        return _named(state) if self._kinds.is_remade else state

    def _opened(self, knobs: Float[Array, " K"], lane: TaskLane) -> Any:
        """The state of a lane as the user's class knows it."""
        leaves, structure = jax.tree.flatten(lane.state)
        if self._kinds.is_remade:
            # An optimizer may hold knobs, so it is that of this trial. XLA drops the other parts.
            structure = jax.tree.structure(self._first(knobs, lane.key))
            leaves = [lane.state[name] for name in _named(self._kinds.shapes)]
        return jax.tree.unflatten(structure, map(_typed, leaves, self._kinds.keys))

    def shapes(self) -> TaskLane:
        """The shapes of a lane; tries every method of the user's class.

        Raises:
            CodeError: for a method that fails, or gives what does not fit.
        """
        return self._shapes

    @cached_property
    def _shapes(self) -> TaskLane:
        number = jax.ShapeDtypeStruct((), np.int32)
        knobs, key = self._start_shapes()
        lane = TaskLane(self._held(self._kinds.shapes), key, number)
        splits = [
            {
                name: jax.ShapeDtypeStruct((*rows, *shape), np.dtype(kind))
                for name, shape, kind in self.program.shapes
            }
            for rows in ((self.program.rows,), (1, self.program.train_rows))
        ]
        batch = splits[0] if self.program.rows else None
        jax.eval_shape(self._step, knobs, lane, batch)
        jax.eval_shape(self.evaluate, knobs, lane, splits[1])
        return lane

    def initial(self, training: Any, data: DataSet | None = None) -> TaskLane:
        """The lane of a trial before its first step, from the user's `init`."""
        section, train = training.task, training.train
        knobs = np.array([getattr(section, name) for name in self.program.knobs], np.float32)
        key = lane_key(train.seed, train.stream)
        # On the host, as the first weights of a model are drawn, so that devices differ in nothing.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            state = jax.device_get(self._run(lambda: self._init(knobs, key)))
        return TaskLane(state, key, np.zeros((), np.int32))

    def epoch(self, training: Any, fold: DataSet | None = None) -> Epoch:
        """The size of an epoch, the same for all trials of the program."""
        return Epoch(self.program.steps, 1, max(1, self.program.rows))

    def feed_shapes(self, *, is_chunked: bool) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shape of `rows`, those of each step in the data set; nothing without data."""
        assert not is_chunked, "an own task streams no data"
        if not self.program.rows:
            return {}
        return {"rows": jax.ShapeDtypeStruct(self.program.order_shape, np.int32)}

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The rows of each step of an epoch, which may take several passes over the data."""
        return _order(self.program, seed, epoch)

    def feed(
        self,
        training: Any,
        epoch: int,
        data: DataSet | None = None,
        losses: np.ndarray | None = None,
    ) -> Mapping[str, np.ndarray]:
        """The rows of each step of an epoch; nothing without data."""
        return {"rows": self.order(training.train.seed, epoch)} if self.program.rows else {}

    def constants(self, data: DataSet | None) -> Mapping[str, np.ndarray]:
        """Nothing: the function of a user's own is fed rows alone."""
        return {}

    def row_losses(self, lanes: TaskLane) -> None:
        """None: the lanes of an own task keep no losses of rows."""

    def progress(self, training: Any, lane: TaskLane, fold: DataSet | None = None) -> Progress:
        """The whole epochs that a lane has trained, and the steps of the next one."""
        return Progress(*divmod(int(lane.step), self.program.steps))

    def has_ended_epoch(self, knobs: Float[Array, " K"], lane: TaskLane, feed: Batch) -> Any:
        """Whether a lane is at the end of an epoch."""
        return lane.step % self.program.steps == 0

    def train_loss(self, knobs: Float[Array, " K"], lane: TaskLane, feed: Batch) -> None:
        """None: a task reports what its `evaluate` gives."""

    def norms(self, knobs: Float[Array, " K"], lane: TaskLane, feed: Batch) -> None:
        """None: only the task knows its gradients."""

    def named_norms(self, norms: np.ndarray) -> dict[str, float]:
        """No metrics, because it has no norms."""
        return {}

    def train(
        self,
        knobs: Float[Array, " K"],
        lane: TaskLane,
        data: DeviceData,
        feed: Batch,
        count: Int[Array, ""],
    ) -> TaskLane:
        """The lane after `count` more steps."""

        def step(_: int, lane: TaskLane) -> TaskLane:
            batch = None
            if self.program.rows:
                batch = gather(data.train, feed["rows"][lane.step % self.program.steps])
            return self._step(knobs, lane, batch)

        return lax.fori_loop(0, count, step, lane)

    def evaluate(
        self,
        knobs: Float[Array, " K"],
        lane: TaskLane,
        rows: Batch,
        sums: Float[Array, " M"] | None = None,
    ) -> Tally:
        """The metrics of a lane, float32 `[M]`, from all rows `[1, rows, ...]` of a split."""
        key = jax.random.fold_in(_stream(lane.key, _EVALUATE), lane.step)
        whole = [{name: array[0] for name, array in rows.items()}] if self.program.rows else []
        state = self._opened(knobs, lane)
        found = self._run(lambda: self._author.evaluate(state, self._numbers(knobs), key, *whole))
        title, names = self.program.code.text, self.program.metrics
        if not isinstance(found, Mapping) or {*found} != {*names}:
            given = (
                ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            )
            raise CodeError(
                f"task.python: evaluate of {title} gives {given or 'nothing'}, and its metrics are "
                f"{', '.join(names)}: return a mapping with these names."
            )
        values = {name: jnp.asarray(found[name], jnp.float32) for name in names}
        for name, value in values.items():
            if value.shape != ():
                raise CodeError(
                    f"task.python: evaluate of {title} gives {name} in the shape "
                    f"{list(value.shape)}: give one number, such as its mean."
                )
        return Tally(jnp.stack([values[name] for name in names]))

    def thresholds(self, data: DataSet, scores: np.ndarray | None) -> None:
        """None: a task decides by itself what it finds."""

    def metrics(
        self,
        data: DataSet,
        split: Split,
        sums: np.ndarray,
        scores: np.ndarray | None,
        thresholds: np.ndarray | None = None,
    ) -> dict[str, float]:
        """The metrics by their names."""
        return dict(zip(self.program.metrics, map(float, sums), strict=True))

    def _step(self, knobs: Float[Array, " K"], lane: TaskLane, batch: Batch | None) -> TaskLane:
        """The lane after one step."""
        key = jax.random.fold_in(_stream(lane.key, _STEP), lane.step)
        state = self._opened(knobs, lane)
        after = self._run(
            lambda: _plain(self._author.step(state, self._numbers(knobs), key, batch))
        )
        return TaskLane(self._fitted(after), lane.key, lane.step + 1)

    def _fitted(self, state: Any) -> Any:
        """A state with the types of the first one.

        Raises:
            CodeError: for one of another structure, shape or type.
        """
        first, title = self._held(self._kinds.shapes), self.program.code.text
        state = self._held(state)
        before, after = jax.tree.structure(first), jax.tree.structure(state)
        if str(before) != str(after):
            raise CodeError(
                f"task.python: step of {title} returns {after}, and init {before}: return the "
                "state alone, with the same parts."
            )
        for (path, old), new in zip(
            jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(state), strict=True
        ):
            if (old.shape, old.dtype) != (new.shape, new.dtype):
                name = jax.tree_util.keystr(path) or "the state"
                raise CodeError(
                    f"task.python: step of {title} returns {name} as {_kind(new)}, and init as "
                    f"{_kind(old)}: keep shapes and types."
                )
        # Without the weak types of Python numbers, which init cannot have.
        return jax.tree.map(lambda a: lax.convert_element_type(a, a.dtype), state)

    def _first(self, knobs: Array, key: Array) -> Any:
        return self._run(lambda: self._author.init(self._numbers(knobs), _stream(key, _INIT)))

    def _numbers(self, knobs: Array) -> dict[str, Any]:
        """The knobs by their names."""
        return {name: knobs[i] for i, name in enumerate(self.program.knobs)}

    def _start_shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        knobs = jax.ShapeDtypeStruct((len(self.program.knobs),), np.float32)
        return knobs, jax.ShapeDtypeStruct((2,), np.uint32)

    def _run(self, function: Callable[[], T]) -> T:
        """The result of a function that runs code of the user's.

        Raises:
            CodeError: for an error of the user's own code, with the user's own lines.
        """
        with telling(self.program.code, "task.python", self.program.arguments):
            return function()


@lru_cache(maxsize=64)
def _order(program: TaskProgram, seed: int, epoch: int) -> np.ndarray:
    """The rows of each step of an epoch, drawn once for all lanes."""
    steps, rows = program.order_shape
    passes = math.ceil(steps / (program.train_rows // rows))
    first = epoch * passes
    drawn = [batches(seed, first + number, program.train_rows, rows) for number in range(passes)]
    return np.concatenate(drawn)[:steps]


def _stream(key: Any, purpose: int) -> Any:
    return jax.random.fold_in(jax.random.wrap_key_data(key, impl=_GENERATOR), purpose)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(state: Any) -> Any:
    """A state as arrays alone: keys as their data.

    Raises:
        CodeError: for a part that is no array.
    """

    def array(path: Any, leaf: Any) -> Any:
        if _is_key(leaf):
            return jax.random.key_data(leaf)
        try:
            return jnp.asarray(leaf)
        except (TypeError, ValueError):
            name = jax.tree_util.keystr(path) or "the state"
            raise CodeError(
                f"task.python: {name} is a {type(leaf).__name__}, and a state holds arrays, keys "
                "and numbers: keep it on the task, as self.NAME."
            ) from None

    return jax.tree_util.tree_map_with_path(array, state)


def _named(state: Any) -> dict[str, Any]:
    """The arrays of a state by their places in it."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _typed(leaf: Any, generator: str) -> Any:
    """A leaf of a state; with the name of a generator, a key from its data."""
    return jax.random.wrap_key_data(leaf, impl=generator) if generator else leaf


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"
