"""The forward pass of a trained model for other engines: as an ONNX graph, or as StableHLO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpo.engine.models.abstract import is_authored
from hpo.engine.models.activations.rounding import named_rounding
from hpo.engine.training.forward import forward
from hpo.errors import ExportError, HpoError
from hpo.spec.marks import with_leaves
from hpo.spec.sections.models.images import Cnn, ResNet, of_layer
from hpo.spec.sections.models.sequences import Transformer
from hpo.trained.ensembles.ensemble import Answering, Ensemble, models_of
from hpo.trained.exported.answers import answers_of
from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.precision import Precision, as_used, kept_in, kernels_of
from hpo.trained.exported.slimming.groups import with_groups_aligned
from hpo.trained.exported.slimming.heads import with_heads_aligned
from hpo.trained.exported.slimming.slim import Network, Units, slimmed, units
from hpo.trained.exported.translation import BATCH, Operator, UntranslatedError, translated
from hpo.trained.model import Member, Model

# Convolutions in the form for accelerators are plain ones, which other engines know.
_PLATFORM = "gpu"
_STABLEHLO_PLATFORMS = ("cpu", "cuda", "tpu")


def whole_network(model: Model, member: Member, precision: Precision = "float32") -> Network:
    """A member's outputs, float32, of its weights and of features, as JAX traces it.

    It keeps its weights in a precision. In float16 it computes, too, else in float32.
    """
    plain = {"train.precision": "float16" if precision == "float16" else "float32"}
    own = model.program.of_its_own(model.training)
    program = replace(own, platform=_PLATFORM, template=with_leaves(own.template, plain))
    weights = jax.tree.map(np.asarray, jax.device_get(member.weights))
    kernels = kernels_of(model.levels, weights) if precision == "int8" else None
    training = model.training
    if getattr(training.model, "remat", False):  # of gradients alone; ranges are no numbers within
        training = with_leaves(training, {"model.remat": False})
    weights["params"] = kept_in(precision, weights["params"], kernels)

    def run(weights: Any, x: Any) -> Any:
        state = as_used(weights["params"]), weights["variables"]
        return forward(program, training, *state, {"x": x})[0].astype(jnp.float32)

    return Network(run, weights)


def slim_network(
    model: Model, member: Member, precision: Precision = "float32", rows: Any = BATCH
) -> Network:
    """The same for this number of rows, without the units that are cut.

    All stay in a network of a user's own that cannot be followed.
    """
    description = model.description
    example = jax.ShapeDtypeStruct((rows, *description.shape), np.dtype(description.type))
    member = member._replace(weights=_aligned(model.training.model, member.weights))
    whole = whole_network(model, member, precision)
    try:
        slim = slimmed(whole, example)
        jax.eval_shape(slim.outputs, example)
    except Exception:  # JAX raises errors of many kinds, and none must cost the export
        return whole
    return slim


def _aligned(spec: Any, weights: Any) -> Any:
    """Weights of the same answers, of which heads and groups can lose as many units each."""
    if isinstance(spec, Transformer) and spec.positions != "rotary":  # which turns pairs of numbers
        return {**weights, "params": with_heads_aligned(weights["params"], spec.heads)}
    if isinstance(spec, Cnn | ResNet) and spec.groups != 1:
        return with_groups_aligned(weights, partial(of_layer, spec.groups))
    return weights


def units_left(model: Answering) -> dict[str, int] | None:
    """The hidden units of a model and of its export; None where no unit is cut.

    Those that `stay` are in the export although they are cut.
    """
    found = []
    for one in models_of(model):
        for member in one.members:
            whole, slim = whole_network(one, member), slim_network(one, member)
            found.append(units(whole.weights, slim.weights))
    total = Units(*map(sum, zip(*found, strict=True)))
    return None if total.model == total.export and not total.stay else total._asdict()


def network(
    model: Model,
    member: Member,
    operators: Callable[[Any], Mapping[str, Operator]] = lambda weights: OPERATORS,
) -> Any:
    """The outputs of a member for its features as an ONNX model with one input, of any batch.

    Units that are cut are left out. The operators may depend on the weights that are left.

    Raises:
        ExportError: for a model with an operation that has no translation.
    """
    shape, kind = model.description.shape, model.description.type
    try:
        # Of the many operations of a rounding onnxruntime 1.32 makes a graph that it cannot load.
        with named_rounding():
            slim = slim_network(model, member)
            return translated(slim.outputs, shape, kind, operators(slim.weights))
    except UntranslatedError as error:
        raise _untranslated(model, "onnx", error) from None


def stablehlo(model: Answering, precision: Precision = "float32") -> bytes:
    """The answers of a model for encoded numbers as the bytes of `jax.export`, of any batch.

    Its weights are kept in a precision: see `whole_network`.

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

    description = model.description
    (batch,) = export.symbolic_shape("batch")
    example = jax.ShapeDtypeStruct((batch, *description.shape), description.type)

    def answering(outputs: Any, x: Any) -> Any:
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
        slim = [slim_network(model, one, precision, batch).outputs for one in model.members]
        run = jax.jit(partial(answering, slim))
        exported = export.export(run, platforms=_STABLEHLO_PLATFORMS)(example)
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
