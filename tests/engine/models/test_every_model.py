"""What every model keeps to: its outputs, its precision, its biases and its dropout."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.registry import MODELS, load
from hpo.spec.sections.models import parts as specs
from tests.engine.models.by_hand import ROWS, a_model
from tests.engine.samples import SMALL_MODELS


@pytest.mark.parametrize(
    "spec",
    [{"name": "mlp", "widths": [4, 3]}, {"name": "cnn", "filters": [4, 3], "dense": 5}],
    ids=lambda spec: spec["name"],
)
def test_without_bias_only_the_head_has_one(images: DataSet, spec: dict[str, Any]) -> None:
    with_bias, without = (a_model(images, **spec, bias=bias) for bias in (True, False))
    hidden = sum(spec.get("widths", ())) + sum(spec.get("filters", ())) + spec.get("dense", 0)
    assert _count(with_bias.params) - _count(without.params) == hidden
    assert "bias" in without.params["head"]
    assert np.isfinite(without.outputs(images.validation.x[:ROWS])[0]).all()


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_no_layer_before_a_batch_norm_has_a_bias(images: DataSet) -> None:
    assert "bias" not in a_model(name="mlp", norm="batch").params["linears"][0]
    assert "bias" not in a_model(images, name="cnn", norm="batch").params["convs"][0]
    assert "bias" in a_model(name="mlp", norm="layer").params["linears"][0]
    assert "bias" in a_model(images, name="cnn").params["convs"][0]


_SIZES = {**SMALL_MODELS, "resnet": {"filters": (4, 6), "blocks": 1}}
_NORMS = [
    {"name": name, **({"norm": norm} if norm else {}), **_SIZES.get(name, {})}
    for name, entry in MODELS.items()
    for norm in (get_args(specs.Norm) if "norm" in load(entry.spec).model_fields else (None,))
]


@pytest.mark.parametrize("spec", _NORMS, ids=lambda spec: f"{spec['name']}-{spec.get('norm')}")
def test_every_model_gives_finite_outputs_one_for_each_class(
    images: DataSet, spec: dict[str, Any]
) -> None:
    x = images.validation.x[:ROWS]
    exact, rough, half = (
        a_model(images, precision, **spec).outputs(x.astype(jnp.dtype(precision)), train=True)[0]
        for precision in ("float32", "bfloat16", "float16")
    )
    assert exact.shape == rough.shape == (ROWS, images.outputs)
    assert (exact.dtype, rough.dtype, half.dtype) == (jnp.float32, jnp.bfloat16, jnp.float16)
    assert np.isfinite(np.asarray(exact)).all()
    # bfloat16 keeps 8 bits; a few layers lose a few of them, relative to the largest output.
    scale = float(jnp.abs(exact).max())
    np.testing.assert_allclose(np.asarray(rough, np.float32) / scale, exact / scale, atol=0.05)
    np.testing.assert_allclose(np.asarray(half, np.float32) / scale, exact / scale, atol=0.01)


@pytest.mark.parametrize("name", ["resnet", "transformer"])
def test_rematerialised_blocks_give_the_same_gradients_and_keep_less(
    images: DataSet, name: str
) -> None:
    spec = {"name": name, **_SIZES.get(name, {})}
    x, kept, found = images.validation.x[:ROWS], [], []
    for remat in (False, True):
        model = a_model(images, **spec, remat=remat)

        def outputs(params: Any, model: Any = model) -> Any:
            return model._replace(params=params).outputs(x, train=True)

        (out, changed), pullback = jax.vjp(outputs, model.params)
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(pullback)))
        ones = jax.tree.map(jnp.ones_like, (out, changed))
        found.append((out, changed, pullback(ones)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *found)
    assert kept[1] < 0.75 * kept[0]


@pytest.mark.parametrize(
    ("spec", "dropped"),
    [
        ({"name": "mlp", "widths": [4, 3]}, [(ROWS, 4), (ROWS, 3)]),
        ({"name": "cnn", "filters": [4, 3], "dense": 5}, [(ROWS, 5)]),
    ],
)
def test_dropout_is_over_the_dense_hidden_layers(
    images: DataSet, spec: dict[str, Any], dropped: list[tuple[int, ...]]
) -> None:
    seen = []

    def dropout(x: Any, layer: int) -> Any:
        seen.append(x.shape)
        return x

    a_model(images, **spec).outputs(images.validation.x[:ROWS], True, dropout)
    assert seen == dropped
