# layers.py
import jax


def swish(x, beta: float = 1.0):
    """The identity above zero, and a dip below it (Ramachandran et al. 2017)."""
    return x * jax.nn.sigmoid(beta * x)
