"""Proximal policy optimisation (Schulman et al. 2017) on CartPole (Barto et al. 1983), in JAX."""

import jax
import jax.numpy as jnp
import optax
from jax import lax, random

FORCE, GRAVITY, CART, POLE, HALF_LENGTH, SECONDS = 10.0, 9.8, 1.0, 0.1, 0.5, 0.02


def start(key):
    """A cart and a pole near the upright: position, velocity, angle, angular velocity."""
    return random.uniform(key, (4,), minval=-0.05, maxval=0.05)


def move(cart, action):
    """The cart after a push to the right (1) or left (0), and whether the pole has fallen."""
    _, speed, angle, turn = cart
    push = jnp.where(action == 1, FORCE, -FORCE)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    common = (push + POLE * HALF_LENGTH * turn**2 * sine) / (CART + POLE)
    inertia = HALF_LENGTH * (4 / 3 - POLE * cosine**2 / (CART + POLE))
    spin = (GRAVITY * sine - cosine * common) / inertia
    pull = common - POLE * HALF_LENGTH * spin * cosine / (CART + POLE)
    cart = cart + SECONDS * jnp.stack([speed, pull, turn, spin])
    return cart, (jnp.abs(cart[0]) > 2.4) | (jnp.abs(cart[2]) > 0.209)


class Task:
    """A policy that learns to balance; one step is a rollout and several passes over it."""

    steps = 10
    metrics = {"reward": "maximize"}
    knobs = {"learning_rate": 0.003, "clip": 0.2, "entropy": 0.01, "discount": 0.99, "decay": 0.95}

    def __init__(self, hidden: int = 32, carts: int = 16, length: int = 32, passes: int = 4):
        self.hidden, self.carts, self.length, self.passes = hidden, carts, length, passes

    def init(self, knobs, key):
        first, second, carts = random.split(key, 3)
        weights = {
            "hidden": random.normal(first, (4, self.hidden)) / 2,
            "bias": jnp.zeros(self.hidden),
            "out": random.normal(second, (self.hidden, 3)) / self.hidden,
        }
        carts = jax.vmap(start)(random.split(carts, self.carts))
        return {"weights": weights, "adam": optax.scale_by_adam().init(weights), "carts": carts}

    def step(self, state, knobs, key, batch):
        weights = state["weights"]

        def play(carts, key):
            keys = random.split(key, 1 + self.carts)
            logits, value = self.look(weights, carts)
            action = random.categorical(keys[0], logits)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
            moved, fell = jax.vmap(move)(carts, action)
            fresh = jax.vmap(start)(keys[1:])
            return jnp.where(fell[:, None], fresh, moved), (carts, action, log_p, value, fell)

        carts, (seen, action, log_p, value, fell) = lax.scan(
            play, state["carts"], random.split(key, self.length)
        )

        def credit(later, now):
            """Generalised advantage estimation (Schulman et al. 2016), from the end back."""
            advantage, following = later
            value, fell = now
            alive = 1.0 - fell
            error = 1.0 + knobs["discount"] * following * alive - value
            advantage = error + knobs["discount"] * knobs["decay"] * alive * advantage
            return (advantage, value), advantage

        last = self.look(weights, carts)[1]
        _, advantage = lax.scan(credit, (jnp.zeros_like(last), last), (value, fell), reverse=True)
        target = advantage + value
        scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-6)

        def loss(weights):
            logits, value = self.look(weights, seen)
            log_ps = jax.nn.log_softmax(logits)
            ratio = jnp.exp(jnp.take_along_axis(log_ps, action[..., None], -1)[..., 0] - log_p)
            clipped = jnp.clip(ratio, 1 - knobs["clip"], 1 + knobs["clip"])
            gain = jnp.minimum(ratio * scaled, clipped * scaled).mean()
            entropy = -(jnp.exp(log_ps) * log_ps).sum(-1).mean()
            return 0.5 * jnp.square(value - target).mean() - gain - knobs["entropy"] * entropy

        def learn(_, now):
            weights, adam = now
            updates, adam = optax.scale_by_adam().update(jax.grad(loss)(weights), adam)
            rate = knobs["learning_rate"]
            return jax.tree.map(lambda w, u: w - rate * u, weights, updates), adam

        weights, adam = lax.fori_loop(0, self.passes, learn, (weights, state["adam"]))
        return {"weights": weights, "adam": adam, "carts": carts}

    def evaluate(self, state, knobs, key):
        """The steps, at most 200, that the greedy policy balances the pole for."""

        def play(now, _):
            carts, up = now
            action = self.look(state["weights"], carts)[0].argmax(-1)
            carts, fell = jax.vmap(move)(carts, action)
            up = up & ~fell
            return (carts, up), up.mean()

        carts = jax.vmap(start)(random.split(key, self.carts))
        _, still = lax.scan(play, (carts, jnp.ones(self.carts, bool)), length=200)
        return {"reward": still.sum()}

    def look(self, weights, carts):
        """The logits of both actions, and the value of the state."""
        out = jnp.tanh(carts @ weights["hidden"] + weights["bias"]) @ weights["out"]
        return out[..., :2], out[..., 2]
