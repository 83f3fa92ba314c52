"""Masks: overlaps and calibration of pixels, the worst images and what they look at."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, jaccard_score, log_loss

from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.trained.explain.attribution import COARSE, attributed
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.model import Member, Model
from hpo.trained.predict import NewData
from tests.trained.exported.drawn import data_of, drawn


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Source]:
    """A network with drawn weights, and images of noise with masks of three classes."""
    folder = tmp_path_factory.mktemp("masks")
    net = {"name": "unet", "filters": 2, "depth": 1}
    model, source = drawn(folder, data_of(folder, "masks"), net)
    assert source is not None
    rng, weights = np.random.default_rng(0), model.members[0].weights
    # Large ones, so that answers differ; both classes are answered half of the time.
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape), weights["params"])
    weights["params"] = jax.tree.map(np.float32, params)
    chances = model.predictions(source)
    weights["params"]["head"]["bias"] += np.float32(
        [np.median(np.log(chances[..., 1] / chances[..., 0])), 0]
    )
    return model, source


def test_pixels_are_judged_as_scikit_learn_judges_them(pair: tuple[Model, Source]) -> None:
    model, source = pair
    found = explained(model, NewData(source), How(has_pictures=False))
    chances = model.predictions(source).reshape(-1, 2)
    y = source.y.ravel()
    answers = chances.argmax(1)
    assert 0 < answers.mean() < 1
    assert (found.rows, found.noun, found.judged) == (len(source), "image", "pixel")
    np.testing.assert_array_equal(found.confusion, confusion_matrix(y, answers))
    overlaps = jaccard_score(y, answers, average=None)
    np.testing.assert_allclose(found.overlaps, overlaps)
    assert found.metrics["iou"] == pytest.approx(overlaps.mean(), abs=1e-5)
    assert found.metrics["loss"] == pytest.approx(log_loss(y, chances), rel=1e-5)
    right, chance = calibration_curve(answers == y, chances.max(1), n_bins=15)
    np.testing.assert_allclose([one.accuracy for one in found.calibration], right)
    np.testing.assert_allclose([one.chance for one in found.calibration], chance)
    assert sum(one.rows for one in found.calibration) == y.size
    assert (found.importance, found.pictures) == ((), {})


def test_images_in_pieces_have_the_explanation_of_the_whole(
    pair: tuple[Model, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, source = pair
    many = NewData(source.take(np.arange(200) % len(source)))
    whole = explained(model, many, How(worst=3, has_pictures=False))
    monkeypatch.setattr("hpo.trained.predict._MOST_BYTES", 1)  # the fewest rows at once
    pieces = explained(model, many, How(worst=3, has_pictures=False))
    np.testing.assert_array_equal(pieces.confusion, whole.confusion)
    assert pieces.worst == whole.worst
    assert pieces.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert pieces.errors == pytest.approx(whole.errors)


def test_the_worst_images_have_the_largest_mean_loss_and_a_picture(
    pair: tuple[Model, Source],
) -> None:
    model, source = pair
    found = explained(model, NewData(source), How(worst=2))
    chances = model.predictions(source)
    own = np.where(source.y == 1, chances[..., 1], chances[..., 0])
    losses = -np.log(own).mean((1, 2))
    places = np.argsort(-losses)[:2]
    assert [one.row - 1 for one in found.worst] == places.tolist()
    for one, place in zip(found.worst, places, strict=True):
        assert one.loss == pytest.approx(losses[place])
        shares = {str(k): (source.y[place] == k).mean() for k in (0, 1)}
        assert dict(part.split(": ") for part in one.truth.split(", ")) == {
            name: f"{share:.0%}" for name, share in shares.items()
        }
    assert [*found.pictures] == [one.row for one in found.worst]
    for row, picture in found.pictures.items():
        image = np.broadcast_to(source.x[row - 1], (16, 16, 3))
        np.testing.assert_array_equal(picture[::8, :128:8], image)
        classes = len(np.unique(chances[row - 1].argmax(-1)))
        # The image, two masks with a line before each, and maps with two.
        assert picture.shape == (128, 8 * (16 + 2 * 17 + classes * 18), 3)
    with pytest.raises(HpoError, match="--metric: is for models of columns"):
        explained(model, NewData(source), How("auc"))


def test_few_pixels_of_a_class_are_told_as_less_than_a_percent(pair: tuple[Model, Source]) -> None:
    model, source = pair
    y = np.zeros((1, 16, 16), np.int32)
    y[0, 3, 4] = 1
    (one,) = explained(model, NewData(replace(source.take(slice(1)), y=y)), How()).worst
    assert one.truth == "0: 100%, 1: <1%"


def test_a_single_image_is_drawn_without_maps(pair: tuple[Model, Source]) -> None:
    model, source = pair
    (picture,) = explained(model, NewData(source.take(slice(1))), How()).pictures.values()
    assert picture.shape == (128, 8 * (16 + 2 * 17), 3)


def test_the_mean_image_is_found_with_few_images_in_memory(
    pair: tuple[Model, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, source = pair
    some, pixels = source.take(slice(2)), np.zeros((2, 16, 16), np.int32)
    whole = attributed(model, some, source, pixels, {}, COARSE)
    features, counts = Model.features, []

    def counted(own: Model, member: Member, rows: Source) -> np.ndarray:
        counts.append(len(rows))
        return features(own, member, rows)

    monkeypatch.setattr(Model, "features", counted)
    monkeypatch.setattr("hpo.trained.predict._MOST_BYTES", 1)  # the fewest rows at once
    pieces = attributed(model, some, source, pixels, {}, COARSE)
    assert counts == [2, *[1] * len(source)]
    assert whole is not None
    assert pieces is not None
    np.testing.assert_allclose(pieces.parts, whole.parts, atol=1e-4)


def test_the_parts_of_pixels_add_up_to_the_rise_of_the_summed_log_odds(
    pair: tuple[Model, Source],
) -> None:
    model, source = pair
    some = source.take(np.arange(2))
    pixels = np.full((2, 16, 16), -1, np.int32)
    pixels[:, 4:12, 2:9] = 1
    rough = attributed(model, some, source, pixels, {}, COARSE)
    assert rough is not None
    assert rough.gap < 1e-2 * np.abs(rough.rises).max()
    parts = attributed(model, some, source, pixels, {})
    assert parts is not None
    assert parts.parts.shape == (2, 16, 16, 1)
    assert parts.gap < 2e-3 * np.abs(parts.rises).max()
    chances = model.predictions(some)[:, 4:12, 2:9]
    answers = np.log(chances[..., 1] / chances[..., 0]).sum((1, 2))
    np.testing.assert_allclose(
        parts.rises - parts.rises[0], answers - answers[0], atol=1e-3 * np.abs(answers).max()
    )
