# nets.py
import jax.numpy as jnp
from flax import nnx


class Decoder(nnx.Module):
    """Attention to earlier tokens, and a layer at each place: `[rows, length, outputs]`."""

    def __init__(self, vocabulary, outputs, shape, width: int = 64, depth: int = 1, *, rngs):
        self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
        self.places = nnx.Embed(shape[0], width, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(depth)])
        self.head = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        h = self.tokens(x) + self.places(jnp.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(h)


class Block(nnx.Module):
    """Attention and a layer, each added to its input after a norm."""

    def __init__(self, width, rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attend = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.wide = nnx.Linear(width, 4 * width, rngs=rngs)
        self.narrow = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, h):
        first, second = self.norms
        h = h + self.attend(first(h), mask=nnx.make_causal_mask(h[..., 0]))
        return h + self.narrow(nnx.gelu(self.wide(second(h))))
