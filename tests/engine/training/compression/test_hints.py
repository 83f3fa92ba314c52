"""Features that follow a teacher's, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.models.abstract import TEACHER_MAP
from hpo.engine.program import split
from hpo.engine.programs.footprint import known_costs
from hpo.engine.training.compression.distillation import HINTS, taught
from hpo.engine.training.compression.hints import Hint, hint_rows, hinted, with_hints
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.engine.training.targets.sums import batch_loss
from hpo.errors import HpoError
from hpo.spec.sections.loss import CrossEntropy
from tests.engine.samples import CLASSES, Learn, a_training, unmerged
from tests.engine.teachers import hidden_of, images, some_weights, with_teacher

RNG = np.random.default_rng(0)


def a_student(stream: int = 0, weight: float | None = None, **parts: Any) -> Any:
    """A student of 7 units that learns features alone, unless `match` says otherwise."""
    own = 0.4 + 0.2 * stream if weight is None else weight
    match = parts.pop("match", "features")
    teacher = {"from": "big", "weight": own, "match": match}
    model = {"name": "mlp", "widths": [7], "activation": "sigmoid"}
    train = {"epochs": 2, "stream": stream}
    parts = {"train": train, "model": model, "compression": {"teacher": teacher}, **parts}
    return a_training(**parts)


def test_a_row_has_the_mean_squared_difference_after_the_map() -> None:
    data = with_teacher(images(), 1, 2)
    training, x = a_student(), data.train.x[:6]
    program, _ = split(training, data, "cpu")
    assert program.hints == 10
    params, variables = own_weights(program, training, initial_lane(program, training))
    learnt = {
        "kernel": RNG.normal(size=(7, 10)).astype(np.float32),
        "bias": RNG.normal(size=10).astype(np.float32),
    }

    @jax.jit
    def found(x: Any, networks: Any) -> Any:
        batch = with_hints(program, networks, {"x": x})

        def run() -> Any:
            return forward(program, training, params, variables, batch)

        return hinted({**params, TEACHER_MAP: learnt}, batch, run)[1][HINTS]

    first = params["linears"][0]
    hidden = x.reshape(6, -1).astype(np.float64) @ first["kernel"] + first["bias"]
    mapped = 1 / (1 + np.exp(-hidden)) @ learnt["kernel"] + learnt["bias"]
    wanted = np.concatenate([hidden_of(some_weights(seed), x) for seed in (1, 2)], -1)
    expected = np.square(mapped - wanted).mean(-1)
    np.testing.assert_allclose(found(x, data.teacher), expected, rtol=1e-4)


def test_positions_are_compared_each_or_by_their_means() -> None:
    own, other = RNG.normal(size=(2, 3, 2, 2, 4)).astype(np.float32)
    same = {"kernel": np.eye(4, dtype=np.float32), "bias": np.zeros(4, np.float32)}
    found = hint_rows(same, jnp.asarray(own), [Hint(jnp.asarray(other), 1.0)])
    np.testing.assert_allclose(found, np.square(own - other).mean((1, 2, 3)), rtol=1e-5)
    found = hint_rows(same, jnp.asarray(own), [Hint(jnp.asarray(other[:, 0, 0]), 1.0)])
    expected = np.square(own.mean((1, 2)) - other[:, 0, 0]).mean(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("match", ["features", "both"])
def test_the_loss_is_the_sum_of_its_parts_by_the_weights_of_rows(match: str) -> None:
    outputs, answers = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    y, weight = RNG.integers(0, 3, 6), RNG.uniform(0.5, 1.5, 6).astype(np.float32)
    hints = RNG.uniform(0, 2, 6).astype(np.float32)
    teacher = a_student(weight=0.3, match=match).compression.teacher
    loss = taught(CrossEntropy(name="cross_entropy"), teacher, "classification")
    batch = {"y": y, "weight": weight, HINTS: hints}
    batch |= {"teacher": answers} if match == "both" else {}

    found = batch_loss("classification", jnp.asarray(outputs), batch, loss)

    def chances(x: Any) -> Any:
        return np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(-1, keepdims=True)

    hard = -np.log(chances(outputs)[np.arange(6), y])
    q, p = chances(answers / 4), chances(outputs / 4)
    soft = 16 * (q * np.log(q / p)).sum(-1) if match == "both" else 0.0
    expected = (weight * (0.7 * hard + 0.3 * (soft + hints))).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_weight_of_0_leaves_all_bits_and_lanes_are_alone(learn: Learn) -> None:
    data, off = with_teacher(images(), 1), a_student(weight=0.0)
    plain = learn(images(), [a_student(compression={})])[0]
    assert learn(data, [off])[0] == plain
    students = [a_student(stream) for stream in range(3)]
    assert len({split(student, data, "cpu")[0] for student in students}) == 1
    together = learn(data, students, lanes=2)
    for student in students:
        stream = student.train.stream
        assert learn(data, [student], lanes=2)[stream] == together[stream]
    assert together[0] != plain


@pytest.mark.long
def test_padded_units_of_merged_widths_are_not_compared(learn: Learn) -> None:
    listed = {"batch_size": [8, 16], "widths": [[7], [12]]}
    train = {"epochs": 2, "stream": 0, "merged": listed}
    data, merged = with_teacher(images(), 1), a_student(train=train)
    assert {path for path, _ in split(merged, data, "cpu")[0].merged} == {
        "data.batch_size",
        "model.widths",
    }
    together, alone = learn(data, [merged]), learn(data, [unmerged(merged)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_the_map_belongs_to_no_trained_model_and_to_no_count() -> None:
    data, training = with_teacher(images(), 1), a_student()
    program, _ = split(training, data, "cpu")
    lane = initial_lane(program, training)
    params, _ = own_weights(program, training, lane)
    assert params.keys() == {"head", "linears"}
    assert len(lane.params) == 16 * 7 + 7 + 7 * CLASSES + CLASSES + 7 * 5 + 5
    wanted = {"parameters", "model_bytes", "macs"}
    plain = known_costs(a_student(compression={}), images(), "cpu", wanted)
    assert known_costs(training, data, "cpu", wanted) == plain
    # The weights of the model are drawn as without a teacher.
    own, _ = split(a_student(compression={}), images(), "cpu")
    drawn = own_weights(own, training, initial_lane(own, training))[0]
    jax.tree.map(np.testing.assert_array_equal, params, drawn)


def test_a_model_without_an_activation_is_refused() -> None:
    training = a_student(model={"name": "mlp", "widths": []})
    program, _ = split(training, with_teacher(images(), 1), "cpu")
    with pytest.raises(HpoError, match=r"teacher\.match: this model has no model\.activation"):
        initial_lane(program, training)
