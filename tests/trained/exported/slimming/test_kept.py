"""Which places of arrays stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hpo.trained.exported.slimming.kept import places_kept
from hpo.trained.exported.slimming.known import what_is_known
from hpo.trained.exported.slimming.smaller import in_operations
from hpo.trained.exported.translation import BATCH

# The second and the last unit read nothing.
DENSE = np.array([[1, 0, 2, 0], [3, 0, 4, 0]], np.float32)


def units_kept(run: Callable[..., Any]) -> list[int]:
    """The units that stay of a layer whose outputs go through a function."""
    x = jax.ShapeDtypeStruct((BATCH, 2), np.float32)
    jaxpr, consts = in_operations(lambda w, x: run(x @ w), DENSE, x)
    kept = places_kept(jaxpr, what_is_known(jaxpr, [*consts, DENSE]))
    places = kept.of(jaxpr.invars[-2])[1]
    assert places is not None
    return np.flatnonzero(places).tolist()


READ = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("run", "units"),
    [
        (lambda y: y @ READ, [0, 2]),
        (lambda y: jnp.tanh(y + 1) @ READ, [0, 2]),
        (lambda y: y, [0, 1, 2, 3]),  # what the function gives back
        # One that answers differently, and nothing reads it.
        (lambda y: y @ (READ * np.array([[1], [1], [0], [1]], np.float32)), [0]),
        (lambda y: y.sum(-1), [0, 2]),
        (lambda y: y.max(-1), [0, 1, 2, 3]),
        (lambda y: jnp.sort(y) @ READ, [0, 1, 2, 3]),
        (lambda y: y[:, ::-1] @ READ, [0, 1, 2, 3]),
        (lambda y: y[:, 1:3] @ READ[1:3], [2]),
        (lambda y: jnp.pad(y, ((0, 0), (1, 1))) @ np.ones((6, 2), np.float32), [0, 2]),
        # Pairs: the second of each goes.
        (
            lambda y: jnp.einsum("bij,ij->b", y.reshape(-1, 2, 2), READ[:, 0].reshape(2, 2)),
            [0, 1, 2, 3],
        ),
        (lambda y: y.reshape(-1, 2, 2).sum(2), [0, 2]),
        (lambda y: y.reshape(-1, 2, 2).sum(1), [0, 1, 2, 3]),
        # Added to what has all places.
        (lambda y: (y + jnp.concatenate([y[:, 2:], y[:, :2]], -1)) @ READ, [0, 2]),
        (lambda y: (y + y[:, ::-1]) @ READ, [0, 1, 2, 3]),
        (lambda y: lax.cumsum(y, 1) @ READ, [0, 1, 2, 3]),
    ],
)
def test_units_stay_that_something_reads(run: Callable[..., Any], units: list[int]) -> None:
    assert units_kept(run) == units


def test_of_a_layer_of_which_nothing_is_read_one_unit_stays() -> None:
    assert units_kept(lambda y: (y * 0) @ READ) == [0]
