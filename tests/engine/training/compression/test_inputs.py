"""Trained steps of what layers read, among the weights of lanes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import READ, STEPS
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.compression.inputs import added_of, settled, without_added
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import parted
from tests.engine.samples import SMALL_MODELS, Learn, a_split, a_training, unmerged

LEARNED = {"activations": {"name": "learned", "bits": 3}}
PLAIN = {"name": "mlp", "widths": [6]}
NAMES = {"linears/0/inputs", "head/inputs"}


def _in_levels(x: np.ndarray, step: float, below: int, most: int) -> np.ndarray:
    return np.clip(np.rint(x.astype(np.float64) / step), -below, most) * step


def test_the_first_batch_decides_the_steps_and_no_row_depends_on_others(tiny: DataSet) -> None:
    training = a_training(model=PLAIN, compression=LEARNED)
    program, _ = split(training, tiny, "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))

    def run(x: np.ndarray, variables: Any, dropout: Dropout | None = None) -> tuple[Any, Any]:
        return forward(program, training, params, variables, {"x": x}, dropout)

    first, hidden, head = tiny.train.x[:16], params["linears"][0], params["head"]
    plain = np.maximum(first @ hidden["kernel"] + hidden["bias"], 0)
    # Without a step, the first batch is read as it is.
    outputs, variables = run(first, variables, Dropout(0, None))
    np.testing.assert_allclose(outputs, plain @ head["kernel"] + head["bias"], atol=1e-5)
    rounders = variables["linears"][0]["dot_general"], variables["head"]["dot_general"]
    # Three bits are -4 to 3 for examples, and 0 to 7 after relu.
    for rounder, read, most in zip(rounders, (first, plain), (3, 7), strict=True):
        assert rounder["step"] == pytest.approx(2 * np.abs(read).mean() / np.sqrt(most), rel=2e-4)
        assert rounder["least"] == min(read.min(), 0)
        assert rounder["bits"] == 3

    x = tiny.train.x[16:32]
    outputs, after = run(x, variables, Dropout(0, None))
    steps = [float(rounder["step"]) for rounder in rounders]
    inner = _in_levels(x, steps[0], 4, 3) @ hidden["kernel"] + hidden["bias"]
    last = _in_levels(np.maximum(inner, 0), steps[1], 0, 7)
    np.testing.assert_allclose(outputs, last @ head["kernel"] + head["bias"], atol=1e-5)
    assert after["head"]["dot_general"]["step"] == steps[1]
    beside = np.concatenate([x[:8], 100 * x[8:]])
    for dropout in (None, Dropout(0, None)):
        both = [run(rows, variables, dropout)[0][:8] for rows in (x, beside)]
        np.testing.assert_array_equal(*both)


def test_training_adds_to_steps_and_a_trained_model_has_the_sums(tiny: DataSet) -> None:
    training = a_training(compression=LEARNED, optimizer={"name": "sgd", "learning_rate": 0.1})
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    rows, feed = host_data(tiny, is_whole=False), task.feed(training, 0)
    first, train = task.initial(training), jax.jit(task.train)
    assert not any(added.any() for added in added_of(parted(program, first.params)).values())
    lane = train(knobs, first, rows, feed, 6)
    tree = parted(program, lane.params)
    assert tree[STEPS].keys() == NAMES
    kept, variables = own_weights(program, training, jax.device_get(lane))
    assert STEPS not in kept
    for name, found in (
        ("head", variables["head"]["dot_general"]),
        ("linears/0", variables["linears"][0]["dot_general"]),
    ):
        part = lane.variables["head"] if name == "head" else lane.variables["linears"][0]
        added = float(tree[STEPS][name + READ][0])
        assert abs(added) > 1e-5
        assert found["step"] == pytest.approx(float(part["dot_general"]["step"]) + added, rel=1e-6)
    # A lane that leaves for the host in between is the same, to the bit.
    half = jax.device_get(train(knobs, first, rows, feed, 2))
    jax.tree.map(np.testing.assert_array_equal, train(knobs, half, rows, feed, 4), lane)


def test_a_step_below_0_is_used_as_its_size() -> None:
    rounder = {"step": np.float32(0.5), "least": np.float32(0), "bits": np.float32(4)}
    params = {STEPS: {"head/inputs": np.float32([-0.75]), "head/kernel": np.float32([1])}}
    weights, variables = settled(params, {"head": {"dot_general": rounder, "other": 1}})
    assert variables == {"head": {"dot_general": {**rounder, "step": 0.25}, "other": 1}}
    assert without_added(weights) == {STEPS: {"head/kernel": [1]}}
    assert not weights[STEPS]["head/inputs"].any()


def test_bits_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(number, model=PLAIN, compression={"activations": {"name": "learned", "bits": b}})
        for number, b in enumerate([2, 5, 8])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]
    assert len({curve[-1]["loss"] for curve in together.values()}) == 3
    ranges = a_training(0, model=PLAIN, compression={"activations": {"bits": 2}})
    assert split(ranges, tiny, "cpu")[0] != split(trainings[0], tiny, "cpu")[0]


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ({}, {}),
        ({}, {"weights": {"name": "learned", "bits": 3}}),
        # Weights of 0 do not tell the own features of the head, which reads a half of each.
        ({"init": "zeros", "activation": "sigmoid"}, {}),
    ],
)
def test_merged_widths_round_as_the_trials_own_do(
    tiny: DataSet, learn: Learn, model: dict[str, Any], more: dict[str, Any]
) -> None:
    listed = {"widths": [[8], [12]], "batch_size": [8, 16]}
    own = {"name": "mlp", "widths": [8], **model}
    training = a_training(model=own, compression=LEARNED | more, train__merged=listed)
    assert [path for path, _ in split(training, tiny, "cpu")[0].merged] == ["model.widths"]
    together, alone = learn(tiny, [training]), learn(tiny, [unmerged(training)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("cnn", {"filters": [4, 6], "groups": 2}),
        ("unet", {}),
        ("transformer", {"remat": True}),
        ("mlp", {"rank": 2, "widths": [8]}),
    ],
)
def test_every_product_with_weights_has_a_step_that_learns(name: str, more: dict[str, Any]) -> None:
    rng, shape = np.random.default_rng(0), (6,) if name == "transformer" else (8, 8, 1)
    data = DataSet("classification", a_split(rng, 32, shape), a_split(rng, 8, shape), None, 3, "t")
    training = a_training(
        model={"name": name, **SMALL_MODELS[name], **more},
        compression=LEARNED,
        optimizer={"name": "sgd", "learning_rate": 0.1},
    )
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    feed = task.feed(training, 0)
    lane = jax.jit(task.train)(
        knobs, task.initial(training), host_data(data, is_whole=False), feed, 4
    )
    tree = parted(program, lane.params)
    paths = jax.tree_util.tree_leaves_with_path({**tree, STEPS: {}})
    kernels = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths}
    layers = {path.removesuffix("/kernel") for path in kernels if path.endswith("/kernel")}
    assert {*added_of(tree)} == layers
    assert all(added.any() for added in added_of(tree).values())
