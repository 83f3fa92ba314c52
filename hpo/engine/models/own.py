"""Models of a user's own: modules of Flax (NNX and Linen) and Equinox as their authors wrote them.

A module is built inside every step, with the trial's numbers as traced arrays. Its weights and
other variables are then put back; only its random streams are new. So its author reads
`self.rate` as ever, and another value compiles nothing.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hpo.engine.models.convolution import as_lax
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.masks import masks_from, swap_dropouts
from hpo.spec.code.frames import CodeError
from hpo.spec.code.own_code import CompiledCode, arguments_of
from hpo.spec.code.own_model import GIVEN, OwnModel
from hpo.spec.code.running import run_code
from hpo.spec.marks import with_leaves

if TYPE_CHECKING:
    from hpo.engine.models.abstract import Shapes

# How a module's call is told that it trains: the argument, and its value in training.
_MODES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
}
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class State(NamedTuple):
    """The arrays of a module: trained weights, and the other variables that it keeps."""

    params: Any
    variables: Any


class _Library(Protocol):
    """What differs between the libraries of modules; `module` is fresh from its constructor."""

    def draw(self, module: Any, shapes: Shapes, key: Any) -> State: ...

    def call(
        self, module: Any, shapes: Shapes, state: State, x: Any, dropout: Dropout | None
    ) -> tuple[Any, Any]: ...


def draw(spec: OwnModel, shapes: Shapes, seed: int) -> State:
    """The first arrays of a module, as its author's initialisers draw them.

    Raises:
        CodeError: for code that makes no module, or none with weights.
    """
    key = jax.random.key(seed)
    module = _construct(spec, shapes, nnx.Rngs(seed), key)
    if not isinstance(module, nnx.Module) and _is_equinox(module):
        # Traced numbers are arrays, which Equinox would take for weights.
        module = _construct(_untraced(spec), shapes, nnx.Rngs(seed), key)
    params, variables = _library(module, spec).draw(module, shapes, key)
    if not jax.tree.leaves(params):
        raise CodeError(
            f"model.python: {spec.python} has no weights to train: give it an nnx.Param."
        )
    return State(jax.tree.map(_as_weight, params), variables)


def call(
    spec: OwnModel, shapes: Shapes, state: State, x: Any, dropout: Dropout | None
) -> tuple[Any, Any]:
    """A module's outputs for a batch, and its variables afterwards.

    With `dropout` the module trains: its masks and other random numbers come from that key.
    """
    # The same streams in all steps, so that arrays that the constructor draws are the same, too.
    module = _construct(spec, shapes, nnx.Rngs(0), jax.random.key(0))
    return _library(module, spec).call(module, shapes, state, x, dropout)


class _Nnx:
    """Modules of `flax.nnx`."""

    def draw(self, module: Any, shapes: Shapes, key: Any) -> State:
        params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
        return State(params, nnx.to_pure_dict(nnx.state(module, _is_variable)))

    def call(
        self, module: Any, shapes: Shapes, state: State, x: Any, dropout: Dropout | None
    ) -> tuple[Any, Any]:
        nnx.update(module, state.params)
        nnx.update(module, state.variables)
        swap_dropouts(module)
        if shapes.platform == "cpu":
            _swap_convolutions(module)
        if dropout is None:
            module.eval()
        else:
            _reseed(module, _step_key(dropout))
            module.train()
        others = {"rngs": nnx.Rngs(_step_key(dropout))}
        arguments = _arguments(type(module).__call__, 2, dropout is not None, others)
        with masks_from(dropout):
            outputs = module(x, **arguments)
        changed = nnx.to_pure_dict(nnx.state(module, _is_variable))
        return outputs, _like(state.variables, changed)


class _Linen:
    """Modules of `flax.linen`; their collections but `params` are variables."""

    def draw(self, module: Any, shapes: Shapes, key: Any) -> State:
        from flax.linen import meta

        example = jnp.zeros((1, *shapes.example), shapes.x)
        arguments = _arguments(type(module).__call__, 2, False, {})
        rest = dict(meta.unbox(module.init({"params": key, "dropout": key}, example, **arguments)))
        return State(_plain(rest.pop("params", {})), _plain(rest))

    def call(
        self, module: Any, shapes: Shapes, state: State, x: Any, dropout: Dropout | None
    ) -> tuple[Any, Any]:
        arguments = _arguments(type(module).__call__, 2, dropout is not None, {})
        arrays = {"params": state.params, **state.variables}
        if dropout is None:
            return module.apply(arrays, x, **arguments), state.variables
        key = _step_key(dropout)
        rngs = {"params": jax.random.fold_in(key, 1), "dropout": key}
        kept = [*state.variables]
        outputs, changed = module.apply(arrays, x, rngs=rngs, mutable=kept, **arguments)
        return outputs, _like(state.variables, _plain({**state.variables, **changed}))


class _Equinox:
    """Modules of Equinox, which take one example; arrays of fractions are their weights."""

    def draw(self, module: Any, shapes: Shapes, key: Any) -> State:
        leaves = jax.tree_util.tree_leaves_with_path(module)
        weights = {jax.tree_util.keystr(path): leaf for path, leaf in leaves if _is_weight(leaf)}
        return State(weights, {})

    def call(
        self, module: Any, shapes: Shapes, state: State, x: Any, dropout: Dropout | None
    ) -> tuple[Any, Any]:
        equinox = sys.modules["equinox"]
        module = jax.tree_util.tree_map_with_path(
            lambda path, leaf: state.params.get(jax.tree_util.keystr(path), leaf), module
        )
        module = equinox.nn.inference_mode(module, value=dropout is None)
        keys = jax.random.split(_step_key(dropout), x.shape[0])

        def one(x: Any, key: Any) -> Any:
            takes = {"key": key if dropout is not None else None}
            arguments = _arguments(type(module).__call__, 2, dropout is not None, takes)
            return module(x, **arguments)

        return jax.vmap(one, axis_name="batch")(x, keys), state.variables


def _library(module: Any, spec: OwnModel) -> _Library:
    from flax import linen

    if isinstance(module, nnx.Module):
        return _Nnx()
    if isinstance(module, linen.Module):
        return _Linen()
    if _is_equinox(module):
        return _Equinox()
    made = type(module).__name__
    raise CodeError(
        f"model.python: {spec.python} makes an object of type {made}, which is no module: name a "
        "class of nnx.Module, linen.Module or equinox.Module, or a function that makes one."
    )


def _is_equinox(module: Any) -> bool:
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(module, equinox.Module)


def _construct(spec: OwnModel, shapes: Shapes, rngs: nnx.Rngs, key: Any) -> Any:
    """The module of a spec, from its author's constructor or function."""
    make = function_of(spec)
    given = {
        "rngs": rngs,
        "key": key,
        **dict.fromkeys(("inputs", "in_features"), math.prod(shapes.example)),
        "in_channels": shapes.example[-1],
        "shape": shapes.example,
        **dict.fromkeys(("outputs", "out_features", "classes", "num_classes"), shapes.outputs),
        "vocabulary": shapes.vocabulary,
        "category_counts": shapes.categories,
        "dtype": shapes.dtype,
    }
    assert given.keys() == GIVEN.keys()
    parameters = _parameters(make)
    is_open = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    # A constructor that passes its arguments on needs the streams below.
    is_nnx = isinstance(make, type) and issubclass(make, nnx.Module)
    takes = {*parameters, *(("rngs",) if is_open and is_nnx else ())}
    return make(**{name: value for name, value in given.items() if name in takes} | given_to(spec))


def function_of(section: CompiledCode) -> Any:
    """The class or function that a section names; this runs its file."""
    assert section.own.code is not None, "code that is missing is refused before it runs"
    # Arrays of the file are computed, so that a trace does not keep them from the next one.
    with jax.ensure_compile_time_eval():
        return run_code(section.own.code)


def given_to(section: CompiledCode) -> dict[str, Any]:
    """The arguments that a spec gives its code within a program: traced whole numbers are int32."""
    return {
        name: jnp.asarray(value, jnp.int32)
        if name in section.own.whole and not isinstance(value, int)
        else value
        for name, value in arguments_of(section).items()
    }


def _untraced(spec: OwnModel) -> OwnModel:
    traced = [n for n in type(spec).model_fields if isinstance(getattr(spec, n), jax.core.Tracer)]
    return with_leaves(spec, dict.fromkeys(traced, 0.5))


def _arguments(
    function: Any, own: int, is_training: bool, others: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a module's call after its first `own`: its mode, and those of `others`.

    Raises:
        CodeError: for one without a default that hpo does not give.
    """
    found: dict[str, Any] = {}
    for name, parameter in [*_parameters(function).items()][own:]:
        if name in _MODES:
            found[name] = _MODES[name] == is_training
        elif name in others:
            found[name] = others[name]
        elif parameter.default is inspect.Parameter.empty and parameter.kind in _NAMED:
            known = ", ".join((*_MODES, *others))
            raise CodeError(
                f"model.python: the call of the module takes {name}, which hpo does not give: "
                f"give it a default, or take one of {known}."
            )
    return found


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        # Flax's metaclass hides the arguments of a constructor.
        made = getattr(function, "__init__") if isinstance(function, type) else function  # noqa: B009
        return {} if made is object.__init__ else inspect.signature(made).parameters
    except (TypeError, ValueError):
        return {}


def _step_key(dropout: Dropout | None) -> Any:
    """A key of JAX from the key of a step's masks; the same one for every evaluation."""
    if dropout is None or dropout.key is None:
        return jax.random.key(0)
    words = jnp.stack([dropout.key.start, dropout.key.stride])
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _swap_convolutions(module: nnx.Module) -> None:
    """Have each plain `nnx.Conv` computed in the form whose gradient is fast in a loop on CPU."""
    for _, part in nnx.iter_graph(module):
        if type(part) is nnx.Conv and part.conv_general_dilated is jax.lax.conv_general_dilated:
            part.conv_general_dilated = as_lax


def _reseed(module: nnx.Module, key: Any) -> None:
    """Start each random stream that a module keeps, wherever it is, from the key of the step."""
    streams = [part for _, part in nnx.iter_graph(module) if isinstance(part, nnx.RngStream)]
    for number, stream in enumerate(streams):
        own = jax.random.fold_in(key, number)
        shape = stream.key[...].shape
        stream.key[...] = jax.random.split(own, shape) if shape else own


def _is_variable(path: Any, value: Any) -> bool:
    return isinstance(value, nnx.Variable) and not isinstance(value, nnx.Param | nnx.RngState)


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _as_weight(leaf: Any) -> Any:
    # All weights of a lane are one vector of float32.
    return leaf.astype(jnp.float32)


def _plain(tree: Any) -> Any:
    return {name: _plain(inner) for name, inner in tree.items()} if _is_mapping(tree) else tree


def _is_mapping(tree: Any) -> bool:
    return isinstance(tree, Mapping)


def _like(known: Any, changed: Any) -> Any:
    """The variables that a module had at first: what a call adds, such as `sow`, is left out."""
    if not _is_mapping(known):
        return changed
    return {name: _like(inner, changed.get(name, inner)) for name, inner in known.items()}
