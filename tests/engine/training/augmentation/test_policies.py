"""Operations that are drawn for each image, against single ones and what chance allows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.batch import changed
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.policies import OPERATIONS, chosen, with_operations
from hpo.spec.sections.techniques.augment import Augment

ROWS, SHAPE = 400, (6, 7, 3)
DRAWS = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), ROWS)
IMAGES = np.random.default_rng(0).uniform(0, 255, (ROWS, *SHAPE)).astype(np.float32)
ENDS = {"black": np.zeros(3, np.float32), "white": np.full(3, 255, np.float32)}
AT_1 = {name: 6 * 0.3 if name == "shift" else each.strongest for name, each in OPERATIONS.items()}
WITHIN_CHANCE = binom(ROWS, 1 / len(OPERATIONS)).interval(1 - 1e-4)


def images(augment, draws=DRAWS):
    """Images after an augmentation."""
    return changed(augment, {"x": IMAGES}, draws, 0, ENDS)["x"]


def of_names(augment, shape=SHAPE):
    """The numbers of each operation after drawing, and the random numbers they multiply."""
    found, draws = with_operations(augment, DRAWS, shape)
    return {name: np.asarray(getattr(found, name)) for name in AT_1}, draws


@pytest.mark.long
def test_an_image_with_one_operation_is_that_of_the_operation_alone():
    numbers, draws = of_names(Augment(rand_augment=1, rand_strength=0.4))

    found = images(Augment(rand_augment=1, rand_strength=0.4))

    for name, most in AT_1.items():
        rows = numbers[name] > 0
        alone = images(Augment(**{name: 0.4 * most}), draws)
        np.testing.assert_allclose(found[rows], alone[rows], atol=1e-2)
        assert WITHIN_CHANCE[0] <= rows.sum() <= WITHIN_CHANCE[1]
        np.testing.assert_allclose(numbers[name][rows], 0.4 * most, rtol=1e-6)
        for number in OPERATIONS[name].numbers:
            sides = np.asarray(draws.symmetric(number))[rows]
            np.testing.assert_array_equal(sides, np.sign(DRAWS.symmetric(number))[rows])
            assert {*sides} == {-1.0, 1.0}
    assert not np.array_equal(found, IMAGES)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_each_row_has_as_many_operations_each_equally_often(count):
    found = np.asarray(chosen(DRAWS, 30, len(OPERATIONS), jnp.float32(count)))
    np.testing.assert_array_equal(found.sum(1), count)
    low, high = binom(ROWS, count / len(OPERATIONS)).interval(1 - 1e-4)
    assert ((low <= found.sum(0)) & (found.sum(0) <= high)).all()


def test_a_trivial_operation_has_a_uniform_strength_in_a_share_of_the_images():
    found, draws = of_names(Augment(trivial_augment=1.0))
    drawn = np.stack([found[name] / most for name, most in AT_1.items()], 1)
    np.testing.assert_allclose(drawn.sum(1), 1, rtol=1e-6)
    turned = found["rotate"] > 0
    assert WITHIN_CHANCE[0] <= turned.sum() <= WITHIN_CHANCE[1]
    np.testing.assert_array_equal(draws.symmetric(1), DRAWS.symmetric(1))

    some, _ = of_names(Augment(trivial_augment=0.3))
    low, high = binom(ROWS, 0.3).interval(1 - 1e-4)
    assert low <= (np.stack([*some.values()]) > 0).any(0).sum() <= high


def test_an_operation_that_is_not_drawn_keeps_its_own_number():
    found, _ = of_names(Augment(rand_augment=2, rotate=7.0))
    np.testing.assert_allclose(np.unique(found["rotate"]), [7.0, 9.0], rtol=1e-6)


def test_grey_images_get_no_operations_of_colours():
    found, _ = of_names(Augment(rand_augment=2), (6, 7, 1))
    assert (np.stack([*map(np.atleast_1d, (found["hue"], found["saturation"]))]) == 0).all()
    rest = [found[name] > 0 for name in AT_1 if name not in ("hue", "saturation")]
    np.testing.assert_array_equal(np.sum(rest, 0), 2)


@pytest.mark.parametrize("numbers", [(0, 0.5), (2, 0.0)])
def test_no_operations_and_no_strength_that_vary_change_no_bit(numbers):
    count, strength = map(jnp.float32, numbers)
    varying = {"rand_augment": count, "rand_strength": strength, "trivial_augment": 0 * count}

    found = jax.jit(lambda: images(Augment().model_copy(update=varying)))()
    own, draws = with_operations(Augment(rotate=7.0).model_copy(update=varying), DRAWS, SHAPE)

    np.testing.assert_array_equal(found, IMAGES)
    np.testing.assert_array_equal(own.rotate, 7.0)
    np.testing.assert_array_equal(draws.symmetric(1), DRAWS.symmetric(1))
