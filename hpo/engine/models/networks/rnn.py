"""Recurrent networks: simple cells, GRU and LSTM, over texts and series.

The cells are our own. Flax's multiply each place's input within the loop over time. They also draw
their first state from random streams, which a lane does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Shaped

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.dropout import Dropout, dropped
from hpo.engine.models.embedding import EMBEDDING_LEAVES, Embedding, pooled
from hpo.engine.models.initialisers import INITIALISERS, Initialiser
from hpo.engine.models.layers import kernel_weights
from hpo.engine.models.sizes import Size
from hpo.errors import HpoError
from hpo.spec.sections.models.sequences import BACKWARDS
from hpo.spec.sections.models.sequences import Rnn as RnnSpec

# The arrays [B, H] of a cell; the first one is its output.
State: TypeAlias = tuple[Array, ...]


def _simple(state: State, x: Float[Array, "B H"], recurrent: Array) -> State:
    """Source: Elman 1990, "Finding structure in time" (Cognitive Science 14)."""
    (h,) = state
    return (jnp.tanh(x + h @ recurrent),)


def _gru(state: State, x: Float[Array, "B 3H"], recurrent: Array) -> State:
    """The variant whose reset gate comes after the product, as in Flax, PyTorch and cuDNN.

    Then all gates share one product. Gates are in the order reset, update, candidate.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation" (arXiv:1406.1078, version 1).
    """
    (h,) = state
    reset_x, update_x, candidate_x = jnp.split(x, 3, axis=-1)
    reset_h, update_h, candidate_h = jnp.split(h @ recurrent, 3, axis=-1)
    update = jax.nn.sigmoid(update_x + update_h)
    candidate = jnp.tanh(candidate_x + jax.nn.sigmoid(reset_x + reset_h) * candidate_h)
    return ((1 - update) * candidate + update * h,)


def _lstm(state: State, x: Float[Array, "B 4H"], recurrent: Array) -> State:
    """Gates are in the order input, forget, candidate, output.

    Source: Hochreiter and Schmidhuber 1997, "Long short-term memory" (Neural Computation 9), with
    the forget gate of Gers et al. 2000, "Learning to forget" (Neural Computation 12).
    """
    h, memory = state
    input_, forget, candidate, output = jnp.split(x + h @ recurrent, 4, axis=-1)
    kept = jax.nn.sigmoid(forget) * memory
    # Sums over many places lose too many bits in bfloat16.
    memory = (kept + jax.nn.sigmoid(input_) * jnp.tanh(candidate)).astype(jnp.float32)
    return (jax.nn.sigmoid(output) * jnp.tanh(memory)).astype(x.dtype), memory


# Of each cell: its step, and the number of its gates, with the candidate.
CELLS: Mapping[str, tuple[Callable[[State, Array, Array], State], int]] = MappingProxyType(
    {"simple": (_simple, 1), "gru": (_gru, 3), "lstm": (_lstm, 4)}
)


def _orthogonal_gates(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One orthogonal matrix for each gate (Saxe et al. 2014), as in Flax."""
    draw, width = INITIALISERS["orthogonal"], shape[0]
    return np.concatenate([draw(rng, (width, width)) for _ in range(shape[1] // width)], axis=1)


def _open_forget_gates(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """0, and 1 for the forget gate, so that an LSTM remembers from the start (Gers et al. 2000)."""
    width = shape[0] // 4
    return np.repeat(np.array([0.0, 1.0, 0.0, 0.0], np.float32), width)


class _Direction(nnx.Module):  # type: ignore[misc]
    """One layer of cells in one direction."""

    def __init__(
        self, spec: RnnSpec, inputs: int, reverse: bool, dtype: Any, rngs: nnx.Rngs
    ) -> None:
        self.cell, self.reverse = spec.cell, reverse
        gates = CELLS[spec.cell][1] * spec.width
        has_memory = spec.cell == "lstm"
        self.linear = nnx.Linear(inputs, gates, use_bias=not has_memory, dtype=dtype, rngs=rngs)
        self.recurrent = nnx.Param(jnp.zeros((spec.width, gates)))
        if has_memory:
            self.gate_bias = nnx.Param(jnp.zeros((gates,)))

    def __call__(
        self, x: Float[Array, "B T N"], is_real: Bool[Array, "B T"] | None
    ) -> tuple[Float[Array, "B H"], Float[Array, "B T H"]]:
        """The state after the last place that is real, and that after each place.

        A place that is not real leaves the state as it was.
        """
        step, _ = CELLS[self.cell]
        inputs = self.linear(x)  # the products of all places at once
        if self.cell == "lstm":
            inputs = inputs + self.gate_bias[...].astype(x.dtype)
        recurrent = self.recurrent[...].astype(x.dtype)
        zeros = jnp.zeros((x.shape[0], recurrent.shape[0]), x.dtype)
        start: State = (zeros, zeros.astype(jnp.float32)) if self.cell == "lstm" else (zeros,)

        def place(state: State, now: tuple[Array, Array | None]) -> tuple[State, Array]:
            x, is_real = now
            new = step(state, x, recurrent)
            if is_real is not None:
                new = jax.tree.map(lambda n, o: jnp.where(is_real[:, None], n, o), new, state)
            return new, new[0]

        times = inputs.swapaxes(0, 1), None if is_real is None else is_real.T
        state, states = lax.scan(place, start, times, reverse=self.reverse)
        return state[0], states.swapaxes(0, 1)


class Rnn(nnx.Module):  # type: ignore[misc]
    """`rnn`: layers of recurrent cells, and a linear head on the pooled states or on each."""

    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {
            **EMBEDDING_LEAVES,
            "recurrent": _orthogonal_gates,
            "gate_bias": _open_forget_gates,
        }
    )

    def __init__(self, spec: RnnSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        if shapes.positions and spec.bidirectional:
            raise HpoError(f"model.bidirectional: {BACKWARDS}.")
        self.embedding = Embedding(spec, shapes, rngs)
        self.answers_each = bool(shapes.positions)
        directions = (False, True) if spec.bidirectional else (False,)
        wide = len(directions) * spec.width
        self.layers = nnx.List(
            [
                nnx.List(
                    [
                        _Direction(spec, inputs, reverse, shapes.dtype, rngs)
                        for reverse in directions
                    ]
                )
                for inputs in (self.embedding.size, *[wide] * (spec.depth - 1))
            ]
        )
        is_flat = spec.pool == "all" and not self.answers_each
        read = wide * (shapes.example[0] if is_flat else 1)
        self.head = nnx.Linear(read, shapes.outputs, dtype=shapes.dtype, rngs=rngs)

    def __call__(
        self, x: Shaped[Array, "B ..."], spec: RnnSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B ..."]:
        """Logits, or predictions of a regression."""
        y, is_real = self.embedding(x)
        known = is_real if self.embedding.is_padded else None
        last = y[:, -1]
        for i, layer in enumerate(self.layers):
            # The numbers of a series are few: dropping them would hide whole columns.
            y = dropped(dropout, y, i) if i or self.embedding.tokens is not None else y
            ends, states = zip(*(direction(y, known) for direction in layer), strict=True)
            last, y = jnp.concatenate(ends, axis=-1), jnp.concatenate(states, axis=-1)
        if not self.answers_each:
            y = last if spec.pool == "last" else pooled(y, is_real, spec.pool)
        return self.head(dropped(dropout, y, len(self.layers)))


def rnn_size(
    spec: RnnSpec,
    example_shape: Sequence[int],
    outputs: int,
    vocabulary: int = 0,
    embedding_size: int = 0,
) -> Size:
    """The size of an `rnn`: its recurrent weights count once for each place."""
    places, directions = example_shape[0], 2 if spec.bidirectional else 1
    inputs = math.prod(example_shape[1:])
    table = 0
    if vocabulary:
        inputs = embedding_size or spec.embedding or spec.width
        table = vocabulary * inputs
    wide, gates = directions * spec.width, CELLS[spec.cell][1] * spec.width
    layers = sum(
        directions * (kernel_weights(size, gates, spec.rank) + spec.width * gates)
        for size in (inputs, *[wide] * (spec.depth - 1))
    )
    head = wide * outputs * (places if spec.pool == "all" else 1)
    return Size(table + layers + head, places * layers + head)
