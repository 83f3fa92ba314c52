"""Trained steps between levels: NumPy's levels, the paper's pseudocode, and lanes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import STEPS
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.compression.learned import (
    first_steps,
    in_steps,
    most_of,
    through_steps,
)
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import parted
from tests.engine.samples import Learn, a_training, unmerged

LEARNED = {"weights": {"name": "learned", "bits": 3}}
KERNEL = np.random.default_rng(0).standard_normal((3, 7, 5)).astype(np.float32)


def _pseudocode(kernel: Any, step: Any, most: Any) -> Any:
    """Esser et al. 2020, Appendix A, with levels on both sides of 0."""

    def passed(x: Any, value: Any) -> Any:
        return jax.lax.stop_gradient(value - x) + x

    factor = 1 / np.sqrt(kernel.size / step.size * most)
    scaled = step * factor
    scaled = jax.lax.stop_gradient(step - scaled) + scaled
    levels = jnp.clip(kernel / scaled, -most, most)
    return passed(levels, jnp.round(levels)) * scaled


@pytest.mark.parametrize("by_channel", [False, True])
def test_levels_and_gradients_are_those_of_the_paper_in_one_program(by_channel: bool) -> None:
    name, seen = "linears/0/kernel", np.random.default_rng(1).standard_normal(KERNEL.shape)
    tree = {"linears": {0: {"kernel": KERNEL}}}

    @jax.jit
    def both(tree: Any, bits: Any) -> Any:
        step = tree[STEPS][name]
        gradients = {**jax.tree.map(jnp.zeros_like, tree), "linears": {0: {"kernel": seen}}}
        rounded = in_steps(tree["linears"][0]["kernel"], step, bits)
        return rounded, through_steps(tree, {name: bits}, gradients)

    for bits in range(2, 9):
        most = 2 ** (bits - 1) - 1
        assert most_of(bits) == float(most_of(jnp.float32(bits))) == most
        steps = first_steps({name: KERNEL}, {name: bits}, by_channel=by_channel)
        axes = (0, 1) if by_channel else None
        start = 2 * abs(KERNEL).mean(axes) / np.sqrt(most)
        np.testing.assert_allclose(steps[name], start.reshape(-1), rtol=1e-6)
        # Of 12 binary digits, so that levels are compared exactly.
        steps[name] = np.float32(np.round(steps[name] * 1024) / 1024)
        found, gradients = both({**tree, STEPS: steps}, jnp.float32(bits))
        codes = np.clip(np.rint(KERNEL.astype(np.float64) / steps[name]), -most, most)
        np.testing.assert_array_equal(found, codes * steps[name])

        def loss(kernel: Any, step: Any, most: int = most) -> Any:
            return (_pseudocode(kernel, step, most) * seen).sum()

        expected = jax.grad(loss, argnums=(0, 1))(KERNEL, steps[name])
        np.testing.assert_allclose(gradients["linears"][0]["kernel"], expected[0], atol=1e-6)
        np.testing.assert_allclose(gradients[STEPS][name], expected[1], rtol=1e-4, atol=1e-5)
        # Zeros around a kernel change nothing.
        wide = {0: {"kernel": np.pad(KERNEL, [(0, 0), (0, 2), (0, 0)])}}
        padded = {"linears": wide, STEPS: steps}
        beside = {"linears": {0: {"kernel": np.pad(seen, [(0, 0), (0, 2), (0, 0)])}}}
        whole = through_steps(padded, {name: bits}, {**beside, STEPS: steps})
        np.testing.assert_allclose(whole[STEPS][name], gradients[STEPS][name], rtol=1e-5)
    assert both._cache_size() == 1


def test_a_kernel_of_zeros_has_a_step_above_0() -> None:
    steps = first_steps({"head": np.zeros((16, 3))}, {"head": 2}, by_channel=False)
    assert steps["head"] == pytest.approx(2 * np.sqrt(2 / np.pi) / 4)


def test_training_moves_the_steps_and_the_model_is_kept_in_their_levels(tiny: DataSet) -> None:
    training = a_training(compression=LEARNED, optimizer={"name": "sgd", "learning_rate": 0.1})
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    lane, rows = task.initial(training), host_data(tiny, is_whole=False)
    first = parted(program, lane.params)[STEPS]
    lane = jax.jit(task.train)(knobs, lane, rows, task.feed(training, 0), 6)
    steps = parted(program, lane.params)[STEPS]
    assert steps.keys() == {"linears/0/kernel", "head/kernel"}
    kept, _ = own_weights(program, training, jax.device_get(lane))
    for name, step in steps.items():
        assert abs(step - first[name]) > 1e-5
        assert kept[STEPS][name] == pytest.approx(step, rel=2**-12)
        layer = kept["head"] if name == "head/kernel" else kept["linears"][0]
        codes = layer["kernel"] / kept[STEPS][name]
        np.testing.assert_array_equal(codes, np.rint(codes))
        assert 1 <= abs(codes).max() <= 3


@pytest.mark.parametrize("scales", ["tensor", "channel"])
def test_merged_programs_learn_the_steps_of_the_trials_own(
    tiny: DataSet, learn: Learn, scales: str
) -> None:
    compression = {"weights": {**LEARNED["weights"], "scales": scales}}
    training = a_training(compression=compression, train__merged={"widths": [[8], [12], [3, 3]]})
    together, alone = learn(tiny, [training]), learn(tiny, [unmerged(training)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_bits_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(number, compression={"weights": {"name": "learned", "bits": bits}})
        for number, bits in enumerate([2, 5, 8])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]
