"""Columns of numbers as normal quantiles, as nodes of an ONNX graph: `normal_quantiles`.

Source: Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpo.data.transforms.numbers import BOUND
from hpo.trained.exported.graph import Graph

_INT64 = 7  # as `onnx.TensorProto` numbers it
# The polynomials of AS 241 in the middle and in the tails, the constant first: above and below.
_MIDDLE = (
    (
        *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
        *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
        *(3.3430575583588128105e4, 2.5090809287301226727e3),
    ),
    (
        *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
        *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
        *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
        *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
    ),
    (
        *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
        *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
        1.05075007164441684324e-9,
    ),
)
_HALF_MIDDLE, _MIDDLE_START, _TAIL_START = 0.425, 0.180625, 1.6


def add_quantiles(graph: Graph, x: str, quantiles: np.ndarray) -> str:
    """Columns float64 `[batch, C]` with the ranks of their `quantiles`, `[Q, C]`, of a normal."""
    ends = (BOUND - np.spacing(1), 1 - (BOUND - np.spacing(1)))
    share = graph.add("Clip", _shares(graph, x, quantiles), *map(graph.constant, ends))
    return _normal(graph, share)


def _shares(graph: Graph, x: str, quantiles: np.ndarray) -> str:
    """The mean of the shares of training rows that are below a number, and not above it."""
    count, columns = quantiles.shape
    inside = graph.add("Max", x, graph.constant(quantiles[0]))
    inside = graph.add("Min", inside, graph.constant(quantiles[-1]))
    places = np.linspace(0, 1, count)
    gaps = np.diff(quantiles, axis=0)
    slopes = np.divide(np.diff(places)[:, None], gaps, out=np.zeros_like(gaps), where=gaps > 0)
    each = graph.add("Unsqueeze", inside, graph.constant([1], np.int64))

    def between(operator: str) -> str:
        """The share by the interval of each number; the operator says which one has its ends."""
        is_past = graph.add(operator, each, graph.constant(quantiles))
        past = graph.add("Cast", is_past, to=_INT64)
        found = graph.add("ReduceSum", past, graph.constant([1], np.int64), keepdims=0)
        low = graph.add("Sub", found, graph.constant(1, np.int64))
        low = graph.add("Max", low, graph.constant(0, np.int64))
        low = graph.add("Min", low, graph.constant(count - 2, np.int64))

        def of(table: np.ndarray) -> str:
            # The columns one after the other, so that a place in them is one number.
            flat, start = table.T.ravel(), np.arange(columns, dtype=np.int64) * len(table)
            place = graph.add("Add", low, graph.constant(start))
            return graph.add("Gather", graph.constant(flat), place)

        away = graph.add("Mul", graph.add("Sub", inside, of(quantiles)), of(slopes))
        return graph.add("Add", of(np.repeat(places[:, None], columns, axis=1)), away)

    both = graph.add("Add", between("GreaterOrEqual"), between("Greater"))
    share = graph.add("Mul", both, graph.constant(0.5))
    near = graph.add("Add", x, graph.constant(BOUND))
    is_last = graph.add("Greater", near, graph.constant(quantiles[-1]))
    share = graph.add("Where", is_last, graph.constant(1.0), share)
    near = graph.add("Sub", x, graph.constant(BOUND))
    is_first = graph.add("Less", near, graph.constant(quantiles[0]))
    return graph.add("Where", is_first, graph.constant(0.0), share)


def _normal(graph: Graph, share: str) -> str:
    """The number below which a normal variable is with some chance between 1e-10 and 1 - 1e-10.

    AS 241 has further polynomials beyond.
    """
    away = graph.add("Sub", share, graph.constant(0.5))
    square = graph.add("Mul", away, away)
    middle = graph.add("Sub", graph.constant(_MIDDLE_START), square)
    near = graph.add("Mul", away, _ratio(graph, middle, *_MIDDLE))
    rest = graph.add("Sub", graph.constant(1.0), share)
    least = graph.add("Min", share, rest)
    root = graph.add("Sqrt", graph.add("Neg", graph.add("Log", least)))
    tail = graph.add("Sub", root, graph.constant(_TAIL_START))
    far = graph.add("Mul", graph.add("Sign", away), _ratio(graph, tail, *_TAIL))
    size = graph.add("Abs", away)
    is_near = graph.add("LessOrEqual", size, graph.constant(_HALF_MIDDLE))
    return graph.add("Where", is_near, near, far)


def _ratio(graph: Graph, x: str, above: Sequence[float], below: Sequence[float]) -> str:
    return graph.add("Div", _polynomial(graph, x, above), _polynomial(graph, x, below))


def _polynomial(graph: Graph, x: str, factors: Sequence[float]) -> str:
    *others, last = factors
    found = graph.constant(last)
    for one in reversed(others):
        found = graph.add("Add", graph.add("Mul", found, x), graph.constant(one))
    return found
