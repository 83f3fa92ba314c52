"""The shapes in the engine's signatures hold for the arrays passed while programs are traced."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import hpo.engine
from hpo import registry
from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import Shapes
from hpo.engine.program import Program, split
from hpo.engine.programs import lanes
from hpo.engine.training import batches
from hpo.engine.training.task import task_of
from tests.engine.samples import a_training


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(hpo.engine.__path__, "hpo.engine."):
        yield importlib.import_module(found.name)


# What modules import for type checkers alone.
_TYPES = {
    "Array": jaxtyping.Array,
    "Float": jaxtyping.Float,
    "Program": Program,
    "Shapes": Shapes,
}


def _mismatches(hint: Any, value: Any, where: str) -> Iterator[str]:
    """The mismatches between `value` and the array of `hint`, with the fields of named tuples."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if is_union else (hint,)
    options = [part for part in parts if isinstance(part, type) and part is not Any]
    if any(issubclass(option, jaxtyping.AbstractArray) for option in options):
        if not any(isinstance(value, option) for option in options):
            yield f"{where}: {getattr(value, 'dtype', value)}{np.shape(value)} is not {hint}"
    elif isinstance(hint, type) and issubclass(hint, tuple) and isinstance(value, hint):
        for name, inner in typing.get_type_hints(hint, localns=_TYPES).items():
            yield from _mismatches(inner, getattr(value, name), f"{where}.{name}")


def _checked(function: Callable[..., Any], checks: list[str]) -> Callable[..., Any]:
    """`function`, which then refuses arrays that do not have the shapes of its signature."""
    hints = typing.get_type_hints(function, localns=_TYPES)
    signature = inspect.signature(function)

    # JAX's typing binds the sizes of a call within this decorator.
    @functools.wraps(function)
    @jaxtyping.jaxtyped(typechecker=None)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        values = signature.bind(*args, **kwargs).arguments
        result = function(*args, **kwargs)
        found = [
            mismatch
            for name, value in {**values, "return": result}.items()
            if name in hints
            for mismatch in _mismatches(hints[name], value, f"{function.__qualname__}({name})")
        ]
        assert not found, found
        checks.append(function.__qualname__)
        return result

    return wrapper


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All functions and methods of the engine check their arrays; the names of those called."""
    called: list[str] = []
    wrappers: dict[Any, Any] = {}

    def replace_in(owner: Any) -> None:
        for name, value in list(vars(owner).items()):
            ours = getattr(value, "__module__", "").startswith("hpo.engine")
            if inspect.isfunction(value) and ours:
                wrappers.setdefault(value, _checked(value, called))
                monkeypatch.setattr(owner, name, wrappers[value])
            elif inspect.isclass(value) and ours and value.__module__ == owner.__name__:
                replace_in_class(value)

    def replace_in_class(owner: type) -> None:
        for name, value in list(vars(owner).items()):
            is_public = name == "__call__" or not name.startswith("_")
            # Named tuples and NNX generate methods without annotations.
            is_own = getattr(value, "__qualname__", "") == f"{owner.__name__}.{name}"
            if inspect.isfunction(value) and is_public and is_own:
                monkeypatch.setattr(owner, name, _checked(value, called))

    for module in _modules():
        replace_in(module)
    registry.load.cache_clear()  # what it has loaded already checks nothing
    yield called
    registry.load.cache_clear()  # what it has loaded here checks in the tests that follow, too


@pytest.mark.parametrize("form", ["map", "vmap"])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_round_keeps_to_the_shapes_of_the_signatures(
    images: DataSet, checks: list[str], name: str, form: str
) -> None:
    training = a_training(model={"name": name, "norm": "batch", "dropout": 0.3})
    program, _ = split(training, images, "cpu")
    task, data = task_of(program), batches.host_data(images, is_whole=False)
    operation = lanes.operations(task, form, 2, data, task.shapes())["round"]  # type: ignore[arg-type]
    jax.eval_shape(operation.function, *operation.arguments)
    expected = {"train_round", "Supervised.train", "Supervised.evaluate", "metric_sums"}
    model = {"mlp": {"Mlp.__call__"}, "cnn": {"Cnn.__call__", "Conv.__call__", "convolve"}}[name]
    expected |= {"Dropout.__call__", "Program.fill", "schedule_factor"}
    assert expected | model <= set(checks)


def test_a_shape_that_breaks_a_signature_is_found(checks: list[str]) -> None:
    from hpo.engine.training.targets.losses import poisson
    from hpo.spec.sections.loss import Poisson

    with pytest.raises(AssertionError, match=r"poisson\(outputs\)"):
        poisson(Poisson(name="poisson"), jnp.zeros((4, 2)), jnp.zeros(4))
