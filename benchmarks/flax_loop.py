"""The loop that users of JAX write: Optuna proposes, Flax trains with a jit for each trial."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optuna
from flax import nnx
from jobs import Data, run_loop

ACTIVATIONS = {"relu": nnx.relu, "tanh": nnx.tanh, "gelu": nnx.gelu}


class Mlp(nnx.Module):
    def __init__(self, inputs: int, classes: int, hparams: dict[str, Any], rngs: nnx.Rngs) -> None:
        sizes = [inputs, *hparams["widths"]]
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = nnx.Linear(sizes[-1], classes, rngs=rngs)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)
        self.activation = ACTIVATIONS[hparams["activation"]]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = self.dropout(self.activation(layer(x)))
        return self.head(x)


class Cnn(nnx.Module):
    def __init__(
        self, shape: tuple[int, ...], classes: int, hparams: dict[str, Any], rngs: nnx.Rngs
    ) -> None:
        first, second = hparams["filters"]
        self.first = nnx.Conv(shape[-1], first, (3, 3), rngs=rngs)
        self.second = nnx.Conv(first, second, (3, 3), rngs=rngs)
        pixels = (shape[0] // 4) * (shape[1] // 4)
        self.dense = nnx.Linear(pixels * second, hparams["dense"], rngs=rngs)
        self.head = nnx.Linear(hparams["dense"], classes, rngs=rngs)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(conv(x)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.relu(self.dense(x.reshape(len(x), -1)))
        return self.head(self.dropout(x))


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
    return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()


def train(trial: optuna.Trial, hparams: dict[str, Any], data: Data, epochs: int) -> float:
    rngs, classes = nnx.Rngs(trial.number), int(data.y.max()) + 1
    model: nnx.Module
    if "filters" in hparams:
        model = Cnn(data.x.shape[1:], classes, hparams, rngs)
    else:
        model = Mlp(data.x.shape[1], classes, hparams, rngs)
    size = hparams["batch_size"]
    steps = len(data.x) // size
    optimizer = nnx.Optimizer(model, make_optimizer(hparams, epochs * steps), wrt=nnx.Param)

    @nnx.jit
    def train_step(model: nnx.Module, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> None:
        gradients = nnx.grad(loss_of)(model, x, y)
        optimizer.update(model, gradients)

    @nnx.jit
    def accuracy(model: nnx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(model(x).argmax(-1) == y)

    rng = np.random.default_rng(trial.number)
    value = 0.0
    for epoch in range(epochs):
        model.train()
        order = rng.permutation(len(data.x))
        for i in range(steps):
            rows = order[i * size : (i + 1) * size]
            train_step(model, optimizer, data.x[rows], data.y[rows])
        model.eval()
        value = float(accuracy(model, data.x_val, data.y_val))
        trial.report(value, epoch)
    return value


if __name__ == "__main__":
    run_loop(train, __doc__)
