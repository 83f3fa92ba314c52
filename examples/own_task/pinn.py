"""A physics-informed network (Raissi et al. 2019) for a damped oscillator, u'' + 2du' + ffu = 0."""

import jax
import jax.numpy as jnp
import optax
from jax import random


class Task:
    """A network for u(t), t in [0, 1], from the equation, u(0) = 1 and u'(0) = 0 alone."""

    steps = 100
    metrics = {"error": "minimize"}
    knobs = {"learning_rate": 0.003, "start_weight": 1.0, "scale": 1.0}

    def __init__(self, width: int = 32, points: int = 64, frequency: float = 10.0):
        self.width, self.points, self.frequency, self.damping = width, points, frequency, 2.0

    def init(self, knobs, key):
        first, bias, second, third = random.split(key, 4)
        scale = knobs["scale"] / self.width**0.5
        weights = {
            "first": random.normal(first, (self.width,)) * self.frequency,
            "bias": random.normal(bias, (self.width,)),
            "second": random.normal(second, (self.width, self.width)) * scale,
            "third": random.normal(third, (self.width,)) * scale,
        }
        return {"weights": weights, "adam": optax.scale_by_adam().init(weights)}

    def step(self, state, knobs, key, batch):
        times = random.uniform(key, (self.points,))
        gradient = jax.grad(self.loss)(state["weights"], knobs, times)
        updates, adam = optax.scale_by_adam().update(gradient, state["adam"])
        rate = knobs["learning_rate"]
        weights = jax.tree.map(lambda w, u: w - rate * u, state["weights"], updates)
        return {"weights": weights, "adam": adam}

    def loss(self, weights, knobs, times):
        def speed(t):
            return jax.grad(self.u, 1)(weights, t)

        def residual(t):
            pull = self.frequency**2 * self.u(weights, t)
            return (jax.grad(speed)(t) + 2 * self.damping * speed(t) + pull) / self.frequency**2

        start = jnp.square(self.u(weights, 0.0) - 1) + jnp.square(speed(0.0) / self.frequency)
        return jnp.square(jax.vmap(residual)(times)).mean() + knobs["start_weight"] * start

    def evaluate(self, state, knobs, key):
        """The root of the mean squared distance to the solution."""
        times = jnp.linspace(0.0, 1.0, 101)
        turn = (self.frequency**2 - self.damping**2) ** 0.5
        wave = jnp.cos(turn * times) + self.damping / turn * jnp.sin(turn * times)
        found = jax.vmap(lambda t: self.u(state["weights"], t))(times)
        return {"error": jnp.sqrt(jnp.square(found - jnp.exp(-self.damping * times) * wave).mean())}

    def u(self, weights, t):
        hidden = jnp.tanh(weights["first"] * t + weights["bias"])
        return jnp.tanh(hidden @ weights["second"]) @ weights["third"]
