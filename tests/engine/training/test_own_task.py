"""A task of a user's own on the engine: its state, its keys, its rows and its mistakes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import NO_DATA, DataSet, Split
from hpo.engine.task_program import split_task
from hpo.engine.training.batches import host_data
from hpo.engine.training.own_task import OwnTask
from hpo.errors import HpoError
from tests.own_tasks import DESCENT, a_task


def task_in(folder: Path, code: str, rows: DataSet = NO_DATA, **parts: Any) -> tuple[OwnTask, Any]:
    training: Any = a_task(folder, code=code, space=None, search=None, **parts).training
    program, _ = split_task(training, rows, "cpu")
    return OwnTask(program), training


def test_a_lane_is_what_the_users_own_loop_gives(tmp_path: Path) -> None:
    task, training = task_in(tmp_path, DESCENT, task={"python": "descent.py:Task", "rate": 0.25})
    lane = task.initial(training)
    first = lane.state["x"]
    knobs = jnp.array([0.0, 0.25])  # noise, rate

    lane = jax.jit(task.train)(knobs, lane, host_data(NO_DATA, is_whole=True), {}, 5)

    # x - 1 shrinks by 1 - rate in each step.
    expected = 1 + (first - 1) * 0.75**5
    np.testing.assert_allclose(lane.state["x"], expected, rtol=1e-5)
    assert lane.state["n"] == 5
    assert task.progress(training, lane) == (1, 0)
    found = task.metrics(NO_DATA, NO_DATA.validation, task.evaluate(knobs, lane, {}).sums, None)
    assert found == {"loss": pytest.approx(np.square(expected - 1).mean())}


def test_a_train_state_goes_on_with_an_optimizer_that_holds_the_knobs(tmp_path: Path) -> None:
    code = """
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState

class Task:
    steps = 2
    metrics = {"loss": "minimize"}
    knobs = {"rate": 0.1}

    def init(self, knobs, key):
        params = {"w": jnp.ones(3)}
        return TrainState.create(apply_fn=None, params=params, tx=optax.sgd(knobs["rate"] / 2))

    def step(self, state, knobs, key, batch):
        return state.apply_gradients(grads=state.params)

    def evaluate(self, state, knobs, key):
        return {"loss": state.params["w"].mean()}
"""
    task, training = task_in(tmp_path, code, task={"python": "descent.py:Task", "rate": 0.5})
    train = jax.jit(task.train).lower(
        jnp.zeros(1), task.shapes(), host_data(NO_DATA, is_whole=True), {}, 2
    )
    lane, compiled = task.initial(training), train.compile()

    for rate in (0.5, 1.0):
        knobs = jnp.array([rate])
        after = compiled(knobs, lane, host_data(NO_DATA, is_whole=True), {}, 2)

        # A step of descent down w**2 / 2 leaves 1 - rate / 2 of w.
        expected = pytest.approx((1 - rate / 2) ** 2)
        assert task.evaluate(knobs, after, {}).sums.tolist() == [expected]


def test_arrays_of_the_file_and_of_the_constructor_are_computed_once(tmp_path: Path) -> None:
    code = DESCENT.replace("CALLS = []", "CALLS = []\nSCALE = jnp.linspace(2, 2, 1)")
    code = code.replace(
        "target: float = 1.0):", "target: float = 1.0):\n        self.half = SCALE / 4"
    )
    code = code.replace('- knobs["rate"]', "- SCALE * self.half")
    task, training = task_in(tmp_path, code)
    task.shapes()
    lane = task.initial(training)
    first = lane.state["x"]

    lane = jax.jit(task.train)(jnp.zeros(2), lane, host_data(NO_DATA, is_whole=True), {}, 1)

    np.testing.assert_array_equal(lane.state["x"], first - (first - 1))


def test_keys_differ_by_trial_step_and_use(tmp_path: Path) -> None:
    code = DESCENT.replace('"key": key, "n": 0', '"key": key, "n": jax.random.bits(key)')
    code = code.replace('state["n"] + 1', "jax.random.bits(key)")
    code = code.replace('jnp.square(state["x"] - self.target).mean()', "jax.random.uniform(key)")
    task, training = task_in(tmp_path, code)
    knobs, data, seen = jnp.zeros(2), host_data(NO_DATA, is_whole=True), set()
    for seed, stream in ((0, 0), (0, 1), (1, 0)):
        train = training.train.model_copy(update={"seed": seed, "stream": stream})
        lane: Any = task.initial(training.model_copy(update={"train": train}))
        seen.add(int(lane.state["n"]))
        for _ in range(3):
            lane = task.train(knobs, lane, data, {}, jnp.int32(1))
            seen |= {int(lane.state["n"]), float(task.evaluate(knobs, lane, {}).sums[0])}

    assert len(seen) == 3 * (1 + 3 * 2)


def test_an_epoch_may_take_several_passes_over_the_rows(tmp_path: Path) -> None:
    data = DataSet(
        task="regression",
        train=Split({"x": np.zeros((6, 2), np.float32), "y": np.zeros(6, np.float32)}),
        validation=Split({"y": np.zeros(3, np.float32)}),
        test=None,
        outputs=1,
        fingerprint="six",
    )
    task, _ = task_in(tmp_path, DESCENT, data, data={"dataset": "diabetes", "batch_size": 3})

    first, second = task.order(0, 0), task.order(0, 1)

    assert first.shape == (5, 3)  # two and a half passes
    for start in (0, 2):
        assert sorted(first[start : start + 2].ravel()) == [*range(6)]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'state["n"] + 1',
            'state["n"] + 0.5',
            "returns ['n'] as float32[], and init as int32[]: keep shapes and types.",
        ),
        (
            'return {"x": state["x"] - knobs["rate"] * gradient, "key": key, "n": state["n"] + 1}',
            'return state, {"loss": 1.0}',
            "return the state alone, with the same parts.",
        ),
        (
            '"key": key, "n": 0',
            '"key": key, "n": "none"',
            "['n'] is a str, and a state holds arrays",
        ),
        (
            "- self.target +",
            "- self.aim +",
            "raised AttributeError: 'Task' object has no attribute",
        ),
        ('{"loss": jnp.square', '{"error": jnp.square', "gives error, and its metrics are loss"),
        ("target).mean()}", "target)}", "gives loss in the shape [3]: give one number"),
    ],
)
def test_a_method_that_gives_what_does_not_fit_is_said_with_both(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in DESCENT
    task, _ = task_in(tmp_path, DESCENT.replace(old, new))

    with pytest.raises(HpoError) as error:
        task.shapes()
    assert says in str(error.value)
    first, *frames = str(error.value).splitlines()
    assert first.startswith("task.python: ")
    assert all(frame.startswith("  descent.py:") for frame in frames)
