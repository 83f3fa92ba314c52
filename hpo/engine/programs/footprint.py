"""The footprint of a model: its parameters, and the operations and the latency of a prediction.

All are those of the trial's own model, without merging, for one example.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend import core

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model, model_alone
from hpo.engine.program import Program, split
from hpo.engine.training.compression.packing import leaves, packed_bytes, packings
from hpo.engine.training.compression.sparsity import is_sparse
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.supervised import own_weights
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves

# A call is timed at least this often, and a latency over at least this time.
_FEWEST_CALLS = 20
_LEAST_SECONDS = 0.02


def known_costs(
    training: Training, data: DataSet, platform: str, wanted: tuple[str, ...]
) -> Mapping[str, float]:
    """The costs that follow from a model's shapes: `parameters`, and others if they are wanted.

    These are `flops`, `macs`, and the `model_bytes` of a model without zeros.
    """
    program = own_program(training, data, platform)
    costs = {"parameters": float(_weights_alone(program))}
    if "flops" in wanted:
        costs["flops"] = forward_flops(program)
    if "macs" in wanted:
        costs["macs"] = float(forward_macs(program))
    if "model_bytes" in wanted and not is_sparse(program):
        costs["model_bytes"] = float(model_bytes(program, training))
    return costs


def _weights_alone(program: Program) -> int:
    """The trained weights, without the steps between their levels."""
    weights = model_alone(abstract_model(program).params)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(weights))


def model_bytes(program: Program, training: Training, lane: Lane | None = None) -> int:
    """`model_bytes`: those of the weights of a trial in the folder of a trained model, as packed.

    The weights of its `lane` decide where zeros are packed, and otherwise its shapes alone.
    """
    if lane is None:
        model = abstract_model(program.of_its_own(training))
        params, variables = model.params, model.variables
    else:
        params, variables = own_weights(program, training, lane)
    arrays = dict(leaves({"params": params, "variables": variables}))
    return packed_bytes(packings(training.compression, arrays), arrays)


def own_program(training: Training, data: DataSet, platform: str) -> Program:
    """The program of a training with nothing merged, and with nothing trained for a teacher."""
    program, _ = split(with_leaves(training, {"train.merged": "none"}), data, platform)
    return replace(program, hints=0)


@lru_cache(maxsize=1024)
def forward_flops(program: Program) -> float:
    """`flops`: the floating-point operations of a prediction for one example, by XLA's analysis.

    XLA counts the body of a loop once, so this analyses the model alone and adds the other passes
    of its loops over time. It does so before XLA optimises, so that the count does not depend on
    the device.
    """
    return _flops(_traced(program))


def _traced(program: Program) -> Any:
    """A prediction for one example, before it compiles."""
    model = abstract_model(program)
    example = {"x": jax.ShapeDtypeStruct((1, *program.example_shape), program.example_type)}
    predict = jax.jit(_predict, static_argnums=0)
    return predict.trace(program, model.params, model.variables, example)


def _flops(traced: Any) -> float:
    analysis = traced.lower().cost_analysis()
    assert analysis is not None, "every backend of XLA counts operations"
    return float(analysis.get("flops", 0)) + _further_flops(traced.jaxpr.jaxpr)


def _further_flops(jaxpr: core.Jaxpr) -> float:
    """The operations of all passes through scans but the first."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            body = equation.params["jaxpr"]
            arguments = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in body.in_avals]
            once = _flops(jax.jit(core.jaxpr_as_fun(body)).trace(*arguments))
            total += (equation.params["length"] - 1) * once
        else:
            total += sum(map(_further_flops, core.jaxprs_in_params(equation.params)))
    return total


@lru_cache(maxsize=1024)
def forward_macs(program: Program) -> int:
    """`macs`: the products of numbers in a prediction for one example, each added to a sum.

    Those of matrix products and convolutions, also where a convolution meets its padding.
    """
    return _macs(_traced(program).jaxpr.jaxpr)


def _macs(jaxpr: core.Jaxpr) -> int:
    """The products in all equations and in all passes through scans."""
    total = 0
    for equation in jaxpr.eqns:
        arrays: Any = [one.aval for one in (*equation.outvars, *equation.invars)]
        shapes = [array.shape for array in arrays]
        passes = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += passes * sum(map(_macs, core.jaxprs_in_params(equation.params)))
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            total += math.prod(shapes[0]) * math.prod(shapes[1][axis] for axis in summed)
        elif equation.primitive.name == "conv_general_dilated":
            filters = equation.params["dimension_numbers"].rhs_spec[0]
            total += math.prod(shapes[0]) * math.prod(shapes[2]) // shapes[2][filters]
    return total


def latency_ms(training: Training, data: DataSet, device: Any) -> float:
    """`latency_ms`: the milliseconds that a prediction for one example takes on `device`.

    It is the minimum of many calls of the compiled model, because other work can only slow a call
    down. Weights and example are on the device already. The values of the weights do not matter, so
    they are not the trial's.
    """
    program = own_program(training, data, device.platform)
    compiled, *arguments = _compiled_forward(program, device)
    example = jax.device_put({"x": data.train.first.x}, device)
    return 1000 * min(call_seconds(lambda: compiled(*arguments, example).block_until_ready()))


def call_seconds(
    call: Callable[[], Any],
    least_seconds: float = _LEAST_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """The seconds of many calls, after one that is not counted: it compiles, or fills caches."""
    call()
    times: list[float] = []
    end = clock() + least_seconds
    while len(times) < _FEWEST_CALLS or clock() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return times


@lru_cache(maxsize=64)
def _compiled_forward(program: Program, device: Any) -> tuple[Any, Any, Any]:
    """The compiled model, with weights and variables for it."""
    model = abstract_model(program)
    weights, variables = jax.device_put(
        jax.tree.map(
            lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), (model.params, model.variables)
        ),
        device,
    )
    example = {"x": np.zeros((1, *program.example_shape), program.example_type)}
    example = jax.device_put(example, device)
    lowered = jax.jit(_predict, static_argnums=0).lower(program, weights, variables, example)
    return lowered.compile(), weights, variables


def _predict(program: Program, params: Any, variables: Any, batch: Any) -> Any:
    return forward(program, program.template, params, variables, batch)[0]
