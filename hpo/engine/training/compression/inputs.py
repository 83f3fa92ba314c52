"""Steps of what layers read, trained among the weights: `compression.activations.name: learned`.

A model keeps the steps that its first batch in training has decided among its variables, and the
weights begin with 0 and hold what training adds. So optimizers, averages and checkpoints treat that
as weights. A trained model has the sums among its variables alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.models.abstract import READ, STEPS, abstract_model
from hpo.engine.models.activations.learned import used_step
from hpo.engine.program import Program


def with_added(program: Program, params: Any) -> Any:
    """First weights on the host, with 0 for what training will add to steps."""
    steps = abstract_model(program).params.get(STEPS, {})
    first = {name: np.zeros((1,), np.float32) for name in steps if name.endswith(READ)}
    return {**params, STEPS: {**params.get(STEPS, {}), **first}} if first else params


def added_of(params: Any) -> Mapping[str, Float[Array, " 1"]]:
    """What training has added to the steps of layers, by the names of the layers."""
    steps = params.get(STEPS, {}) if isinstance(params, Mapping) else {}
    return {name.removesuffix(READ): step for name, step in steps.items() if name.endswith(READ)}


def without_added(params: Any) -> Any:
    """The weights of a trained model, without what training has added to steps."""
    steps = {name: step for name, step in params.get(STEPS, {}).items() if not name.endswith(READ)}
    found = {name: part for name, part in params.items() if name != STEPS}
    return {**found, STEPS: steps} if steps else found


def settled(params: Any, variables: Any) -> tuple[Any, Any]:
    """Weights and variables of a lane as they are judged: the variables have the sums, and 0 is
    added to them."""
    added = added_of(params)
    if not added:
        return params, variables

    def inner(tree: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        if {"step", "least", "bits"} <= tree.keys() and (name := "/".join(path[:-1])) in added:
            used = used_step(tree["step"], added[name][0])
            # Before a batch in training there is none.
            return {**tree, "step": jnp.where(tree["bits"] > 0, used, tree["step"])}
        return {name: inner(part, (*path, str(name))) for name, part in tree.items()}

    nothing = {name + READ: jnp.zeros_like(step) for name, step in added.items()}
    return {**params, STEPS: {**params[STEPS], **nothing}}, inner(variables, ())
