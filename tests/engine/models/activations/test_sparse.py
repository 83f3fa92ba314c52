"""What follows an activation, by NumPy: the units kept, and the penalty on sizes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.activations.sparse import largest
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.engine.training.task import task_of
from hpo.errors import HpoError
from tests.engine.samples import Learn, a_training, unmerged

SGD = {"name": "sgd", "learning_rate": 0.1}


def _largest(y: np.ndarray, count: int) -> np.ndarray:
    """The same by a sort of NumPy that keeps the order of equals."""
    kept = np.argsort(-abs(y), axis=-1, kind="stable")[..., :count]
    found = np.zeros_like(y)
    np.put_along_axis(found, kept, np.take_along_axis(y, kept, -1), -1)
    return found


def test_the_largest_units_are_those_of_numpy_whatever_pads_them() -> None:
    y = np.random.default_rng(0).standard_normal((5, 3, 10)).astype(np.float32)
    y[0, 0], y[1, 1, :4], y[2] = 0.5, -2.0, np.maximum(y[2], 0)  # equals, and zeros
    keep = jax.jit(largest)
    for share in (0.01, 0.14, 0.25, 0.5, 0.99, 1.0):
        count = max(1, int(np.rint(np.float32(share) * np.float32(10))))
        found = np.asarray(keep(y, share, 10))
        np.testing.assert_array_equal(found, _largest(y, count))
        padded = np.pad(y, [(0, 0), (0, 0), (0, 6)])
        np.testing.assert_array_equal(keep(padded, share, 10)[..., :10], found)
    assert keep._cache_size() == 2
    slope = jax.grad(lambda y: (largest(y, 0.25, 10) * jnp.arange(10.0)).sum())(y)
    np.testing.assert_array_equal(slope, (_largest(y, 2) != 0) * np.arange(10.0))


def test_what_is_no_number_stays_so_that_the_loss_tells_that_a_lane_diverged() -> None:
    y = np.array([[np.nan, 1.0, 3.0, 2.0], [np.nan] * 4], np.float32)
    for share in (0.25, 0.5, 1.0):
        np.testing.assert_array_equal(np.isnan(largest(y, share, 4)), np.isnan(y))


def test_the_answers_are_those_of_the_units_that_are_kept(tiny: DataSet) -> None:
    training = a_training(
        model={"name": "mlp", "widths": [8, 6]}, compression={"activations": {"top": 0.25}}
    )
    program, _ = split(training, tiny, "cpu")
    params, _ = own_weights(program, training, initial_lane(program, training))
    found, _ = forward(program, training, params, {}, {"x": tiny.train.x})
    h = tiny.train.x
    for number, count in enumerate((2, 2)):  # a quarter of 6 is rounded up
        layer = params["linears"][number]
        h = _largest(np.maximum(h @ layer["kernel"] + layer["bias"], 0), count)
    expected = h @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_penalty_moves_weights_by_its_gradient_and_is_part_of_the_loss(tiny: DataSet) -> None:
    after = {}
    for l1 in (0.0, 0.01):
        training = a_training(
            model={"name": "mlp", "widths": [8]},
            optimizer=SGD,
            compression={"activations": {"l1": l1}},
        )
        program, knobs = split(training, tiny, "cpu")
        task = task_of(program)
        lane, feed = task.initial(training), task.feed(training, 0)
        after[l1] = jax.jit(task.train)(knobs, lane, host_data(tiny, is_whole=False), feed, 1)
    params, _ = own_weights(program, training, lane)
    layer, x = params["linears"][0], tiny.train.x[feed["rows"][0]]
    h = x @ layer["kernel"] + layer["bias"]
    penalty = 0.01 * np.maximum(h, 0).sum() / len(x)
    assert after[0.01].loss_sum - after[0.0].loss_sum == pytest.approx(penalty, rel=1e-4)
    slope = 0.01 * (h > 0) / len(x)
    moved = [own_weights(program, training, after[one])[0]["linears"][0] for one in (0.01, 0.0)]
    found = {name: moved[0][name] - moved[1][name] for name in ("kernel", "bias")}
    np.testing.assert_allclose(found["kernel"], -0.1 * x.T @ slope, atol=1e-6)
    np.testing.assert_allclose(found["bias"], -0.1 * slope.sum(0), atol=1e-6)


def test_both_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(
            number,
            compression={"activations": {"l1": 0.1 * number, "top": 0.3 + 0.2 * number}},
            train__varying=["compression.activations.l1"],
        )
        for number in range(3)
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]


def test_merged_programs_keep_and_penalise_as_the_trials_own_do(
    tiny: DataSet, learn: Learn
) -> None:
    listed = {"widths": [[8], [12], [4, 4]], "batch_size": [8, 16]}
    some = {"activations": {"l1": 0.01, "top": 0.4}}
    training = a_training(compression=some, train__merged=listed)
    merged = dict(split(training, tiny, "cpu")[0].merged)
    assert merged == {"model.widths": ((8,), (12,)), "data.batch_size": (8, 16)}
    together, alone = learn(tiny, [training]), learn(tiny, [unmerged(training)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    ("leaves", "model", "sentence"),
    [
        ({"l1": 0.1}, {"widths": []}, r"l1: this model has no model\.activation: remove it"),
        ({"top": 0.5}, {"widths": []}, r"top: this model has no model\.activation: remove it"),
        ({"l1": 0.1}, {"name": "resnet", "remat": True}, r"l1: does not work with model\.remat: "),
    ],
)
def test_models_in_which_they_do_nothing_are_refused(
    leaves: dict[str, Any], model: dict[str, Any], sentence: str, tiny: DataSet, images: DataSet
) -> None:
    training = a_training(model={"name": "mlp", **model}, compression={"activations": leaves})
    data = images if model.get("remat") else tiny
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    rows, feed = host_data(data, is_whole=False), task.feed(training, 0)
    with pytest.raises(HpoError, match=rf"^compression\.activations\.{sentence}"):
        jax.eval_shape(task.train, knobs, task.initial(training), rows, feed, 1)
