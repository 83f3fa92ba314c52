"""The models of the Flax loop, as its users write them."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

ACTIVATIONS = {"relu": nnx.relu, "tanh": nnx.tanh, "gelu": nnx.gelu}


class Mlp(nnx.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        sizes = [shape[0], *hparams["widths"]]
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = nnx.Linear(sizes[-1], outputs, rngs=rngs)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)
        self.activation = ACTIVATIONS[hparams["activation"]]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = self.dropout(self.activation(layer(x)))
        return self.head(x)


class Cnn(nnx.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        first, second = hparams["filters"]
        self.first = nnx.Conv(shape[-1], first, (3, 3), rngs=rngs)
        self.second = nnx.Conv(first, second, (3, 3), rngs=rngs)
        pixels = (shape[0] // 4) * (shape[1] // 4)
        self.dense = nnx.Linear(pixels * second, hparams["dense"], rngs=rngs)
        self.head = nnx.Linear(hparams["dense"], outputs, rngs=rngs)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(conv(x)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.relu(self.dense(x.reshape(len(x), -1)))
        return self.head(self.dropout(x))


class Block(nnx.Module):
    """A basic block of a residual network, its shortcut without weights."""

    def __init__(self, inputs: int, filters: int, stride: int, rngs: Any):
        self.stride, self.more = stride, filters - inputs
        self.first, self.second = (
            nnx.Conv(n, filters, (3, 3), strides=(s, s), use_bias=False, rngs=rngs)
            for n, s in ((inputs, stride), (filters, 1))
        )
        self.norms = nnx.List([nnx.BatchNorm(filters, momentum=0.9, rngs=rngs) for _ in range(2)])

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.norms[1](self.second(nnx.relu(self.norms[0](self.first(x)))))
        x = x[:, :: self.stride, :: self.stride]
        return nnx.relu(y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.more))))


class ResNet(nnx.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        filters = hparams["filters"]
        self.stem = nnx.Conv(shape[-1], filters[0], (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(filters[0], momentum=0.9, rngs=rngs)
        blocks, inputs = [], filters[0]
        for stage, size in enumerate(filters):
            for number in range(hparams["blocks"]):
                blocks.append(Block(inputs, size, 2 if stage and number == 0 else 1, rngs))
                inputs = size
        self.blocks = nnx.List(blocks)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)
        self.head = nnx.Linear(inputs, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.dropout(x.mean((1, 2))))


class Lstm(nnx.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        cell = nnx.OptimizedLSTMCell(shape[-1], hparams["width"], rngs=rngs)
        self.rnn = nnx.RNN(cell)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)
        self.head = nnx.Linear(hparams["width"], outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.dropout(self.rnn(x)[:, -1]))


class Layer(nnx.Module):
    """A layer of a transformer, its norms before attention and the feed-forward network."""

    def __init__(self, width: int, heads: int, feed: int, rate: float, rngs: Any):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.wide, self.narrow = (
            nnx.Linear(width, feed, rngs=rngs),
            nnx.Linear(feed, width, rngs=rngs),
        )
        self.dropout = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = x + self.dropout(self.attention(self.norms[0](x), mask=mask))
        return x + self.dropout(self.narrow(nnx.gelu(self.wide(self.norms[1](x)))))


class Transformer(nnx.Module):
    """An encoder of texts as ids, of which 0 is padding."""

    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        width = hparams["width"]
        self.tokens = nnx.Embed(hparams["vocabulary"], width, rngs=rngs)
        self.places = nnx.Embed(shape[0], width, rngs=rngs)
        self.layers = nnx.List(
            [
                Layer(width, hparams["heads"], hparams["feed"], hparams["dropout"], rngs)
                for _ in range(hparams["depth"])
            ]
        )
        self.norm, self.head = (
            nnx.LayerNorm(width, rngs=rngs),
            nnx.Linear(width, outputs, rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        is_real = x != 0
        y = self.tokens(x) + self.places(jnp.arange(x.shape[1]))
        for layer in self.layers:
            y = layer(y, is_real[:, None, None, :])
        y = self.norm(y) * is_real[..., None]
        return self.head(y.sum(1) / jnp.maximum(is_real.sum(1, keepdims=True), 1))


class RealMlp(nnx.Module):
    """RealMLP (arXiv:2407.04491): periodic features, factors of inputs, NTK layers, SELU."""

    def __init__(self, shape: tuple[int, ...], outputs: int, hparams: dict[str, Any], rngs: Any):
        def normal(*shape: int) -> nnx.Param:
            return nnx.Param(jax.random.normal(rngs.params(), shape))

        features = shape[0]
        self.frequencies, self.phases = normal(features, 16), normal(features, 16)
        self.waves, self.offsets = normal(features, 16, 3), normal(features, 3)
        sizes = [4 * features, *hparams["widths"]]
        self.factors = nnx.Param(jnp.ones((sizes[0],)))
        pairs = [*itertools.pairwise(sizes)]
        self.kernels = nnx.List([normal(a, b) for a, b in pairs])
        self.biases = nnx.List([normal(b) for _, b in pairs])
        self.mixes = nnx.List([nnx.Param(jnp.ones((b,))) for _, b in pairs])
        self.head = nnx.Linear(sizes[-1], outputs, rngs=rngs)
        self.dropout = nnx.Dropout(hparams["dropout"], rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        waves = jnp.cos(2 * jnp.pi * 0.1 * x[..., None] * self.frequencies[...] + self.phases[...])
        found = jnp.einsum("bnw,nwf->bnf", waves, self.waves[...] / 4) + self.offsets[...]
        x = jnp.concatenate([x, found.reshape(len(x), -1)], 1) * self.factors[...]
        for kernel, bias, mix in zip(self.kernels, self.biases, self.mixes, strict=True):
            z = x @ kernel[...] / len(kernel[...]) ** 0.5 + bias[...]
            x = self.dropout(z + mix[...] * (nnx.selu(z) - z))
        return self.head(x)


MODELS = {
    "mlp": Mlp,
    "cnn": Cnn,
    "resnet": ResNet,
    "lstm": Lstm,
    "transformer": Transformer,
    "realmlp": RealMlp,
}
