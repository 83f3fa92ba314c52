"""The loop that users of JAX write: Optuna proposes, Flax trains with a jit for each trial."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optuna
from flax import nnx
from flax_models import MODELS
from jobs import Data, run_loop


def make_optimizer(hparams: dict[str, Any], steps: int) -> optax.GradientTransformation:
    rate, decay = hparams["learning_rate"], hparams["weight_decay"]
    if hparams["cosine"]:
        rate = optax.cosine_decay_schedule(rate, steps)
    match hparams["optimizer"]:
        case "adamw":
            return optax.adamw(rate, weight_decay=decay)
        case "sgd":
            return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.9))
        case _:
            return optax.chain(optax.add_decayed_weights(decay), optax.rmsprop(rate, decay=0.9))


def loss_of(model: nnx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
    if jnp.issubdtype(y.dtype, jnp.floating):
        return jnp.mean((model(x) - y) ** 2)
    return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()


def train(trial: optuna.Trial, hparams: dict[str, Any], data: Data, epochs: int) -> float:
    rngs = nnx.Rngs(trial.number)
    model = MODELS[hparams["model"]](data.x.shape[1:], data.outputs, hparams, rngs)
    size = hparams["batch_size"]
    steps = len(data.x) // size
    optimizer = nnx.Optimizer(model, make_optimizer(hparams, epochs * steps), wrt=nnx.Param)

    @nnx.jit
    def train_step(model: nnx.Module, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> None:
        gradients = nnx.grad(loss_of)(model, x, y)
        optimizer.update(model, gradients)

    @nnx.jit
    def metric(model: nnx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
        if jnp.issubdtype(y.dtype, jnp.floating):
            return jnp.sqrt(jnp.mean((model(x) - y) ** 2))
        return jnp.mean(model(x).argmax(-1) == y)

    rng = np.random.default_rng(trial.number)
    value = 0.0
    for _ in range(epochs):
        model.train()
        order = rng.permutation(len(data.x))
        for i in range(steps):
            rows = order[i * size : (i + 1) * size]
            train_step(model, optimizer, data.x[rows], data.y[rows])
        model.eval()
        value = float(metric(model, data.x_val, data.y_val))
    return value


if __name__ == "__main__":
    run_loop(train, __doc__)
