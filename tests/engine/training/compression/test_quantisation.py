"""Weights in few bits, against NumPy's rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.compression.quantisation import (
    as_bases,
    as_integers,
    as_ternary,
    in_training,
    places_of,
    quantised,
)
from hpo.engine.training.supervised import judged, own_weights
from hpo.engine.training.task import task_of
from hpo.spec.sections.compression.quantisation import Weights
from hpo.spec.sections.compression.section import Compression
from tests.engine.samples import Learn, a_training, unmerged

INTEGER = {"weights": {"name": "integer", "bits": 3}}


def _rounded(kernel: np.ndarray, bits: int, by_channel: bool) -> np.ndarray:
    """The same by NumPy in float64, but for the scale, which has 12 binary digits."""
    axes = tuple(range(kernel.ndim - 1)) if by_channel else None
    most = 2 ** (bits - 1) - 1
    digits, power = np.frexp(np.float32(abs(kernel).max(axes, keepdims=True)) / np.float32(most))
    scale = np.ldexp(np.floor(digits.astype(np.float64) * 2**12 + 0.5) / 2**12, power)
    codes = np.rint(kernel.astype(np.float64) / np.where(scale == 0, 1, scale))
    assert abs(codes).max() == most
    return codes * scale


@pytest.mark.parametrize("by_channel", [False, True])
def test_two_to_eight_bits_are_those_of_numpy_in_one_program(by_channel: bool) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 7, 5)).astype(np.float32)
    kernel[..., 2], kernel[0, 0, 0, 1] = 0, 0  # a unit without weights, and a cut weight
    rounding = jax.jit(lambda kernel, bits: as_integers(kernel, bits, by_channel=by_channel))
    for bits in range(2, 9):
        found = np.asarray(rounding(kernel, jnp.float32(bits)))
        np.testing.assert_array_equal(found, _rounded(kernel, bits, by_channel))
        assert len(np.unique(found[..., 0])) <= 2**bits - 1
        assert (found[kernel == 0] == 0).all()
        assert not np.signbit(found[found == 0]).any()
        # Rounding again changes nothing, nor do zeros around a kernel.
        np.testing.assert_array_equal(rounding(found, jnp.float32(bits)), found)
        padded = np.pad(kernel, [(0, 1), (0, 0), (0, 2), (0, 3)])
        whole = np.asarray(as_integers(padded, bits, by_channel=by_channel))
        np.testing.assert_array_equal(whole[:3, :, :7, :5], found)
    assert rounding._cache_size() == 1


def test_training_rounds_from_its_beginning_on_and_biases_are_not_rounded() -> None:
    tree = {"linears": {0: {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.ones(4)}}}
    late = Weights(name="integer", bits=2, begin=0.5)
    before, after = (
        in_training(Compression(weights=late), tree, step, 10)["linears"][0] for step in (4, 5)
    )
    np.testing.assert_array_equal(before["kernel"], tree["linears"][0]["kernel"])
    assert sorted(np.unique(after["kernel"])) == [-1, 0, 1]
    assert (after["bias"] == 1).all()
    assert in_training(Compression(), tree, 0, 10) is tree


def test_a_step_moves_the_weights_by_the_gradient_at_the_rounded_ones(tiny: DataSet) -> None:
    leaves: dict[str, Any] = {
        "model": {"name": "mlp", "widths": [6]},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    training = a_training(compression=INTEGER, **leaves)
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    lane = task.initial(training)
    plain = split(a_training(**leaves), tiny, "cpu")
    rounded, _ = judged(program, training, lane)
    start = lane._replace(params=np.concatenate([np.ravel(a) for a in jax.tree.leaves(rounded)]))
    feed, rows = task.feed(training, 0), _rows(tiny)
    after = jax.jit(task.train)(knobs, lane, rows, feed, 1)
    expected = jax.jit(task_of(plain[0]).train)(plain[1], start, rows, feed, 1)
    moved = np.asarray(after.params) - lane.params
    np.testing.assert_allclose(moved, np.asarray(expected.params) - start.params, atol=1e-7)
    assert abs(moved).max() > 1e-3


def _rows(data: DataSet) -> Any:
    return host_data(data, is_whole=False)


@pytest.mark.parametrize("scales", ["tensor", "channel"])
def test_merged_programs_round_as_the_trials_own_do(
    tiny: DataSet, learn: Learn, scales: str
) -> None:
    compression = {"weights": {"name": "integer", "bits": 4, "scales": scales}}
    merged = {"widths": [[8], [12], [3, 3]]}
    training = a_training(compression=compression, train__merged=merged)
    together, alone = learn(tiny, [training]), learn(tiny, [unmerged(training)])
    for one, other in zip(together[0], alone[0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_bits_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(number, compression={"weights": {"name": "integer", "bits": bits, "begin": 0.5}})
        for number, bits in enumerate([2, 5, 8])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]


def test_a_model_is_judged_and_kept_with_its_rounded_weights(tiny: DataSet) -> None:
    both = {**INTEGER, "sparsity": {"name": "magnitude", "share": 0.5, "begin": 0.0, "end": 0.5}}
    training = a_training(compression=both, train__average={"name": "ema", "decay": 0.5})
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    lane, train = task.initial(training), jax.jit(task.train)
    for epoch in range(4):
        feed = task.feed(training, epoch)
        lane = jax.device_get(train(knobs, lane, _rows(tiny), feed, 6))
    kept, _ = own_weights(program, training, lane)
    seen, _ = jax.jit(lambda lane: judged(program, program.fill(knobs), lane))(lane)
    jax.tree.map(np.testing.assert_array_equal, kept, seen)
    kernels = [kept["linears"][0]["kernel"], kept["head"]["kernel"]]
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, _rounded(kernel, 3, by_channel=False))
    # Cut weights are 0 after rounding, which adds zeros.
    assert sum((kernel == 0).sum() for kernel in kernels) >= 32
    assert len(np.unique(lane.params)) > 40


@pytest.mark.parametrize(
    ("kernels", "places"),
    [
        ("head/kernel linears/0/kernel linears/1/kernel", "last first middle"),
        ("head/kernel linears/0/left/kernel linears/0/right/kernel", "last first first"),
        ("blocks/0/convs/0/kernel first/kernel head/kernel", "middle first last"),
        ("categories/columns/0/kernel head linears/0/kernel", "first last middle"),
        ("out/kernel conv/kernel dense/kernel", "last first middle"),
        ("parts/10/kernel parts/9/kernel parts/2/kernel", "last middle first"),
        ("head/kernel", "last"),
        ("", ""),
    ],
)
def test_the_first_and_the_last_layer_are_found_by_their_names(kernels: str, places: str) -> None:
    assert [*places_of(kernels.split()).values()] == places.split()


def test_layers_have_their_own_bits_and_equal_ones_are_the_bits_of_all() -> None:
    rng = np.random.default_rng(0)
    names = {0: 200, 1: 300, 2: 400}
    tree = {
        "linears": {n: {"kernel": rng.standard_normal((size, 3))} for n, size in names.items()},
        "head": {"kernel": rng.standard_normal((500, 3))},
    }
    mixed = Weights.model_validate(
        {"name": "integer", "bits": 4, "layers": {"first": 8, "middle": 2}}
    )
    found = quantised(Compression(weights=mixed), tree)
    levels = [len(np.unique(layer["kernel"])) for layer in found["linears"].values()]
    assert levels[1:] == [3, 3]
    assert 15 < levels[0] <= 255
    assert 7 < len(np.unique(found["head"]["kernel"])) <= 15
    equal = Weights.model_validate(
        {"name": "integer", "layers": {"first": 3, "middle": 3, "last": 3}}
    )
    uniform = quantised(Compression(weights=Weights(name="integer", bits=3)), tree)
    jax.tree.map(
        np.testing.assert_array_equal, quantised(Compression(weights=equal), tree), uniform
    )


def _groups(kernel: np.ndarray, by_channel: bool) -> list[np.ndarray]:
    """The weights that share scales."""
    return [*kernel.reshape(-1, kernel.shape[-1]).T] if by_channel else [kernel.ravel()]


@pytest.mark.parametrize("by_channel", [False, True])
def test_ternary_weights_have_the_threshold_and_the_scale_of_the_paper(by_channel: bool) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 50, 4)).astype(np.float32)
    kernel[1] = 0  # zeros count for no mean
    found = np.asarray(as_ternary(kernel, by_channel=by_channel))
    pairs = zip(_groups(kernel, by_channel), _groups(found, by_channel), strict=True)
    for weights, rounded in pairs:
        sizes = abs(weights[weights != 0])
        above = sizes[sizes > 0.7 * sizes.mean()]
        assert abs(rounded).max() == pytest.approx(above.mean(), rel=2**-12)
        assert (rounded != 0).sum() == pytest.approx(len(above), abs=1)
        assert len(np.unique(abs(rounded))) == 2
        assert (np.sign(rounded) * np.sign(weights) >= 0).all()


@pytest.mark.parametrize("by_channel", [False, True])
def test_bases_have_the_least_squares_of_numpy_for_their_signs(by_channel: bool) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 50, 4)).astype(np.float32)
    kernel[0, :9] = 0
    bases = jax.jit(lambda count: as_bases(kernel, count, by_channel=by_channel, keeps_zeros=True))
    errors = []
    for count in range(1, 5):
        found = np.asarray(bases(jnp.float32(count)))
        assert (found[kernel == 0] == 0).all()
        errors.append(np.square(found - kernel).sum())
        for weights, rounded in zip(
            _groups(kernel, by_channel), _groups(found, by_channel), strict=True
        ):
            weights = weights[weights != 0].astype(np.float64)
            rest, signs = weights, []
            for _ in range(count):
                signs.append(np.where(rest < 0, -1, 1))
                rest = rest - abs(rest).mean() * signs[-1]
            matrix = np.stack(signs, axis=1)
            scales = np.linalg.lstsq(matrix, weights)[0]
            np.testing.assert_allclose(rounded[rounded != 0], matrix @ scales, atol=2e-3)
            assert len(np.unique(rounded[rounded != 0])) <= 2**count
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.2 * errors[0]
    assert bases._cache_size() == 1
    # Weights of one size need a single base, whatever the others would be.
    equal = jnp.asarray([[0.5, -0.5], [-0.5, 0.0]])
    np.testing.assert_array_equal(as_bases(equal, 4, keeps_zeros=True), equal)
    assert (np.asarray(as_bases(equal, 1, keeps_zeros=False)) != 0).all()
