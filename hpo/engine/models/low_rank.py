"""Dense layers of low rank: `model.rank`."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jaxtyping import Array, Float


class LowRank(nnx.Module):  # type: ignore[misc]
    """A dense layer whose kernel is the product of two: `rank` * (inputs + outputs) weights.

    The initial factors of both are those of one drawn kernel (see `initialisers`).

    Source: Denil et al. 2013, "Predicting parameters in deep learning" (arXiv:1306.0543).
    """

    def __init__(
        self, inputs: int, outputs: int, rank: int, *, use_bias: bool, dtype: Any, rngs: nnx.Rngs
    ) -> None:
        self.left = nnx.Linear(inputs, rank, use_bias=False, dtype=dtype, rngs=rngs)
        self.right = nnx.Linear(rank, outputs, use_bias=use_bias, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "... N"]) -> Float[Array, "... M"]:
        """The outputs of the layer."""
        return self.right(self.left(x))


def dense_layer(
    inputs: int, outputs: int, rank: int | None, *, use_bias: bool, dtype: Any, rngs: nnx.Rngs
) -> nnx.Linear | LowRank:
    """A dense layer, of low rank if the spec gives a rank."""
    if rank is None:
        return nnx.Linear(inputs, outputs, use_bias=use_bias, dtype=dtype, rngs=rngs)
    return LowRank(inputs, outputs, rank, use_bias=use_bias, dtype=dtype, rngs=rngs)


def kernel_weights(inputs: int, outputs: int, rank: int | None) -> int:
    """The weights of a dense layer without its bias, and its multiplications for an example."""
    return inputs * outputs if rank is None else rank * (inputs + outputs)
