"""Layers: activations and norms against their definitions in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.dropout import Dropout, mask_key
from hpo.engine.models.layers import ACTIVATIONS, skipped
from hpo.engine.program import split
from hpo.engine.training.task import task_of
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.spec.sections.models import parts as specs
from hpo.spec.sections.models.images import Cnn
from hpo.spec.sections.models.sequences import Transformer
from tests.documents import SMALL
from tests.engine.models.by_hand import BY_HAND, a_model, assert_close, dense, inputs, normalised
from tests.engine.samples import Learn


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_perceptron_is_that_of_numpy_with_every_activation(name: str) -> None:
    model, x = a_model(name="mlp", widths=[4, 3], activation=name), inputs(5)
    hidden = x.astype(np.float64)
    for layer in model.params["linears"].values():
        hidden = BY_HAND[name](dense(hidden, layer))
    assert_close(model.outputs(x)[0], dense(hidden, model.params["head"]))


def test_the_slope_of_leaky_relu_is_a_number_of_the_program() -> None:
    model, x = a_model(name="mlp", widths=[4], activation="leaky_relu", slope=0.3), inputs(5)
    first, head = model.params["linears"][0], model.params["head"]
    hidden = dense(x.astype(np.float64), first)
    for slope in (0.01, 0.1, 0.3):
        spec = with_leaves(model.spec, {"slope": jnp.float32(slope)})
        by_hand = dense(np.where(hidden > 0, hidden, slope * hidden), head)
        assert_close(model._replace(spec=spec).outputs(x)[0], by_hand)


def test_rows_skip_later_blocks_more_often_and_the_others_keep_the_mean() -> None:
    key, rate = mask_key(jnp.array([1, 2], jnp.uint32), jnp.int32(0)), 0.6
    spec, y = Transformer(name="transformer", stochastic_depth=rate), jnp.ones((4000, 3, 2))
    for block in range(3):
        found = np.asarray(skipped(spec, Dropout(0, key), y, block, 3))
        np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1, :1], found.shape))
        chance = rate * (block + 1) / 3
        assert (found[:, 0, 0] == 0).mean() == pytest.approx(chance, abs=0.03)
        np.testing.assert_allclose(found[found > 0], 1 / (1 - chance), rtol=1e-6)
        later = np.asarray(skipped(spec, Dropout(0, key, first_row=1000), y[:9], block, 3))
        np.testing.assert_array_equal(later, found[1000:1009])
    assert skipped(spec, Dropout(0, None), y, 2, 3) is y


@pytest.mark.parametrize("train", [False, True])
def test_a_layer_norm_is_over_the_features_of_each_example(train: bool) -> None:
    model, x = a_model(name="mlp", widths=[4, 3], norm="layer"), inputs(5)
    hidden = x.astype(np.float64)
    for layer, norm in zip(
        model.params["linears"].values(), model.params["norms"].values(), strict=True
    ):
        z = dense(hidden, layer)
        mean, var = z.mean(1, keepdims=True), z.var(1, keepdims=True)
        hidden = np.maximum(normalised(z, norm, mean, var, 1e-6), 0)
    assert_close(model.outputs(x, train)[0], dense(hidden, model.params["head"]))


@pytest.mark.parametrize("train", [False, True])
def test_a_batch_norm_is_over_the_batch_in_training_and_its_history_in_evaluation(
    train: bool,
) -> None:
    model, x = a_model(name="mlp", widths=[4], norm="batch"), inputs(5)
    norm, history = model.params["norms"][0], model.statistics["norms"][0]
    z = dense(x.astype(np.float64), model.params["linears"][0])
    mean, var = (z.mean(0), z.var(0)) if train else (history["mean"], history["var"])
    hidden = np.maximum(normalised(z, norm, mean, var, 1e-5), 0)
    outputs, statistics = model.outputs(x, train)
    assert_close(outputs, dense(hidden, model.params["head"]))

    share = 0.1 if train else 0.0  # of a batch in the running statistics
    after = statistics["norms"][0]
    assert_close(after["mean"], (1 - share) * history["mean"] + share * z.mean(0))
    assert_close(after["var"], (1 - share) * history["var"] + share * z.var(0))


def test_every_activation_is_tested_here() -> None:
    assert set(ACTIVATIONS) == set(BY_HAND) == set(get_args(specs.Activation))
    assert Cnn(name="cnn").norm in get_args(specs.Norm)


LAYERS = """
import jax
import jax.numpy as jnp

def softplus(x):
    return jax.nn.softplus(x)

def swish(x, beta=1.0):
    return x * jax.nn.sigmoid(beta * x)

def halved(x):
    return x[..., ::2]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "layers.py").write_text(LAYERS)
    return tmp_path


def an_activated(folder: Path, function: str, model: dict[str, Any], **parts: Any) -> Training:
    keys = parts.pop("keys", {})
    activation = {"python": f"layers.py:{function}", **keys}
    document = {
        **SMALL,
        "data": {"dataset": "digits", "batch_size": 16},
        "model": {**model, "activation": activation},
        "train": {"epochs": 1, **parts.pop("train", {})},
        "space": {},
    }
    return load_document({**document, **parts}, folder).training


@pytest.mark.parametrize(
    ("model", "merged"),
    [
        ({"name": "mlp", "widths": [4]}, {"widths": [[4], [8]]}),
        ({"name": "cnn", "filters": [3], "dense": 6}, "none"),
    ],
)
def test_a_copy_of_our_activation_trains_to_our_bits(
    folder: Path, learn: Learn, tiny: DataSet, images: DataSet, model: Any, merged: Any
) -> None:
    data = tiny if model["name"] == "mlp" else images
    own = an_activated(folder, "softplus", model, train={"merged": merged})
    document = own.model_dump(mode="json")
    ours = Training.model_validate(
        {**document, "model": {**document["model"], "activation": "softplus"}}
    )
    assert bool(split(own, data, "cpu")[0].merged) == (merged != "none")

    assert learn(data, [own]) == learn(data, [ours])


def test_the_numbers_of_an_activation_share_a_program_and_each_lane_trains_as_alone(
    folder: Path, learn: Learn, tiny: DataSet
) -> None:
    trainings = [
        an_activated(
            folder,
            "swish",
            {"name": "mlp", "widths": [8]},
            keys={"beta": beta},
            train={"stream": stream},
        )
        for stream, beta in enumerate((0.5, 3.0))
    ]
    assert split(trainings[0], tiny, "cpu")[0] == split(trainings[1], tiny, "cpu")[0]

    together = learn(tiny, trainings, lanes=2)

    assert together[1] == learn(tiny, trainings[1:])[1]
    assert together[0] != together[1]


def test_an_activation_that_changes_the_shape_is_refused_with_both(
    folder: Path, tiny: DataSet
) -> None:
    program = split(an_activated(folder, "halved", {"name": "mlp"}), tiny, "cpu")[0]

    with pytest.raises(HpoError, match=r"an array of shape \[7, 3\] into one of \[7, 2\]"):
        task_of(program).shapes()
