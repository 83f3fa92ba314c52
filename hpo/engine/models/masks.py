"""`nnx.Dropout` with a traced rate, and masks that depend only on a trial's key and its step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import get_opaque_trace_state

from hpo.engine.models.dropout import Dropout, MaskKey
from hpo.engine.program import is_off


class _Masks(NamedTuple):
    """The masks of one call of a model: their key, and a number for each mask."""

    dropout: Dropout
    layers: Iterator[int]
    trace: Any  # where the call of the model is traced


_MASKS: ContextVar[_Masks | None] = ContextVar("masks", default=None)


@contextmanager
def masks_from(dropout: Dropout | None) -> Iterator[None]:
    """Within this block, the layers that `swap_dropouts` swapped draw masks by this key."""
    masks = None
    if dropout is not None:
        masks = _Masks(dropout, itertools.count(), get_opaque_trace_state())
    token = _MASKS.set(masks)
    try:
        yield
    finally:
        _MASKS.reset(token)


def swap_dropouts(module: nnx.Module) -> None:
    """Give each `nnx.Dropout` within a module, wherever it is, the behaviour of our dropout."""
    for _, part in nnx.iter_graph(module):
        if type(part) is nnx.Dropout:
            part.__class__ = _SwappedDropout


class _SwappedDropout(nnx.Dropout):  # type: ignore[misc]
    """An `nnx.Dropout` whose rate may be traced. The masks of a model are counted call by call."""

    def __call__(self, inputs: Any, *, deterministic: bool | None = None, rngs: Any = None) -> Any:
        is_on = not (self.deterministic if deterministic is None else deterministic)
        masks = _MASKS.get()
        if not is_on or masks is None or is_off(self.rate):
            return inputs
        shape = [1 if i in self.broadcast_dims else n for i, n in enumerate(inputs.shape)]
        dropout, layer = self._dropout(masks, rngs)
        if shape == [*inputs.shape]:
            return dropout(inputs, layer)
        return inputs * dropout(jnp.ones(shape, inputs.dtype), layer)

    def _dropout(self, masks: _Masks, rngs: Any) -> tuple[Dropout, int]:
        """What draws this call's mask, and the number of the mask."""
        if get_opaque_trace_state() == masks.trace:
            return masks.dropout.with_rate(self.rate), next(masks.layers)
        # Within a loop of the author's, the call is traced once: the module's own stream moves on.
        stream = self.rngs if rngs is None else rngs
        stream = stream[self.rng_collection] if isinstance(stream, nnx.Rngs) else stream
        words = jax.random.key_data(stream() if callable(stream) else stream)
        return Dropout(self.rate, MaskKey(words[0], words[1])), 0
