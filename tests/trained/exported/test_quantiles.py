"""Normal quantiles in the engine, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer

from hpo.data.transforms.numbers import normal_quantiles
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.quantiles import add_quantiles

RNG = np.random.default_rng(4)
COLUMNS = {
    "smooth": np.column_stack([RNG.normal(size=500), RNG.exponential(1e6, 500)]),
    "ties": np.column_stack([RNG.integers(0, 4, 500), RNG.poisson(0.3, 500)]).astype(float),
    "constant": np.column_stack([np.full(500, 3.0), np.repeat([0.0, 1.0], 250)]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_have_the_normal_quantiles_of_their_ranks(name: str) -> None:
    x = COLUMNS[name]
    other = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(x)
    graph = Graph()
    found = add_quantiles(graph, graph.input("x", np.float64, [2]), other.quantiles_)
    graph.output(found, "y", np.float64, [2])
    new = np.concatenate([x[:50], x[:50] + 1e-8, RNG.normal(2, 3, (50, 2)), [[-1e9, 1e9]]])
    (y,) = session(graph.model().SerializeToString()).run(None, {"x": new})
    np.testing.assert_allclose(y, other.transform(new), rtol=1e-9, atol=1e-9)
    for place in range(2):
        expected = normal_quantiles(new[:, place], other.quantiles_[:, place])
        np.testing.assert_allclose(y[:, place], expected, rtol=1e-9, atol=1e-9)
