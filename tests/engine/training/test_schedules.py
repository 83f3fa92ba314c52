"""Schedules: against tables by hand and Optax's own schedules, with traced and concrete numbers."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hpo.engine.training.schedules import schedule_factor
from hpo.registry import SCHEDULES, load
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.sections.optimizer import ScheduleSpec


def _spec(name: str, **leaves: Any) -> Any:
    return TypeAdapter(ScheduleSpec).validate_python({"name": name, **leaves})


def _factors(spec: Any, total_steps: int) -> np.ndarray:
    # Always the same number of steps, so that JAX compiles once.
    return np.asarray(schedule_factor(spec, jnp.arange(1400), float(total_steps)))[:total_steps]


@pytest.mark.parametrize(
    ("spec", "total_steps", "table"),
    [
        (_spec("constant"), 10, {0: 1.0, 5: 1.0, 9: 1.0}),
        # Warm-up over half of ten steps: a fifth more at each of them.
        (_spec("constant", warmup=0.5), 10, {0: 0.2, 1: 0.4, 4: 1.0, 5: 1.0, 9: 1.0}),
        (_spec("constant", warmup=0.01), 10, {0: 1.0, 9: 1.0}),  # less than a step has no effect
        # cos(pi/3) = 1/2, cos(pi/2) = 0, cos(2 pi/3) = -1/2.
        (_spec("cosine"), 12, {0: 1.0, 4: 0.75, 6: 0.5, 8: 0.25}),
        (_spec("cosine", final=0.2), 12, {0: 1.0, 4: 0.8, 6: 0.6, 8: 0.4}),
        (_spec("cosine", warmup=0.25), 16, {0: 0.25, 3: 1.0, 4: 1.0, 8: 0.75, 10: 0.5, 12: 0.25}),
        (_spec("exponential"), 4, {0: 1.0, 1: 0.1**0.5, 2: 0.1, 3: 0.1**1.5}),
        (_spec("exponential", final=1.0), 4, {0: 1.0, 3: 1.0}),
        (_spec("exponential", warmup=0.5), 8, {0: 0.25, 3: 1.0, 4: 1.0, 6: 0.1}),
        (_spec("constant", warmup=0.4, warmup_shape="quadratic"), 10, {0: 1 / 16, 1: 0.25, 3: 1.0}),
        (_spec("piecewise", third=0.9), 20, {9: 1.0, 10: 0.1, 15: 0.01, 17: 0.01, 18: 0.001}),
        (_spec("step"), 30, {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.01, 29: 0.01}),
        (_spec("step", drops=1, factor=0.5), 10, {0: 1.0, 4: 1.0, 5: 0.5, 9: 0.5}),
        (_spec("step", drops=1, warmup=0.5), 20, {0: 0.1, 9: 1.0, 14: 1.0, 15: 0.1, 19: 0.1}),
        # Waves end at (2^i - 1) / 15 of the way: at 1/15, 3/15 and 7/15.
        (
            _spec("coslog"),
            1395,
            {
                0: 0.0,
                93: 0.0,
                279: 0.0,
                651: 0.0,
                31: 0.5 - 0.5 * np.cos(2 * np.pi * np.log2(4 / 3)),
            },
        ),
        # Half a wave: log2(1 + 3t) = 1/2.
        (_spec("coslog", cycles=1), 2, {0: 0.0, 1: 0.5 - 0.5 * np.cos(2 * np.pi * np.log2(1.5))}),
    ],
    ids=str,
)
def test_the_factor_is_the_one_of_the_table(
    spec: Any, total_steps: int, table: dict[int, float]
) -> None:
    factors = _factors(spec, total_steps)
    assert {step: factors[step] for step in table} == pytest.approx(table, rel=1e-5)


_WARM_COSINE = optax.join_schedules(
    [optax.linear_schedule(0.1, 1.0, 9), optax.cosine_decay_schedule(1.0, 30, alpha=0.1)], [10]
)


_RESTARTS = optax.join_schedules(
    [optax.cosine_decay_schedule(0.5**cycle, 10, alpha=0.1) for cycle in range(4)], [10, 20, 30]
)

# A warm-up over 20 steps reaches the full rate at the last of them, so it is one step ahead.
_WARM: dict[str, Any] = {
    "linear": optax.linear_schedule(0.2, 1.0, 20),
    "quadratic": lambda step: optax.polynomial_schedule(1.0, 0.2, 2, 20)(20 - step),
    "cosine": lambda step: optax.cosine_decay_schedule(1.0, 20, alpha=0.2)(20 - step),
    "exponential": optax.exponential_decay(0.2, 20, 5.0, end_value=1.0),
}


@pytest.mark.parametrize("shape", _WARM)
def test_a_warm_up_is_that_of_optax(shape: str) -> None:
    spec = _spec("constant", warmup=0.5, warmup_shape=shape, warmup_start=0.2)
    expected = jax.vmap(_WARM[shape])(jnp.arange(1, 21))
    factors = _factors(spec, 40)
    np.testing.assert_allclose(factors[:20], expected, rtol=1e-5)
    np.testing.assert_array_equal(factors[19:], 1)


def test_an_exponential_warm_up_needs_a_start() -> None:
    with pytest.raises(ValidationError, match="never rises from warmup_start 0"):
        _spec("constant", warmup_shape="exponential")


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (_spec("cosine"), optax.cosine_decay_schedule(1.0, 40)),
        (_spec("cosine", final=0.3), optax.cosine_decay_schedule(1.0, 40, alpha=0.3)),
        (_spec("cosine", final=0.1, warmup=0.25), _WARM_COSINE),
        (_spec("exponential", final=0.05), optax.exponential_decay(1.0, 40, 0.05)),
        (
            _spec("step", drops=3, factor=0.2),
            optax.piecewise_constant_schedule(1.0, {10: 0.2, 20: 0.2, 30: 0.2}),
        ),
        (
            _spec("piecewise", first=0.25, second_factor=0.5, third=0.8, third_factor=0.3),
            optax.piecewise_constant_schedule(1.0, {10: 0.1, 30: 0.5, 32: 0.3}),
        ),
        (_spec("linear", final=0.2), optax.linear_schedule(1.0, 0.2, 40)),
        (_spec("polynomial", power=3, final=0.2), optax.polynomial_schedule(1.0, 0.2, 3, 40)),
        (_spec("cosine_restarts", cycles=4, final=0.1, factor=0.5), _RESTARTS),
        (_spec("one_cycle"), optax.cosine_onecycle_schedule(40, 1.0)),
        (
            _spec("one_cycle", rise=0.25, start=0.1, final=0.01),
            optax.cosine_onecycle_schedule(40, 1.0, 0.25, div_factor=10, final_div_factor=10),
        ),
    ],
    ids=lambda value: str(value) if hasattr(value, "name") else "",
)
def test_the_factors_are_those_of_optax(spec: Any, theirs: Any) -> None:
    expected = jax.vmap(theirs)(jnp.arange(40))
    np.testing.assert_allclose(_factors(spec, 40), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("drops", range(1, 12))
def test_a_drop_comes_exactly_at_its_step(drops: int) -> None:
    for length in (1, 3, 7, 10, 113):
        total_steps = length * (drops + 1)
        factors = _factors(_spec("step", drops=drops, factor=0.5), total_steps)
        expected = 0.5 ** np.repeat(np.arange(drops + 1), length)
        np.testing.assert_allclose(factors, expected, rtol=1e-6)


def _open_share() -> st.SearchStrategy[float]:
    return st.floats(0.0, 127 / 128, width=32)


_LEAVES = {
    "constant": st.fixed_dictionaries({"warmup": _open_share()}),
    "cosine": st.fixed_dictionaries({"warmup": _open_share(), "final": _open_share()}),
    "exponential": st.fixed_dictionaries(
        {"warmup": _open_share(), "final": st.floats(2**-20, 1.0, width=32)}
    ),
    "linear": st.fixed_dictionaries({"warmup": _open_share(), "final": _open_share()}),
    "polynomial": st.fixed_dictionaries(
        {"final": _open_share(), "power": st.floats(0.5, 4.0, width=32)}
    ),
    "cosine_restarts": st.fixed_dictionaries(
        {
            "cycles": st.integers(1, 8),
            "final": _open_share(),
            "factor": st.floats(2**-10, 1.0, width=32),
        }
    ),
    "one_cycle": st.fixed_dictionaries(
        {
            "rise": st.floats(2**-5, 31 / 32, width=32),
            "start": _open_share(),
            "final": _open_share(),
        }
    ),
    "piecewise": st.fixed_dictionaries(
        {"first": st.floats(2**-5, 1.0, width=32), "warmup_start": _open_share()}
    ),
    "coslog": st.fixed_dictionaries({"warmup": _open_share(), "cycles": st.integers(1, 8)}),
    "step": st.fixed_dictionaries(
        {
            "warmup": _open_share(),
            "drops": st.integers(1, 20),
            "factor": st.floats(2**-10, 1.0, width=32),
        }
    ),
}


@st.composite
def _schedules(draw: Any) -> Any:
    name = draw(st.sampled_from(sorted(_LEAVES)))
    return _spec(name, **draw(_LEAVES[name]))


_STEPS_SHOWN = 64


def _steps_shown(total_steps: int) -> np.ndarray:
    return np.linspace(0, total_steps - 1, _STEPS_SHOWN).astype(np.int32)


_COMPILED = {
    cls: jax.jit(
        lambda knobs, steps, total, cls=cls: schedule_factor(
            with_leaves(_blank(cls), knobs), steps, total
        )
    )
    for cls in (load(entry.spec) for entry in SCHEDULES.values())
}


def _blank(cls: Any) -> Any:
    return cls(name=get_args(cls.model_fields["name"].annotation)[0])


def _knobs(spec: Any) -> dict[str, np.ndarray]:
    return {
        path: np.float32(value) for path, mark, value in marked_leaves(spec) if mark is Mark.KNOB
    }


@settings(max_examples=100, deadline=None)
@given(spec=_schedules(), total_steps=st.integers(1, 100_000))
def test_the_factor_is_a_share_of_the_rate(spec: Any, total_steps: int) -> None:
    factors = _COMPILED[type(spec)](
        _knobs(spec), _steps_shown(total_steps), np.float32(total_steps)
    )
    assert np.all(factors >= 0)
    assert np.all(factors <= 1 + 1e-6)


@settings(max_examples=20, deadline=None)
@given(spec=_schedules(), total_steps=st.integers(1, 1000))
def test_traced_numbers_give_the_same_as_concrete_ones(spec: Any, total_steps: int) -> None:
    steps = _steps_shown(total_steps)
    traced = _COMPILED[type(spec)](_knobs(spec), steps, np.float32(total_steps))
    concrete = np.asarray(schedule_factor(spec, jnp.asarray(steps), float(total_steps)))
    # Exactly at a drop, rounding may move it to the step before or after.
    assert np.mean(np.isclose(traced, concrete, rtol=1e-3, atol=1e-5)) > 0.95
