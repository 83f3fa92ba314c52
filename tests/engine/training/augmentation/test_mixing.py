"""Rows mixed with others of their batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.mixing import (
    beta_share,
    box,
    mixed,
    partners,
    with_kin,
    with_swaps,
)
from hpo.engine.training.targets.sums import batch_loss, row_losses
from hpo.spec.sections.techniques.augment import Augment


def draws_of(rows, step=0):
    return Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(step)), rows)


def test_swapped_numbers_are_those_of_one_other_row_in_the_same_column():
    x = np.arange(2000 * 4, dtype=np.float32).reshape(2000, 4)

    swapped = np.asarray(with_swaps(x, 0.25, draws_of(2000)))

    is_swapped = swapped != x
    assert abs(is_swapped.mean() - 0.25) < 0.02
    steps = (swapped - x)[is_swapped] // 4 % 2000
    assert len(np.unique(steps)) == 1
    np.testing.assert_array_equal(swapped % 4, x % 4)


def test_partners_are_other_rows_of_the_same_class_in_every_draw():
    y = np.array([0, 1, 0, 2, 1, 0, 1, 0])
    found = np.array([partners(y, draws_of(8, step)) for step in range(50)])

    np.testing.assert_array_equal(y[found], np.broadcast_to(y, found.shape))
    assert (found[:, 3] == 3).all()  # the only row of its class
    others = [row for row in range(8) if row != 3]
    assert (found[:, others] != others).all()
    assert {*found[:, 0]} == {2, 5, 7}


def test_a_share_of_the_rows_lies_between_itself_and_its_partner():
    x = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    y = np.arange(3000) % 3

    mixed = np.asarray(with_kin(x, y, 0.4, draws_of(3000)))

    step, way = mixed - x, x[np.asarray(partners(y, draws_of(3000)))] - x
    weight = (step * way).sum(1) / (way * way).sum(1)
    np.testing.assert_allclose(mixed, x + weight[:, None] * way, atol=1e-4)
    assert abs((step.any(axis=1)).mean() - 0.4) < 0.03
    assert abs(weight[weight > 0].mean() - 0.5) < 0.03
    assert (weight < 1.001).all()


def test_codes_of_categories_are_never_between_two():
    x = np.random.default_rng(0).integers(0, 9, (200, 3)).astype(np.float32)
    y = np.zeros(200)

    kin = np.asarray(with_kin(x, y, 1.0, draws_of(200), codes=2))
    pairs = np.asarray(mixed({"x": x, "y": y}, Augment(mixup=1.0), draws_of(200), 2)["x"])

    for found in (kin, pairs):
        np.testing.assert_array_equal(found[:, :2], np.round(found[:, :2]))
        assert (found[:, 2] != np.round(found[:, 2])).any()


@pytest.mark.long
@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_have_the_beta_distribution_of_scipy(alpha):
    uniform = (np.arange(2000, dtype=np.float32) + 0.5) / 2000
    found = np.asarray(jax.vmap(lambda u: beta_share(jnp.float32(alpha), u))(uniform), float)

    # Near 0, where float32 holds small shares; the other half mirrors it.
    lower = found[:1000]
    seen = lower > 1e-30
    np.testing.assert_allclose(
        stats.beta.cdf(lower, alpha, alpha)[seen], uniform[:1000][seen], atol=1e-4
    )
    np.testing.assert_allclose(found[1000:], 1 - lower[::-1], atol=1e-6)
    drawn = np.array([draws_of(1, step).uniform(24)[0] for step in range(300)])
    shares = np.asarray(jax.vmap(lambda u: beta_share(jnp.float32(alpha), u))(drawn), float)
    smaller = np.minimum(shares, 1 - shares)
    if alpha >= 1:  # smaller ones round 1 - share
        assert stats.kstest(smaller, lambda s: 2 * stats.beta.cdf(s, alpha, alpha)).pvalue > 0.01


def test_a_box_is_that_of_the_paper():
    for share, row, column in ((0.3, 0.5, 0.5), (0.7, 0.05, 0.9), (0.0, 0.3, 0.3), (1.0, 0.5, 0.5)):
        height, width = int(8 * np.sqrt(share)), int(11 * np.sqrt(share))
        theirs, at = np.zeros((8, 11), bool), (int(8 * row), int(11 * column))
        rows = slice(max(at[0] - height // 2, 0), at[0] + height // 2)
        theirs[rows, max(at[1] - width // 2, 0) : at[1] + width // 2] = True
        np.testing.assert_array_equal(box(np.sqrt(share), (row, column), 8, 11), theirs)


@pytest.mark.parametrize(
    "numbers", [{"mixup": 0.7}, {"cutmix": 0.9}, {"mixup": 0.7, "cutmix": 0.9}]
)
def test_examples_and_losses_are_mixed_as_in_the_papers(numbers):
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, (6, 8, 8, 3)).astype(np.float32)
    batch = {"x": x, "y": np.arange(6) % 3, "weight": rng.uniform(0, 2, 6).astype(np.float32)}

    found = mixed(batch, Augment(**numbers), draws_of(6), codes=0)

    steps = int(1 + np.floor(float(draws_of(6).uniform(13)[0]) * 5))
    places = (np.arange(6) + steps) % 6
    share, theirs = 0.0, x
    if "mixup" in numbers:
        share = float(beta_share(0.7, draws_of(6).uniform(24)[0]))
        theirs = (1 - share) * x + share * x[places]
    if "cutmix" in numbers:
        is_pasted = (np.asarray(found["x"]) == x[places]).all((0, 3))
        theirs = np.where(is_pasted[..., None], x[places], theirs)
        share = share + (1 - share) * is_pasted.mean()
        assert 0 < is_pasted.mean() < 1
    np.testing.assert_allclose(found["x"], theirs, atol=1e-6)
    np.testing.assert_allclose(found["share"], share, atol=1e-6)
    outputs = rng.standard_normal((6, 3)).astype(np.float32)
    y, weight = batch["y"], batch["weight"]
    losses, others = (
        np.asarray(optax.softmax_cross_entropy_with_integer_labels(outputs, labels))
        for labels in (y, y[places])
    )
    mean = ((1 - share) * weight * losses + share * weight[places] * others).mean()
    np.testing.assert_allclose(batch_loss("classification", outputs, found, None), mean, rtol=1e-5)
    rows = row_losses("classification", outputs, found, None)
    np.testing.assert_allclose(rows, (1 - share) * losses + share * others, rtol=1e-5)


def test_numbers_of_0_that_vary_mix_nothing():
    x = np.random.default_rng(0).normal(size=(6, 5, 5, 1)).astype(np.float32)
    zeros = Augment().model_copy(update={"mixup": jnp.float32(0), "cutmix": jnp.float32(0)})

    found = jax.jit(lambda x: mixed({"x": x, "y": jnp.arange(6)}, zeros, draws_of(6), 0))(x)

    np.testing.assert_array_equal(found["x"], x)
    assert found["share"] == 0
