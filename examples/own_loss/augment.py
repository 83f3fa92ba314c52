# augment.py
import jax


def jitter(x, key, strength: float = 0.1):
    """The examples with noise, another one in each step."""
    return x + strength * jax.random.normal(key, x.shape)
