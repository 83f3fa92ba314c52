"""First weights from a trained model."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.pretrained import Start, started
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves
from tests.engine.samples import a_merged, a_training, tiny_data

_SHAPES = {"linears/0/kernel": (5, 8), "linears/0/bias": (8,)}
LEARNED = {"name": "learned", "bits": 4}
_HEAD = {"head/kernel": (8, 3), "head/bias": (3,)}


def _arrays(shapes: dict[str, tuple[int, ...]], group: str = "params") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {f"{group}/{name}": rng.standard_normal(shape) for name, shape in shapes.items()}


def _started(training: Training, arrays: Any, *, keeps_head: bool = True) -> Training:
    start = Start("model.from: 'base'", {"": arrays}, keeps_head)
    return with_leaves(training, {"model.from": start})


def _first(training: Training, data: DataSet | None = None) -> dict[str, np.ndarray]:
    """The first weights of a trial, by their paths."""
    program, _ = split(training, data or tiny_data(), "cpu")
    params, variables = own_weights(program, training, initial_lane(program, training))
    leaves, _ = jax.tree_util.tree_flatten_with_path({"params": params, "variables": variables})
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in leaves}


@pytest.mark.parametrize("merged", [{}, {"widths": [[8], [4, 16]]}], ids=["alone", "merged"])
def test_a_trial_starts_from_the_trained_weights(merged: dict[str, Any]) -> None:
    arrays = _arrays({**_SHAPES, **_HEAD})
    model = {"name": "mlp", "widths": [8]}
    found = _first(_started(a_merged(3, merged, model=model), arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.astype(np.float32))


def test_running_statistics_come_with_the_weights() -> None:
    norms = {"norms/0/scale": (8,), "norms/0/bias": (8,)}
    kernels = {name: shape for name, shape in {**_SHAPES, **_HEAD}.items() if "s/0/b" not in name}
    statistics = _arrays({"norms/0/mean": (8,), "norms/0/var": (8,)}, "variables")
    training = a_training(model={"name": "mlp", "widths": [8], "norm": "batch"})
    found = _first(_started(training, {**_arrays({**kernels, **norms}), **statistics}))
    np.testing.assert_array_equal(
        found["variables/norms/0/var"], statistics["variables/norms/0/var"].astype(np.float32)
    )


def test_a_model_of_few_bits_starts_from_one_of_float32_and_the_other_way_round() -> None:
    small = {"activations": {"bits": 4}, "weights": {"name": "learned", "bits": 8}}
    plain = a_training(model__widths=[8])
    rounded = a_training(model__widths=[8], compression=small)
    arrays = _arrays({**_SHAPES, **_HEAD})
    found = _first(_started(rounded, arrays))
    for name in ("params/linears/0/bias", "params/head/bias"):
        np.testing.assert_array_equal(found[name], arrays[name].astype(np.float32))
    ranges = [name for name in found if name.startswith("variables/")]
    assert len(ranges) == 4  # two ends of two layers
    assert not any(found[name].any() for name in ranges)

    trained = {**found, ranges[0]: np.float32(-2.0)}
    again = _first(_started(rounded, trained))
    assert again[ranges[0]] == -2
    assert again.keys() == found.keys()
    back = _first(_started(plain, trained))
    assert back.keys() == arrays.keys()
    # A step that was trained is no range.
    steps = a_training(model__widths=[8], compression={"activations": LEARNED})
    stepped = _first(_started(steps, trained))
    assert not any(array.any() for name, array in stepped.items() if name.startswith("variables/"))
    name = "variables/head/dot_general/step"
    assert _first(_started(steps, {**stepped, name: np.float32(0.5)}))[name] == 0.5
    assert _first(_started(rounded, stepped)).keys() == found.keys()
    assert _first(_started(plain, stepped)).keys() == arrays.keys()
    np.testing.assert_array_equal(back["params/head/kernel"], found["params/head/kernel"])


@pytest.mark.parametrize("rank", [2, 5, 7])
def test_layers_of_low_rank_start_from_the_closest_product_to_the_trained_ones(rank: int) -> None:
    arrays = _arrays({**_SHAPES, **_HEAD})
    found = _first(_started(a_training(model__widths=[8], model__rank=rank), arrays))
    kernel = arrays["params/linears/0/kernel"]
    u, values, v = np.linalg.svd(kernel, full_matrices=False)
    closest = u[:, :rank] @ np.diag(values[:rank]) @ v[:rank]
    left, right = (found[f"params/linears/0/{side}/kernel"] for side in ("left", "right"))
    assert (left.shape, right.shape) == ((5, rank), (rank, 8))
    np.testing.assert_allclose(left @ right, closest, atol=1e-5)
    bias = arrays["params/linears/0/bias"].astype(np.float32)
    np.testing.assert_array_equal(found["params/linears/0/right/bias"], bias)

    # From one rank to another, too; and the same arrays where it has that rank.
    other = _first(_started(a_training(model__widths=[8], model__rank=1), found))
    first = values[0] * np.outer(u[:, 0], v[0])
    product = other["params/linears/0/left/kernel"] @ other["params/linears/0/right/kernel"]
    np.testing.assert_allclose(product, first, atol=1e-5)
    again = _first(_started(a_training(model__widths=[8], model__rank=rank), found))
    np.testing.assert_array_equal(again["params/linears/0/left/kernel"], left)


def test_convolutions_of_low_rank_start_from_the_closest_product_and_whole_ones_from_it(
    images: DataSet,
) -> None:
    model = {"name": "cnn", "filters": [4, 8], "dense": 3}
    shapes = {"convs/0/kernel": (3, 3, 1, 4), "convs/1/kernel": (3, 3, 4, 8)}
    shapes |= {"dense/kernel": (32, 3), "head/kernel": (3, 3), "convs/0/bias": (4,)}
    shapes |= {"convs/1/bias": (8,), "dense/bias": (3,), "head/bias": (3,)}
    arrays = _arrays(shapes)
    found = _first(_started(a_training(model={**model, "rank": 2}), arrays), images)
    for name in ("convs/0", "convs/1", "dense"):
        kernel = arrays[f"params/{name}/kernel"]
        u, values, v = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
        left, right = (found[f"params/{name}/{side}/kernel"] for side in ("left", "right"))
        assert left.shape == (*kernel.shape[:-1], 2)
        product = left.reshape(-1, 2) @ right.reshape(2, -1)
        np.testing.assert_allclose(product, u[:, :2] @ np.diag(values[:2]) @ v[:2], atol=1e-5)
        bias = arrays[f"params/{name}/bias"].astype(np.float32)
        np.testing.assert_array_equal(found[f"params/{name}/right/bias"], bias)

    # A layer that is whole here starts from the product: each without a rank, and with 3 the first
    # convolution, which would have 39 weights instead of 36.
    for rank in (None, 3):
        again = _first(_started(a_training(model={**model, "rank": rank}), found), images)
        assert ("params/dense/kernel" in again) == (rank is None)
        left, right = (found[f"params/convs/0/{side}/kernel"] for side in ("left", "right"))
        product = left.reshape(-1, 2) @ right.reshape(2, -1)
        np.testing.assert_allclose(again["params/convs/0/kernel"].reshape(9, 4), product, atol=1e-5)
        bias = found["params/convs/0/right/bias"]
        np.testing.assert_array_equal(again["params/convs/0/bias"], bias)


def test_a_kernel_of_another_window_is_a_product_too_and_does_not_fit_the_old_one(
    images: DataSet,
) -> None:
    model = {"name": "cnn", "filters": [4], "dense": [], "rank": 1}
    arrays = _arrays({"convs/0/kernel": (5, 5, 1, 4), "convs/0/bias": (4,)})
    arrays |= _arrays({"head/kernel": (64, 3), "head/bias": (3,)})
    wide = a_training(model={**model, "kernel": 5})
    found = _first(_started(wide, arrays), images)
    kernel = arrays["params/convs/0/kernel"]
    u, values, v = np.linalg.svd(kernel.reshape(25, 4), full_matrices=False)
    left, right = (found[f"params/convs/0/{side}/kernel"] for side in ("left", "right"))
    assert (left.shape, right.shape) == ((5, 5, 1, 1), (1, 1, 1, 4))
    product = left.reshape(25, 1) @ right.reshape(1, 4)
    np.testing.assert_allclose(product, values[0] * np.outer(u[:, 0], v[0]), atol=1e-5)

    # Its sizes are told as they are there: of the layer, or of the first of two arrays.
    narrow = a_training(model={**model, "kernel": 3})
    whole = r"convs/0/kernel has the shape \[5, 5, 1, 4\] there and \[3, 3, 1, 4\] in this model"
    with pytest.raises(HpoError, match=whole):
        _first(_started(narrow, arrays), images)
    of_two = r"convs/0/left/kernel has the shape \[5, 5, 1, 1\] there and \[3, 3, 1, 1\] in this"
    with pytest.raises(HpoError, match=of_two):
        _first(_started(narrow, found), images)
    plain = a_training(model={**model, "kernel": 3, "rank": None})
    with pytest.raises(HpoError, match=whole):
        _first(_started(plain, found), images)


@pytest.mark.parametrize(
    ("head", "keeps_head"), [({"head/kernel": (8, 7), "head/bias": (7,)}, True), (_HEAD, False)]
)
def test_the_head_is_new_where_the_classes_differ(
    head: dict[str, tuple[int, ...]], keeps_head: bool
) -> None:
    training, arrays = a_training(3, model__widths=[8]), _arrays({**_SHAPES, **head})
    drawn, found = _first(training), _first(_started(training, arrays, keeps_head=keeps_head))
    for name in ("params/head/kernel", "params/head/bias"):
        np.testing.assert_array_equal(found[name], drawn[name])
    kernel = arrays["params/linears/0/kernel"].astype(np.float32)
    np.testing.assert_array_equal(found["params/linears/0/kernel"], kernel)


def test_a_run_starts_from_that_of_its_own_fold_and_seed() -> None:
    def taken(*names: str, seed: int, fold: int) -> str:
        start = Start("model.from: 'base'", {name: {name: np.zeros(1)} for name in names}, True)
        (found,) = start.arrays_of(seed, fold)
        return found

    assert taken("", seed=3, fold=2) == ""
    assert taken("fold-0", "fold-1", seed=3, fold=1) == "fold-1"
    assert taken("seed-3", "seed-4", seed=4, fold=0) == "seed-4"
    every = [f"seed-{seed}-fold-{fold}" for seed in (3, 4) for fold in (0, 1)]
    assert taken(*every, seed=4, fold=1) == "seed-4-fold-1"
    message = (
        "model.from: 'base' holds the weights of several runs (seed-3, seed-4), and none is of "
        "seed 5: give these seeds, or a folder of one run."
    )
    with pytest.raises(HpoError, match=f"^{re.escape(message)}$"):
        taken("seed-3", "seed-4", seed=5, fold=0)


def test_the_last_layer_of_an_own_model_is_new_whatever_its_name() -> None:
    drawn = {"params": {"last": {"kernel": np.zeros((4, 3))}}}
    arrays = _arrays({"last/kernel": (4, 5)})
    start = Start("model.from: 'base'", {"": arrays}, keeps_head=True)
    assert started(start, arrays, drawn, outputs=3)["params"]["last"]["kernel"].shape == (4, 3)
    with pytest.raises(HpoError, match=r"has the shape \[4, 5\] there and \[4, 3\]"):
        started(start, arrays, drawn, outputs=7)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {**_SHAPES, "linears/0/kernel": (6, 8), **_HEAD},
            "model.from: 'base': linears/0/kernel has the shape [6, 8] there and [5, 8] in this "
            "model: name a folder of the same model, with the same sizes.",
        ),
        (
            {**_SHAPES, "linears/1/bias": (8,), **_HEAD},
            "model.from: 'base': that has linears/1/bias of the shape [8], and this model has "
            "none: name a folder of the same model, with the same layers.",
        ),
        (
            _HEAD,
            "model.from: 'base': this model has linears/0/bias of the shape [8], and that has "
            "none: name a folder of the same model, with the same layers.",
        ),
        (
            {**_SHAPES, "head/kernel": (9, 3), "head/bias": (3,)},
            "model.from: 'base': head/kernel has the shape [9, 3] there and [8, 3] in this model: "
            "name a folder of the same model, with the same sizes.",
        ),
    ],
    ids=["size", "more", "fewer", "head"],
)
def test_another_model_is_refused_with_both_shapes(
    shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(HpoError, match=f"^{re.escape(message)}$"):
        _first(_started(a_training(), _arrays(shapes)))


def test_a_head_alone_is_scikit_learns_logistic_regression_on_the_features(
    compiler: Compiler, tiny: DataSet
) -> None:
    decay, arrays = 0.05, _arrays({**_SHAPES, **_HEAD})
    training = a_training(
        model={"name": "mlp", "widths": [8]},
        data__batch_size=96,
        optimizer={"name": "sgd", "learning_rate": 0.2, "momentum": 0.9, "weight_decay": decay},
        updates={"freeze": ["linears"]},
        train={"epochs": 2000},
    )
    training = _started(training, arrays)
    program, knobs = split(training, tiny, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), tiny)
    pool.put(0, 0, training, knobs, None, training.train.epochs)
    while pool.has_work:
        pool.round()
    params, _ = own_weights(program, training, pool.take(0))

    kernel, bias = (arrays[f"params/linears/0/{n}"].astype(np.float32) for n in ("kernel", "bias"))
    np.testing.assert_array_equal(params["linears"][0]["kernel"], kernel)
    features = np.maximum(tiny.train.x @ kernel + bias, 0)
    # Our decay applies to the bias too. In scikit-learn, that is the weight of a constant feature.
    x = np.hstack([features, np.ones((96, 1))])
    model = LogisticRegression(C=1 / (96 * decay), fit_intercept=False, tol=1e-8, max_iter=10_000)
    model.fit(x, tiny.train.y)
    ours = np.vstack([params["head"]["kernel"], params["head"]["bias"]])
    np.testing.assert_allclose(ours, model.coef_.T, atol=1e-3)
