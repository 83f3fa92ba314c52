"""Weights in few bits: `compression.weights`.

A lane keeps its weights in float32, and the model is called with rounded ones. The number of bits
is a number of the program, like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.abstract import STEPS, is_kernel, name_of
from hpo.engine.training.compression import learned
from hpo.engine.training.techniques.layers import is_head, mapped
from hpo.spec.sections.compression.quantisation import BASES, BITS, Weights
from hpo.spec.sections.compression.section import Compression

# Of -1, 0 and 1; and the most bases, whose number is one of the program.
TERNARY_BITS, MOST_BASES = 2, 4


def is_quantised(weights: Weights) -> bool:
    """Whether weights between units have few bits."""
    return weights.name != "none"


def in_training(compression: Compression, tree: Any, step: Any, steps: Any) -> Any:
    """The weights at which the gradient of a step is taken; a training has `steps` of them.

    What is learnt there moves the float32 weights. So the gradient passes the rounding unchanged.

    Source: Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"
    (arXiv:1308.3432), Section 3, the straight-through estimator.
    """
    rounded, begin = quantised(compression, tree), compression.weights.begin
    if not is_quantised(compression.weights) or begin is None or has_steps(compression):
        return rounded
    is_on = step >= jnp.round(begin * steps)
    return jax.tree.map(lambda new, old: jnp.where(is_on, new, old), rounded, tree)


def quantised(compression: Compression, tree: Any) -> Any:
    """The weights as they are judged and saved; biases and factors of norms are the same arrays."""
    weights = compression.weights
    if not is_quantised(weights):
        return tree
    bits, by_channel = bits_by_name(weights, [*_kernels(tree)]), weights.scales == "channel"

    def one(name: str, array: Array) -> Array:
        if name not in bits:
            return array
        if weights.name == "ternary":
            return as_ternary(array, by_channel=by_channel)
        if weights.name == "bases":
            keeps_zeros = compression.sparsity.name != "none"
            return as_bases(array, bits[name], by_channel=by_channel, keeps_zeros=keeps_zeros)
        if has_steps(compression):
            return learned.in_steps(array, tree[STEPS][name], bits[name])
        return as_integers(array, bits[name], by_channel=by_channel)

    rounded = mapped(one, tree)
    if has_steps(compression):
        own = {name: learned.used_step(step) for name, step in tree[STEPS].items() if name in bits}
        rounded[STEPS] = {**tree[STEPS], **own}
    return rounded


def has_steps(compression: Compression) -> bool:
    """Whether the steps between levels of weights are trained."""
    return compression.weights.name == "learned"


def with_steps(compression: Compression, tree: Any) -> Any:
    """First weights on the host, with first steps where they are trained."""
    if not has_steps(compression):
        return tree
    weights, kernels = compression.weights, _kernels(tree)
    bits = bits_by_name(weights, [*kernels])
    steps = learned.first_steps(kernels, bits, by_channel=weights.scales == "channel")
    return {**tree, STEPS: steps}


def unrounded(compression: Compression, tree: Any, gradients: Any) -> Any:
    """The gradients at a tree of weights, from those at its rounded ones."""
    if not has_steps(compression):
        return gradients  # straight through
    bits = bits_by_name(compression.weights, [*_kernels(tree)])
    return learned.through_steps(tree, bits, gradients)


def _kernels(tree: Any) -> dict[str, Any]:
    """The arrays of weights between units, by their names."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {name: array for path, array in paths if is_kernel(name := name_of(path), array)}


def bits_by_name(weights: Weights, kernels: Sequence[str]) -> dict[str, Any]:
    """The bits of the kernels of a model by their names."""
    if weights.name not in ("integer", "learned"):
        usual = TERNARY_BITS if weights.name == "ternary" else weights.bases
        return dict.fromkeys(kernels, BASES if usual is None else usual)
    usual = BITS if weights.bits is None else weights.bits
    owns = {name: getattr(weights.layers, place) for name, place in places_of(kernels).items()}
    return {name: usual if own is None else own for name, own in owns.items()}


def places_of(kernels: Sequence[str]) -> dict[str, Literal["first", "middle", "last"]]:
    """Which kernels are in the first layer of a model, and which in the last.

    Our models name the layers that answer, and most of those that read examples. In other models
    the alphabet decides, and numbers count.
    """
    layers = [*dict.fromkeys(map(_layer, sorted(kernels, key=_in_order)))]
    last = {_layer(name) for name in kernels if is_head(name)} or set(layers[-1:])
    others = [layer for layer in layers if layer not in last]
    first = {*_READERS} & {*others} or set(others[:1])
    return {
        name: "last" if _layer(name) in last else "first" if _layer(name) in first else "middle"
        for name in kernels
    }


# Layers of our models that read examples, beside the first one of a list.
_READERS = ("categories", "embedding", "first", "inputs", "positions")


def _layer(name: str) -> str:
    """The layer of an array: `linears/0` of `linears/0/left/kernel`, `first` of `first/kernel`."""
    parts = name.split("/")
    number = next((place for place, part in enumerate(parts) if part.isdecimal()), 0)
    return "/".join(parts[: number + 1])


def _in_order(name: str) -> list[tuple[bool, int, str]]:
    """A key for names by which `linears/9` comes before `linears/10`."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in name.split("/")
    ]


def as_integers(
    kernel: Float[Array, "*axes"], bits: Any, *, by_channel: bool = False
) -> Float[Array, "*axes"]:
    """A kernel as whole numbers of these bits times a scale, that of each unit `by_channel`.

    The largest weight decides the scale, so that none is cut off. With zeros around a kernel it is
    the same.

    Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference" (arXiv:1712.05877), Section 3, with a range around 0 as in
    Krishnamoorthi 2018, "Quantizing deep convolutional networks" (arXiv:1806.08342), Section 2.2.
    """
    # exp2 may be off by a rounding.
    most = jnp.round(jnp.exp2(jnp.asarray(bits, jnp.float32) - 1)) - 1
    axes = tuple(range(kernel.ndim - 1)) if by_channel else None
    scale = _short(jnp.abs(kernel).max(axes, keepdims=True) / most)
    codes = jnp.clip(jnp.round(kernel / jnp.where(scale == 0, 1.0, scale)), -most, most)
    # A file of whole numbers has no 0 below 0.
    return jnp.where(codes == 0, 0.0, codes * scale)


def as_ternary(kernel: Float[Array, "*axes"], *, by_channel: bool = False) -> Float[Array, "*axes"]:
    """A kernel as -1, 0 and 1 times a scale, that of each unit `by_channel`.

    Weights that are 0 already count for no mean, so that zeros around a kernel change nothing.

    Source: Li et al. 2016, "Ternary weight networks" (arXiv:1605.04711), Equations 5 and 6.
    """
    sizes = jnp.abs(kernel)
    threshold = _short(0.7 * _mean(sizes, sizes > 0, by_channel))
    is_kept = sizes > threshold
    return jnp.where(is_kept, jnp.sign(kernel) * _short(_mean(sizes, is_kept, by_channel)), 0.0)


def as_bases(
    kernel: Float[Array, "*axes"], count: Any, *, by_channel: bool = False, keeps_zeros: bool
) -> Float[Array, "*axes"]:
    """A kernel as a sum of `count` scales, those of each unit `by_channel`, with signs.

    The signs are those of what the bases before leave over, and the scales are the least squares
    for all signs. With `keeps_zeros` a weight of 0 stays so.

    Source: Lin et al. 2017, "Towards accurate binary convolutional neural network"
    (arXiv:1711.11294), Equation 4; the signs are those of Guo et al. 2017, "Network sketching"
    (arXiv:1706.02021), Algorithm 1.
    """
    is_there = kernel != 0 if keeps_zeros else jnp.ones(kernel.shape, bool)
    rest, signs = kernel, []
    for base in range(MOST_BASES):
        own = jnp.where(is_there & (base < count), jnp.where(rest < 0, -1.0, 1.0), 0.0)
        rest = rest - _mean(jnp.abs(rest), is_there, by_channel) * own
        signs.append(own)
    products = [[_mean(one * other, is_there, by_channel) for other in signs] for one in signs]
    shares = [_mean(one * kernel, is_there, by_channel) for one in signs]
    scales = map(_short, _least_squares(products, shares))
    return sum((scale * own for scale, own in zip(scales, signs, strict=True)), start=jnp.zeros(()))


def _least_squares(products: list[list[Array]], shares: list[Array]) -> list[Array]:
    """The solution of the normal equations, by elimination; 0 for what depends on the others."""
    count, inverses = len(shares), []
    for i in range(count):
        pivot = products[i][i]
        is_new = pivot > _LEAST_PIVOT
        inverses.append(jnp.where(is_new, 1 / jnp.where(is_new, pivot, 1.0), 0.0))
        for j in range(i + 1, count):
            factor = products[j][i] * inverses[i]
            products[j] = [
                own - factor * above for own, above in zip(products[j], products[i], strict=True)
            ]
            shares[j] = shares[j] - factor * shares[i]
    found: list[Array] = []
    for i in reversed(range(count)):
        known = sum(p * x for p, x in zip(products[i][i + 1 :], found, strict=True))
        found.insert(0, inverses[i] * (shares[i] - known))
    return found


_LEAST_PIVOT = 1e-4


def _mean(numbers: Array, is_in: Array, by_channel: bool) -> Array:
    """The mean of some of the numbers, of each unit `by_channel`; 0 of none."""
    axes = tuple(range(numbers.ndim - 1)) if by_channel else None
    count = is_in.sum(axes, keepdims=True)
    return jnp.where(is_in, numbers, 0.0).sum(axes, keepdims=True) / jnp.maximum(count, 1)


def _short(scale: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Scales of 12 binary digits.

    Their products with whole numbers are exact. Sums in another order, which round otherwise, give
    the same scale.
    """
    digits = lax.bitcast_convert_type(scale, jnp.uint32)
    return lax.bitcast_convert_type((digits + 0x800) & jnp.uint32(0xFFFFF000), jnp.float32)
