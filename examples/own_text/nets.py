# nets.py
import jax.numpy as jnp
from flax import nnx


class Bag(nnx.Module):
    """The mean of the vectors of a text's tokens and of their pairs, then a layer."""

    def __init__(self, vocabulary, outputs, width: int = 16, rate: float = 0.1, *, rngs):
        self.tokens = nnx.Embed(vocabulary, width, rngs=rngs)
        self.pair = nnx.Linear(2 * width, width, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs)
        self.head = nnx.Linear(2 * width, outputs, rngs=rngs)

    def __call__(self, x):  # whole numbers [rows, length]; 0 is no token
        is_token = (x > 0)[..., None]
        one = self.tokens(x) * is_token
        two = jnp.concatenate([one[:, :-1], one[:, 1:]], axis=-1)
        two = nnx.relu(self.pair(two)) * is_token[:, 1:]
        count = jnp.maximum(is_token.sum(1), 1)
        mean = jnp.concatenate([one.sum(1), two.sum(1)], axis=-1) / count
        return self.head(self.drop(mean))
