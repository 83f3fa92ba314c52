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
from hpo.trained.exported.answers import answers_of
from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.translation import Operator, UntranslatedError, translated
from hpo.trained.model import Member, Model

# Convolutions in the form for accelerators are plain ones, which other engines know.
_PLATFORM = "gpu"
_STABLEHLO_PLATFORMS = ("cpu", "cuda", "tpu")


def outputs_of(model: Model, member: Member) -> Callable[[Any], Any]:
    """The function from a member's features to its outputs, which JAX traces; it is float32."""
    plain = {"train.precision": "float32"}
    own = model.program.of_its_own(model.training)
    program = replace(own, platform=_PLATFORM, template=with_leaves(own.template, plain))
    weights = jax.tree.map(np.asarray, jax.device_get(member.weights))

    def outputs(x: Any) -> Any:
        state = weights["params"], weights["variables"]
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


def stablehlo(model: Model) -> bytes:
    """The answers of a model for encoded numbers as the bytes of `jax.export`, of any batch.

    Raises:
        ExportError: for a model of several members, or one whose batch has to be known.
    """
    if len(model.members) > 1:
        raise ExportError(
            f"{model.folder}: has {len(model.members)} members, which encode their inputs each in "
            "its own way: train one, with --refit where there are folds, or use --format onnx."
        )
    from jax import export

    (member,), told = model.members, model.description
    outputs = outputs_of(model, member)
    (batch,) = export.symbolic_shape("batch")
    example = jax.ShapeDtypeStruct((batch, *told.shape), told.type)
    answering = jax.jit(lambda x: answers_of(outputs(x), model.data, model.temperature))
    try:
        exported = export.export(answering, platforms=_STABLEHLO_PLATFORMS)(example)
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
