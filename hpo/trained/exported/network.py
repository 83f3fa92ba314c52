"""The forward pass of a trained model for other engines: as an ONNX graph, or as StableHLO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpo.engine.models.abstract import is_authored
from hpo.engine.training.forward import forward
from hpo.errors import ExportError, HpoError
from hpo.spec.marks import with_leaves
from hpo.trained.ensembles.ensemble import Answering, Ensemble
from hpo.trained.exported.answers import answers_of
from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.precision import Precision, kept_in, kernels_of
from hpo.trained.exported.translation import Operator, UntranslatedError, translated
from hpo.trained.model import Member, Model

# Convolutions in the form for accelerators are plain ones, which other engines know.
_PLATFORM = "gpu"
_STABLEHLO_PLATFORMS = ("cpu", "cuda", "tpu")


def outputs_of(
    model: Model, member: Member, precision: Precision = "float32"
) -> Callable[[Any], Any]:
    """The function from a member's features to its outputs, float32, which JAX traces.

    It keeps its weights in a precision. In float16 it computes, too, else in float32.
    """
    plain = {"train.precision": "float16" if precision == "float16" else "float32"}
    own = model.program.of_its_own(model.training)
    program = replace(own, platform=_PLATFORM, template=with_leaves(own.template, plain))
    weights = jax.tree.map(np.asarray, jax.device_get(member.weights))
    kernels = kernels_of(model.levels, weights) if precision == "int8" else None
    params = kept_in(precision, weights["params"], kernels)

    def outputs(x: Any) -> Any:
        state = params(), weights["variables"]
        return forward(program, model.training, *state, {"x": x})[0].astype(jnp.float32)

    return outputs


def network(model: Model, member: Member, operators: Mapping[str, Operator] = OPERATORS) -> Any:
    """The outputs of a member for its features as an ONNX model with one input, of any batch.

    Raises:
        ExportError: for a model with an operation that has no translation.
    """
    shape, kind = model.description.shape, model.description.type
    try:
        return translated(outputs_of(model, member), shape, kind, operators)
    except UntranslatedError as error:
        raise _untranslated(model, "onnx", error) from None


def stablehlo(model: Answering, precision: Precision = "float32") -> bytes:
    """The answers of a model for encoded numbers as the bytes of `jax.export`, of any batch.

    Its weights are kept in a precision: see `outputs_of`.

    Raises:
        ExportError: for members that encode their inputs each in its own way, or a model whose
            batch has to be known.
    """
    each = f"{model.folder}: has {len(model.members)} members, which encode their inputs each in"
    if isinstance(model, Ensemble):
        raise ExportError(f"{each} its own way: export one of its models, or use --format onnx.")
    if len({id(member.data) for member in model.members}) > 1:
        raise ExportError(
            f"{each} its own way: train one, with --refit where there are folds, or use "
            "--format onnx."
        )
    from jax import export

    told = model.description
    outputs = [outputs_of(model, member, precision) for member in model.members]
    (batch,) = export.symbolic_shape("batch")
    example = jax.ShapeDtypeStruct((batch, *told.shape), told.type)

    def answering(x: Any) -> Any:
        if len(outputs) == 1:
            return answers_of(outputs[0](x), model.data, model.temperature)
        answers = [answers_of(one(x), model.data, 1.0) for one in outputs]
        mean = sum(answers[1:], answers[0]) / len(answers)
        # The temperature is that of the mean of chances, whose logarithms are outputs for it.
        is_plain = model.temperature == 1
        least = np.finfo(np.float32).tiny
        return (
            mean
            if is_plain
            else answers_of(jnp.log(jnp.maximum(mean, least)), model.data, model.temperature)
        )

    try:
        exported = export.export(jax.jit(answering), platforms=_STABLEHLO_PLATFORMS)(example)
    except (TypeError, ValueError, NotImplementedError, HpoError) as error:
        raise _untranslated(model, "stablehlo", error) from None
    return bytes(exported.serialize())


def _untranslated(model: Model, name: str, error: Exception) -> ExportError:
    why = (" ".join(str(error).split()) or type(error).__name__)[:160]
    spec = model.training.model
    whose = "the code of your own" if is_authored(spec) else f"model.name: '{spec.name}'"
    return ExportError(
        f"--format {name}: {whose} cannot be exported ({why}): use another format or model."
    )
