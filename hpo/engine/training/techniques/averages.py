"""Copies of a lane's weights: averages (`train.average`) and the slow weights of look-ahead.

An optimizer that is judged by an average of its own has it here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hpo.engine.models.abstract import abstract_model
from hpo.engine.models.dropout import Dropout
from hpo.engine.oneof import options_of
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch, DeviceData, fed
from hpo.engine.training.compression.quantisation import quantised
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.rules.untuned import own_average
from hpo.engine.training.techniques.constraints import is_update
from hpo.engine.training.techniques.spectral import direction_shapes, first_directions
from hpo.engine.training.weights import parted
from hpo.spec.experiment import Training
from hpo.spec.registered import needs_of
from hpo.spec.sections.techniques.average import Average

_DECAY, _SWA_START, _SLOW_STEP = 0.999, 0.75, 0.5


def first_copies(
    program: Program, params: Any, variables: Any, more: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The copies that the lanes of a program have, before the first step; None without any."""
    template = program.template
    found = {"slow": params} if template.updates.lookahead is not None else {}
    if _is_averaged(program):
        found["average"] = params
    if has_statistics(program):
        found["variables"] = variables
    if template.updates.spectral_norm is not None:
        is_host = isinstance(params, np.ndarray)
        weights = parted(program, params) if is_host else abstract_model(program).params
        found["directions"] = (first_directions if is_host else direction_shapes)(weights)
    return {**found, **(more or {})} or None


def has_statistics(program: Program) -> bool:
    """Whether statistics of a model's batches are found again for its average."""
    return _is_averaged(program) and bool(jax.tree.leaves(abstract_model(program).variables))


def _is_averaged(program: Program) -> bool:
    template = program.template
    return template.train.average.name != "none" or _has_own(template.optimizer)


def _has_own(optimizer: Any) -> bool:
    return "own average" in needs_of("optimizer", options_of(optimizer)[0])


def judged_weights(lane: Lane) -> tuple[Any, Any]:
    """The weights of a lane that are evaluated and saved, as a vector, and the variables."""
    copies = lane.copies or {}
    params = copies.get("average", copies.get("slow", lane.params))
    return params, copies.get("variables", lane.variables)


def followed(spec: Training, lane: Lane, steps: Any) -> Lane:
    """A lane after a step, its copies moved; an epoch has `steps` of them."""
    copies = lane.copies
    if copies is None:
        return lane
    params, copies = lane.params, dict(copies)
    changes = is_update(spec.updates, lane.step - 1)
    each = spec.updates.accumulate
    count = lane.step if each is None else lane.step // jnp.asarray(each, jnp.int32)
    if "slow" in copies:
        # Zhang et al. 2019, "Lookahead optimizer" (arXiv:1907.08610), Algorithm 1.
        period = jnp.asarray(spec.updates.lookahead, jnp.int32)
        part = spec.updates.lookahead_share
        ahead = changes & (count % period == 0)
        slow = copies["slow"]
        slow = slow + (_SLOW_STEP if part is None else part) * (params - slow)
        copies["slow"] = jnp.where(ahead, slow, copies["slow"])
        params = jnp.where(ahead, slow, params)
    if _has_own(spec.optimizer):
        copies["average"] = own_average(lane.optimizer, params, spec.optimizer)
    elif "average" in copies:
        share = new_share(spec.train.average, count, lane.step, steps, spec.train.epochs)
        if spec.train.average.name != "swa":  # whose epochs may end between two updates
            share = jnp.where(changes, share, 0.0)
        # At a share of 1 the average is the weights to the bit.
        copies["average"] = (1 - share) * copies["average"] + share * params
    return lane._replace(params=params, copies=copies)


def new_share(
    average: Average, count: Int[Array, ""], step: Int[Array, ""], steps: Any, epochs: Any
) -> Float[Array, ""]:
    """The share of the newest weights in an average, after `count` updates in `step` steps.

    `ema` is free of bias at any count: Kingma and Ba 2015, Section 3. `polyak`: Polyak and Juditsky
    1992. `swa`: Izmailov et al. 2018, "Averaging weights leads to wider optima and better
    generalization" (arXiv:1803.05407), Algorithm 1 with a cycle of an epoch.
    """
    if average.name == "ema":
        decay = jnp.asarray(_DECAY if average.decay is None else average.decay, jnp.float32)
        kept = jnp.maximum(count, 1).astype(jnp.float32) * jnp.log(decay)
        return (1 - decay) / -jnp.expm1(kept)
    usual = _SWA_START if average.name == "swa" else 0.0
    start = usual if average.start is None else average.start
    # Rounding must not move the start by an epoch.
    first = jnp.floor(start * epochs + 1e-4)
    if average.name == "swa":
        number = step // steps - first
        later = jnp.where(step % steps == 0, 1 / jnp.maximum(number, 1), 0.0)
        return jnp.where(number < 1, 1.0, later)
    before = first * steps * count / step
    return 1 / jnp.maximum(count - before, 1.0)


def recomputed(program: Program, knobs: Array, lane: Lane, data: DeviceData, feed: Batch) -> Lane:
    """A lane whose average has the statistics of its own batches, all those of an epoch.

    Those of our models are the means over these batches. Other variables, and those of a module of
    the user's own, move as they do in an epoch of training.
    """
    spec = program.fill(knobs)
    assert lane.copies is not None, "only lanes with an average have them"
    params = quantised(spec.compression, parted(program, lane.copies["average"]))
    steps = feed["steps"] if "steps" in feed else program.steps(spec.data.batch_size)
    count = steps * program.parts(spec.data.batch_size)

    def seen(number: Any, variables: Any) -> Any:
        batch = fed(data.train, feed["rows"][number], feed)
        momentum = number / (number + 1.0)
        model = spec, params, variables, batch, Dropout(0, None), momentum
        return forward(program, *model)[1]

    variables = lax.fori_loop(0, count, seen, lane.variables)
    return lane._replace(copies={**lane.copies, "variables": variables})
