"""Losses: each gets its spec, the outputs and the targets, and gives a value for each row.

Numbers of the spec may be traced. Outputs `[B, K]` are float32. Where every position of a row has
a class, outputs are `[B, ..., K]`, and the values are those of the positions, `[B, ...]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Num

from hpo.engine.program import is_off
from hpo.spec.sections.loss import CrossEntropy, Focal, Huber, Mae, Mse, Pinball, Poisson


def cross_entropy(
    loss: CrossEntropy, outputs: Float[Array, "B ... K"], y: Num[Array, "B ..."]
) -> Float[Array, "B ..."]:
    """Cross-entropy in nats of the class with the softmax of the outputs.

    For labels of 0 and 1 `[B, K]`, it is the mean of those of each label with its sigmoid.
    """
    if y.ndim == outputs.ndim:
        return _binary_entropy(loss, outputs, y).mean(-1)
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    if is_off(loss.smoothing):
        return entropy
    # A sum rather than a smoothed target, so that 0 as a number of a lane changes no bit.
    even = -jax.nn.log_softmax(outputs).mean(-1)
    return (1 - loss.smoothing) * entropy + loss.smoothing * even


def _binary_entropy(
    loss: CrossEntropy, outputs: Float[Array, "B K"], y: Num[Array, "B K"]
) -> Float[Array, "B K"]:
    entropy = optax.sigmoid_binary_cross_entropy(outputs, y)
    if is_off(loss.smoothing):
        return entropy
    even = optax.sigmoid_binary_cross_entropy(outputs, jnp.full_like(outputs, 0.5))
    return (1 - loss.smoothing) * entropy + loss.smoothing * even


def focal(
    loss: Focal, outputs: Float[Array, "B ... K"], y: Num[Array, "B ..."]
) -> Float[Array, "B ..."]:
    """Cross-entropy times (1 - p)^gamma, where p is the probability of the class.

    For labels of 0 and 1 `[B, K]`, it is the mean of those of each label.
    """
    if y.ndim == outputs.ndim:
        entropies = optax.sigmoid_binary_cross_entropy(outputs, y)
        others = jax.nn.log_sigmoid((1 - 2 * y) * outputs)
        return (jnp.exp(loss.gamma * others) * entropies).mean(-1)
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    if is_off(loss.gamma):
        return entropy
    # The logarithm of 1 - p from the other classes: it and its gradient are finite where p rounds
    # to 1, which those of a power are not.
    is_class = jax.nn.one_hot(y, outputs.shape[-1], dtype=bool)
    others = logsumexp(jnp.where(is_class, -jnp.inf, jax.nn.log_softmax(outputs)), axis=-1)
    return jnp.exp(loss.gamma * others) * entropy


def _errors(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The errors of standardised targets: `[B]` for one, `[B, T]` for several."""
    if y.ndim == 2:
        return outputs - y
    assert outputs.shape[-1] == 1, f"{outputs.shape} outputs for one target"
    return outputs[:, 0] - y


def _of_rows(values: Float[Array, "B ..."]) -> Float[Array, " B"]:
    """The values of rows, each the mean over its targets if there are several."""
    return values if values.ndim == 1 else values.mean(-1)


def mse(loss: Mse, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """The squared error of standardised targets."""
    return _of_rows(squared_error(outputs, y))


def mae(loss: Mae, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """The absolute error of standardised targets."""
    return _of_rows(absolute_error(outputs, y))


def huber(loss: Huber, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """Half the squared error up to `delta`, and linear beyond."""
    errors = jnp.abs(_errors(outputs, y))
    near = jnp.minimum(errors, loss.delta)
    return _of_rows(0.5 * jnp.square(near) + loss.delta * (errors - near))


def pinball(
    loss: Pinball, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]
) -> Float[Array, " B"]:
    """The error times `quantile` where the target is above the output, else its rest to 1."""
    errors = -_errors(outputs, y)
    return _of_rows(jnp.maximum(loss.quantile * errors, (loss.quantile - 1) * errors))


def poisson(loss: Poisson, outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """The negative log-likelihood of a count whose log rate is the output, without log(y!)."""
    return jnp.exp(outputs[:, 0]) - y * outputs[:, 0]


def squared_error(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The squared errors of standardised targets."""
    return jnp.square(_errors(outputs, y))


def absolute_error(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The absolute errors of standardised targets."""
    return jnp.abs(_errors(outputs, y))
