"""Builds the model of a program by its name, as shapes: nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from hpo import registry
from hpo.engine.models.activations.rounding import Kind, StepRounder, rounding, with_rounders
from hpo.engine.models.activations.sparse import measured, without_activation
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import Initialiser
from hpo.engine.models.layers import with_low_rank
from hpo.engine.models.look import look_at, tried
from hpo.engine.models.own import draw
from hpo.engine.program import Program
from hpo.errors import HpoError
from hpo.spec.code.own_model import OwnModel
from hpo.spec.registered import needs_of
from hpo.spec.sections.compression.teacher import MATCH

# Arrays of several axes that are not weights between units: factors and offsets of each member of
# an ensemble, or of each column of a table.
_NO_KERNELS = ("bias", "before", "after", "signs", "frequencies", "phases", "offsets")
# What is trained among a model's weights: the steps between levels, and the map from its features
# to those of a teacher. A layer's step for what it reads has the name of the layer and this one.
STEPS, TEACHER_MAP, READ = "step_sizes", "teacher_map", "/inputs"
# Where `auto` is not settled yet, as in `hpo check`, it stands for float32.
PRECISIONS = {
    "auto": jnp.float32,
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}


class Shapes(NamedTuple):
    """The sizes, platform and precision for which a model is built.

    `example` is the shape of one example, `outputs` the number of classes, or 1. `platform` is
    "cpu", "gpu" or "tpu"; layers compute in `dtype` and keep their weights in float32. Where every
    position of an example has a class, `positions` are the sizes of these axes. Examples have the
    type `x`; those of tokens are below `vocabulary`. `embedding_size` are the numbers in the vector
    that the data set has loaded for each token; 0 without. The first columns of an
    example are codes of categories where there are `categories`: each is below its number, and
    such examples come in float32 in any precision (see `hpo.engine.models.categories`).
    The first `numbers` columns after codes are numbers of a table, and the others are not; None
    where that is unknown.
    """

    example: tuple[int, ...]
    outputs: int
    platform: str
    dtype: Any
    positions: tuple[int, ...] = ()
    example_type: str = "float32"
    vocabulary: int = 0
    embedding_size: int = 0
    categories: tuple[int, ...] = ()
    numbers: int | None = None

    @property
    def x(self) -> Any:
        """The type in which examples reach a model: `dtype`, or that of whole numbers."""
        is_kept = self.categories or not jnp.issubdtype(self.example_type, jnp.floating)
        return np.dtype(self.example_type) if is_kept else self.dtype

    @property
    def answer(self) -> tuple[int, ...]:
        """The shape of the outputs for one example."""
        return (*self.positions, self.outputs)


class Members(NamedTuple):
    """The outputs of the members of one model: each is trained by its own loss."""

    outputs: Float[Array, "B M K"]


class AbstractModel(NamedTuple):
    """A program's model as shapes.

    `graph` is None for a model of a user's own, which is built in each step. `params` are the
    shapes of the trained weights, `variables` those of other arrays (running
    statistics, carries). `leaves` are the initialisers of leaves with unusual names.
    """

    graph: Any
    params: dict[str, Any]
    variables: dict[str, Any]
    leaves: Mapping[str, Initialiser]


def abstract_model(program: Program) -> AbstractModel:
    """The program's model.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    return _abstract(_Shaped(program.model_key, program))


@dataclass(frozen=True)
class _Shaped:
    """A key for the cache: equal for programs whose models have the same arrays."""

    key: str
    program: Program = field(compare=False)


@lru_cache(maxsize=256)
def _abstract(shaped: _Shaped) -> AbstractModel:
    program = shaped.program
    found = build(program.model, shapes_of(program), rounds=_rounds(program))
    params = {**found.params}
    weights = program.template.compression.weights
    if program.hints:
        shapes = {"bias": (program.hints,), "kernel": (_last_width(program, found), program.hints)}
        params[TEACHER_MAP] = {n: jax.ShapeDtypeStruct(s, "f4") for n, s in shapes.items()}
    steps = {name + READ: jax.ShapeDtypeStruct((1,), "f4") for name in _step_layers(found)}
    if weights.name == "learned":
        steps |= _steps(found, by_channel=weights.scales == "channel")
    if steps:
        params[STEPS] = steps
    return found._replace(params=params)


def _steps(found: AbstractModel, *, by_channel: bool) -> dict[str, Any]:
    """The shapes of the steps between levels of each array of weights."""
    return {
        name: jax.ShapeDtypeStruct(leaf.shape[-1:] if by_channel else (1,), "f4")
        for path, leaf in jax.tree_util.tree_leaves_with_path(found.params)
        if is_kernel(name := name_of(path), leaf)
    }


def _step_layers(found: AbstractModel) -> list[str]:
    """The layers whose step for what they read is trained."""
    if found.graph is None:
        return []
    model = nnx.merge(found.graph, found.params, found.variables)
    return [part.name for _, part in nnx.iter_graph(model) if isinstance(part, StepRounder)]


def _last_width(program: Program, found: AbstractModel) -> int:
    """The units of a model's last activation.

    Raises:
        HpoError: for a model without any.
    """

    widths: list[int] = []

    def run(params: Any, variables: Any, x: Any, knobs: Any) -> Any:
        spec = program.fill(knobs)
        model = nnx.merge(found.graph, params, variables)
        with rounding(8, is_training=False), measured(_units, MATCH) as units:
            model(x, spec.model, train=False, dropout=Dropout(0, None))
        widths.append(units[-1])

    if found.graph is None:
        raise without_activation(MATCH)
    shapes = shapes_of(program)
    x = jax.ShapeDtypeStruct((1, *shapes.example), shapes.x)
    knobs = jax.ShapeDtypeStruct((len(program.knobs),), np.float32)
    nnx.eval_shape(run, found.params, found.variables, x, knobs)
    return widths[-1]


def _units(y: Array, _: Any) -> int:
    return int(y.shape[-1])


def model_alone(params: Any) -> Any:
    """The weights of a model, without what is trained beside them."""
    return {name: part for name, part in params.items() if name not in (STEPS, TEACHER_MAP)}


def _rounds(program: Program) -> Kind | None:
    activations = program.template.compression.activations
    return None if activations.bits is None else activations.name


def shapes_of(program: Program) -> Shapes:
    """The sizes, platform and precision for which a program's model is built."""
    dtype = PRECISIONS[program.template.train.precision]
    return Shapes(
        program.example_shape,
        program.outputs,
        program.platform,
        dtype,
        program.positions,
        program.example_type,
        program.vocabulary,
        program.embedding_size,
        program.categories,
        program.numbers,
    )


def is_authored(spec: Any) -> bool:
    """Whether a model is a user's own, which keeps its author's initialisers."""
    return isinstance(spec, OwnModel) or registry.MODELS[spec.name].is_own


def authored(spec: Any, program: Program, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and variables as the initialisers in a module's own layers draw them, NumPy arrays.

    The module is built with the numbers of `spec`, so that an initialiser may depend on them.
    """
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        if isinstance(spec, OwnModel):
            states = list(tried("model.python", spec, draw, spec, shapes_of(program), seed))
        else:
            make = registry.function("model", spec.name)
            model = make(spec, shapes_of(program), nnx.Rngs(seed))
            kind = _rounds(program)
            model = with_rounders(model, spec.name, kind) if kind else model
            _, *kinds = nnx.split(model, nnx.Param, ...)
            states = [nnx.to_pure_dict(kind) for kind in kinds]
    params, variables = (jax.tree.map(np.asarray, state) for state in states)
    return params, variables


def build(spec: Any, shapes: Shapes, *, rounds: Kind | None = None) -> AbstractModel:
    """The model that a spec names; merged leaves of the spec are `OneOf`.

    With `rounds` it keeps the ranges or steps by which layers round what they read.

    Raises:
        HpoError: for a model that cannot take examples of this shape.
    """
    if isinstance(spec, OwnModel):
        return AbstractModel(None, *look_at(spec, shapes), {})
    make = registry.function("model", spec.name)
    if "images" in needs_of("model", spec) and len(shapes.example) != 3:
        raise HpoError(
            f"model.name: '{spec.name}' needs images, and an example of this data set has the "
            f"shape {shapes.example}: use mlp."
        )
    entry = registry.MODELS[spec.name]
    if shapes.positions and not entry.answers_each:
        raise HpoError(
            f"model.name: '{spec.name}' gives one answer for an example, and these data need one "
            f"for each of its positions, {list(shapes.answer)}: {_others(shapes)}."
        )
    if shapes.vocabulary and not (entry.takes_tokens or entry.is_own):
        raise HpoError(
            f"model.name: '{spec.name}' learns from features, and these data are ids of tokens: "
            f"write data.text.vectors: tfidf or counts, or {_others(shapes)}."
        )
    if shapes.categories and not (entry.takes_categories or entry.is_own):
        raise HpoError(
            f"model.name: '{spec.name}' learns no vectors of categories, as data.columns.encode: "
            "embed needs: write one_hot, or name a model such as mlp."
        )

    def made() -> Any:
        model = make(spec, shapes, nnx.Rngs(0))
        rank = None if entry.is_own else getattr(spec, "rank", None)
        model = model if rank is None else with_low_rank(model, rank)
        return with_rounders(model, spec.name, rounds) if rounds else model

    model = nnx.eval_shape(made)
    graph, params, variables = nnx.split(model, nnx.Param, ...)
    leaves = getattr(model, "leaves", {})
    return AbstractModel(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(variables), leaves)


def name_of(path: Any) -> str:
    """The name of an array of weights, such as linears/0/kernel."""
    return str(jax.tree_util.keystr(path, simple=True, separator="/"))


def is_kernel(name: str, array: Any) -> bool:
    """Whether an array holds weights between units, rather than biases or factors of a norm."""
    is_of_model = name.partition("/")[0] != TEACHER_MAP
    return array.ndim > 1 and is_of_model and name.rpartition("/")[2] not in _NO_KERNELS


def _others(shapes: Shapes) -> str:
    """The models that take these examples, as a cure."""
    names = [
        name
        for name, entry in registry.MODELS.items()
        if entry.takes_tokens == bool(shapes.vocabulary)
        and (entry.answers_each or not shapes.positions)
    ]
    return "use " + " or ".join(filter(None, [", ".join(names), "a model of your own"]))
