"""Trained steps of what layers read: the paper's equations in NumPy, for all bits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.models.activations.learned import ends, first_step, in_steps

RNG = np.random.default_rng(0)
# Of four rows with three positions each, seven features.
SIGNED = RNG.standard_normal((4, 3, 7)).astype(np.float32)
SEEN = RNG.standard_normal(SIGNED.shape).astype(np.float32)


def _paper(x: np.ndarray, step: float, below: int, most: int) -> tuple[np.ndarray, ...]:
    """Esser et al. 2020 in float64: Equations 1 and 2, 5, and 3 with the scale of Section 2.2."""
    levels = x.astype(np.float64) / step
    rounded = np.rint(np.clip(levels, -below, most)) * step
    is_inside = (levels > -below) & (levels < most)
    slope = np.where(is_inside, np.rint(levels) - levels, np.where(levels <= -below, -below, most))
    return rounded, SEEN * is_inside, (SEEN * slope).sum() / np.sqrt(x[0].size * most)


@pytest.mark.parametrize("is_signed", [True, False])
def test_levels_and_gradients_are_those_of_the_paper_in_one_program(is_signed: bool) -> None:
    x = SIGNED if is_signed else np.maximum(SIGNED, 0)

    @jax.jit
    def both(x: Any, step: Any, bits: Any, is_signed: Any) -> Any:
        found, back = jax.vjp(lambda x, step: in_steps(x, step, bits, is_signed, 21), x, step)
        return found, *back(SEEN)

    for bits in range(2, 9):
        below, most = (2 ** (bits - 1), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
        assert ends(bits, is_signed) == (below, most)
        step = np.float32(2 * np.abs(x).mean() / np.sqrt(most))
        found, at_x, at_step = both(x, step, jnp.float32(bits), is_signed)
        expected = _paper(x, float(step), below, most)
        np.testing.assert_allclose(found, expected[0], rtol=1e-6)
        np.testing.assert_array_equal(at_x, expected[1].astype(np.float32))
        assert at_step == pytest.approx(expected[2], rel=1e-4, abs=1e-5)
    assert both._cache_size() == 1


def test_the_first_step_is_that_of_the_paper_and_the_same_beside_padding() -> None:
    for bits in range(2, 9):
        by_hand = 2 * np.abs(SIGNED).mean() / np.sqrt(2 ** (bits - 1) - 1)
        found = first_step(jnp.asarray(SIGNED), bits, True, 21)
        assert found == pytest.approx(by_hand, rel=2**-12)
        wide = jnp.pad(SIGNED, [(0, 0), (0, 0), (0, 4)])
        assert first_step(wide, jnp.float32(bits), True, 21) == found
    assert first_step(jnp.zeros((2, 3)), 4, False, 3) == 0


def test_numbers_between_the_levels_of_relu_reach_the_largest_one() -> None:
    x = jnp.array([[0.0, 0.24, 0.26, 1.6, 9.0, -3.0]])
    np.testing.assert_array_equal(
        in_steps(x, jnp.float32(0.5), 2, False, 6), [[0, 0, 0.5, 1.5, 1.5, 0]]
    )
    np.testing.assert_array_equal(
        in_steps(x, jnp.float32(0.5), 2, True, 6), [[0, 0, 0.5, 0.5, 0.5, -1]]
    )
