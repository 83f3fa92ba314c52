"""Masks: metrics against scikit-learn, and a small convolutional model that learns shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import log_softmax

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import split
from hpo.engine.training.supervised import Supervised
from hpo.engine.training.targets.sums import batch_loss, sum_count
from hpo.errors import HpoError
from tests.engine.samples import Learn, a_training, metrics_of, sums_of, weighted
from tests.own_code import own_experiment, write_net

FCN = """
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, in_channels, outputs, *, rngs):
            self.first = nnx.Conv(in_channels, 8, (3, 3), rngs=rngs)
            self.head = nnx.Conv(8, outputs, (1, 1), rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(self.first(x)))
    """


def _masks(rows: int, seed: int = 0) -> Split:
    """Images of noise with a bright and a dark square, which are the classes 1 and 2."""
    rng = np.random.default_rng(seed)
    x = 0.3 * rng.standard_normal((rows, 10, 10, 1)).astype(np.float32)
    y = np.zeros((rows, 10, 10), np.int32)
    for row, (i, j, k, m) in enumerate(rng.integers(0, 7, (rows, 4))):
        y[row, i : i + 3, j : j + 3] = 1
        y[row, k : k + 3, m : m + 3] = 2
    return Split({"x": x + np.choose(y, [0, 2, -2])[..., None].astype(np.float32), "y": y})


def _data(rows: int = 48, validation: int = 16) -> DataSet:
    return DataSet("segmentation", _masks(rows), _masks(validation, 1), None, 3, "s")


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("classes", [3, 5])
def test_the_metrics_of_masks_are_those_of_scikit_learn_over_all_pixels(
    classes: int, is_weighted: bool
) -> None:
    # With five, one class is only found and one neither found nor there.
    rng = np.random.default_rng(0)
    part = _masks(20)
    part = weighted(part) if is_weighted else part
    outputs = rng.standard_normal((20, 10, 10, classes)).astype(np.float32)
    outputs += 2 * np.eye(classes, dtype=np.float32)[part.y]
    outputs[..., 4:] = -100
    data = DataSet("segmentation", part, part, None, classes, "s")
    assert len(sums_of(data, outputs, part)) == sum_count("segmentation", classes, None)

    true, found = part.y.ravel(), outputs.argmax(-1).ravel()
    rows = part.arrays.get("weight", np.ones(20))
    pixels = np.repeat(rows, 100)
    entropies = -np.take_along_axis(log_softmax(outputs, -1), part.y[..., None], -1)
    assert metrics_of(data, outputs, part) == pytest.approx(
        {
            "loss": np.average(entropies.ravel(), weights=pixels),
            "pixel_accuracy": sklearn.metrics.accuracy_score(true, found, sample_weight=pixels),
            "iou": sklearn.metrics.jaccard_score(
                true, found, average="macro", sample_weight=pixels
            ),
        },
        rel=1e-6,
    )


def test_weights_of_pixels_and_of_rows_multiply_the_losses_of_pixels() -> None:
    part, rng = _masks(6), np.random.default_rng(2)
    outputs = rng.standard_normal((6, 10, 10, 3)).astype(np.float32)
    losses = -np.take_along_axis(log_softmax(outputs, -1), part.y[..., None], -1)[..., 0]
    for weight in (rng.random((6, 10, 10)), rng.random(6)[:, None, None]):
        given = weight.astype(np.float32).reshape(weight.shape[: 1 if weight.size == 6 else 3])
        found = batch_loss("segmentation", outputs, {**part.arrays, "weight": given}, None)
        assert float(found) == pytest.approx((losses * weight).mean(), rel=1e-6)


def test_weights_of_pixels_that_are_all_1_change_no_metric_of_an_evaluation() -> None:
    part = _masks(20)
    data = DataSet("segmentation", part, part, None, 3, "s")
    outputs = np.random.default_rng(0).standard_normal((20, 10, 10, 3)).astype(np.float32)
    even = Split({**part.arrays, "weight": np.ones((20, 10, 10), np.float32)})
    assert metrics_of(data, outputs, even) == pytest.approx(metrics_of(data, outputs, part))


def test_a_small_convolutional_model_of_the_users_own_learns_to_find_shapes(
    learn: Learn, tmp_path: Path
) -> None:
    write_net(tmp_path, FCN)
    optimizer = {"name": "adam", "learning_rate": 0.03}
    training = own_experiment(tmp_path, train={"epochs": 20}, optimizer=optimizer).training
    (curve,) = learn(_data(), [training]).values()
    assert curve[-1]["iou"] > 0.9
    assert curve[-1]["pixel_accuracy"] > 0.97


def test_a_metric_of_the_users_own_gets_the_probabilities_of_every_pixel(
    learn: Learn, tmp_path: Path
) -> None:
    write_net(tmp_path, FCN)
    (tmp_path / "metrics.py").write_text(
        "def shape(predictions, y):\n"
        "    assert predictions.shape == (16, 10, 10, 3) and y.shape == (16, 10, 10)\n"
        "    return float((predictions.argmax(-1) == y).mean())\n"
    )
    train = {"epochs": 1, "metrics": [{"python": "metrics.py:shape"}]}
    training = own_experiment(tmp_path, train=train).training
    (curve,) = learn(_data(), [training]).values()
    assert curve[0]["shape"] == pytest.approx(curve[0]["pixel_accuracy"])


def test_a_model_with_one_answer_for_an_image_is_refused(tmp_path: Path) -> None:
    program, _ = split(a_training(), _data(), "cpu")
    with pytest.raises(HpoError, match=r"'mlp' gives one answer for an example, and these data"):
        Supervised(program).shapes()
    write_net(tmp_path, FCN.replace("(nnx.relu(self.first(x)))", "(self.first(x)).mean((1, 2))"))
    program, _ = split(own_experiment(tmp_path).training, _data(), "cpu")
    with pytest.raises(HpoError, match=r"shape \[rows, 3\], and the data need \[rows, 10, 10, 3\]"):
        Supervised(program).shapes()
