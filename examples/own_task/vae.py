"""A variational autoencoder (Kingma and Welling 2014) of the digits, with a layer each way."""

import jax
import jax.numpy as jnp
import optax
from jax import random


class Task:
    """Learns to draw digits. `beta` weights the prior in training (Higgins et al. 2017)."""

    metrics = {"bound": "minimize"}
    knobs = {"learning_rate": 0.003, "beta": 1.0, "decay": 0.0}

    def __init__(self, latent: int = 8, width: int = 64):
        self.latent, self.width = latent, width

    def init(self, knobs, key):
        sizes = {
            "in": (64, self.width),
            "code": (self.width, 2 * self.latent),
            "out": (self.latent, self.width),
            "pixels": (self.width, 64),
        }
        keys = random.split(key, len(sizes))
        weights = {
            name: {"w": random.normal(key, size) / size[0] ** 0.5, "b": jnp.zeros(size[1])}
            for key, (name, size) in zip(keys, sizes.items(), strict=True)
        }
        return {"weights": weights, "adam": optax.scale_by_adam().init(weights)}

    def step(self, state, knobs, key, batch):
        def loss(weights):
            error, prior = self.parts(weights, batch["x"], key)
            return error + knobs["beta"] * prior

        updates, adam = optax.scale_by_adam().update(
            jax.grad(loss)(state["weights"]), state["adam"]
        )
        rate, decay = knobs["learning_rate"], knobs["decay"]
        weights = jax.tree.map(lambda w, u: w - rate * (u + decay * w), state["weights"], updates)
        return {"weights": weights, "adam": adam}

    def evaluate(self, state, knobs, key, rows):
        """The negative evidence lower bound of the validation rows, in nats for each."""
        return {"bound": sum(self.parts(state["weights"], rows["x"], key))}

    def parts(self, weights, images, key):
        """Both parts of the bound: how badly images are drawn again, and the cost of the codes."""
        pixels = images.reshape(len(images), 64)
        hidden = jax.nn.relu(layer(weights["in"], pixels))
        mean, log_deviation = jnp.split(layer(weights["code"], hidden), 2, axis=-1)
        code = mean + jnp.exp(log_deviation) * random.normal(key, mean.shape)
        logits = layer(weights["pixels"], jax.nn.relu(layer(weights["out"], code)))
        error = optax.sigmoid_binary_cross_entropy(logits, pixels).sum(-1)
        prior = (jnp.square(mean) + jnp.exp(2 * log_deviation) - 1).sum(-1) / 2
        return error.mean(), (prior - log_deviation.sum(-1)).mean()


def layer(weights, x):
    return x @ weights["w"] + weights["b"]
