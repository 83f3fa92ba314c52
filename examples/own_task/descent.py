# descent.py
import jax
import jax.numpy as jnp


class Task:
    steps = 100
    metrics = {"loss": "minimize"}
    knobs = {"rate": 0.1, "noise": 0.0}

    def __init__(self, size: int = 3):
        self.size = size

    def init(self, knobs, key):
        return jax.random.normal(key, (self.size,))

    def step(self, state, knobs, key, batch):
        noise = knobs["noise"] * jax.random.normal(key, (self.size,))
        return state - knobs["rate"] * (state + noise)

    def evaluate(self, state, knobs, key):
        return {"loss": jnp.square(state).mean()}
