"""A model with random weights, and its layers written in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.special import expit

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import Members, abstract_model
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import cut, padded, parted
from hpo.spec.experiment import Training
from tests.engine.samples import a_training, tiny_data, unmerged

TINY = tiny_data()
ROWS = 7
NO_DROPOUT = Dropout(0, None)

# In float64, each from its definition; gelu by the tanh formula of Hendrycks and Gimpel 2016.
BY_HAND = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * expit(x),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid": expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    # Klambauer et al. 2017 and Misra 2019.
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
}


class Model(NamedTuple):
    """A model with random weights in every leaf, so that no zero bias hides a mistake."""

    spec: Any
    graph: Any
    params: Any
    statistics: Any

    def outputs(
        self, x: np.ndarray, train: bool = False, dropout: Any = NO_DROPOUT
    ) -> tuple[Any, Any]:
        """Outputs, of members their mean, and the statistics after them."""

        @jax.jit  # one compile instead of one for every operation
        def forward(params: Any, statistics: Any, x: Any) -> tuple[Any, Any]:
            model = nnx.merge(self.graph, params, statistics)
            y = model(x, self.spec, train=train, dropout=dropout)
            y = y.outputs.mean(1) if isinstance(y, Members) else y
            return y, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

        return forward(self.params, self.statistics, x)


def a_model(data: DataSet = TINY, precision: str = "float32", **spec: Any) -> Model:
    training = a_training(model=spec, train={"epochs": 1, "precision": precision})
    graph, *shapes = abstract_model(split(training, data, "cpu")[0])[:3]
    rng = np.random.default_rng(0)
    # Positive, because variances are among them.
    params, statistics = jax.tree.map(
        lambda leaf: rng.uniform(0.1, 0.6, leaf.shape).astype(np.float32), shapes
    )
    signed = jax.tree.map(lambda leaf: leaf - np.float32(0.35), params)
    return Model(training.model, graph, signed, statistics)


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((ROWS, *shape)).astype(np.float32)


def dense(x: np.ndarray, layer: Any) -> np.ndarray:
    return x @ layer["kernel"].astype(np.float64) + layer.get("bias", 0)


def normalised(x: np.ndarray, layer: Any, mean: Any, var: Any, epsilon: float) -> np.ndarray:
    return (x - mean) / np.sqrt(var + epsilon) * layer["scale"] + layer["bias"]


def assert_close(ours: Any, by_hand: np.ndarray) -> None:
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, by_hand, rtol=1e-4, atol=1e-5)


def assert_merged_as_alone(training: Training, data: DataSet) -> None:
    """The merged program of a training answers as its own program, and its padding learns nothing.

    Answers and gradients are compared with the first weights, without lanes.
    """
    wide, knobs = split(training, data, "cpu")
    narrow, _ = split(unmerged(training), data, "cpu")
    own = parted(narrow, initial_lane(narrow, unmerged(training)).params)
    first = initial_lane(wide, training).params
    shapes = jax.eval_shape(lambda vector: parted(wide, vector), first)
    x = data.validation.x[:ROWS]

    @jax.jit
    def both(own: Any, whole: Any) -> Any:
        def loss(program: Any, spec: Any, params: Any) -> Any:
            y, _ = forward(program, spec, params, {}, {"x": x}, NO_DROPOUT)
            return (y**2).sum()

        values = [(narrow, training, own), (wide, wide.fill(knobs), whole)]
        return [jax.value_and_grad(loss, argnums=2)(*one) for one in values]

    (alone, own_gradients), (beside, gradients) = both(own, padded(own, shapes))
    np.testing.assert_allclose(beside, alone, rtol=1e-5)
    gradients = jax.tree.map(np.asarray, gradients)
    inner = cut(gradients, own)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), inner, own_gradients
    )
    sums = [
        sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(tree)) for tree in (gradients, inner)
    ]
    np.testing.assert_allclose(*sums, rtol=1e-6)
