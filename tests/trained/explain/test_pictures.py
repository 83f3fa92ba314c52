"""Pictures of what a model looks at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.explain.pictures import beside, class_colours, masks_beside, write_picture
from hpo.trained.explain.rows import rows_to_explain
from hpo.trained.explain.write import write_explanation
from hpo.trained.model import load_model
from tests.study.whole import Studies
from tests.trained.tables import an_experiment


def test_the_largest_part_is_black_and_none_is_white(tmp_path: Path) -> None:
    image = np.full((2, 2, 1), 7, np.uint8)
    parts = np.array([[[0.0], [-4.0]], [[2.0], [0.0]]])
    found = beside(image, parts)
    assert found.shape == (128, 256, 1)
    assert found[::64, ::64, 0].tolist() == [[7, 7, 255, 0], [7, 7, 128, 255]]
    write_picture(tmp_path / "one.png", found)
    with Image.open(tmp_path / "one.png") as read:
        np.testing.assert_array_equal(np.asarray(read), found[..., 0])


def test_an_image_stands_beside_its_masks_and_its_maps() -> None:
    image = np.array([[0.5, 1.5], [2.5, 1.0]])[..., None]
    truth, answer = np.array([[0, 1], [1, 0]]), np.array([[0, 0], [2, 0]])
    parts = np.array([[[0.0], [-4.0]], [[2.0], [0.0]]])
    found = masks_beside(image, truth, answer, {2: parts})[::64, ::64]
    colours, white = class_colours(3), [255, 255, 255]
    assert found.shape == (2, 12, 3)
    assert found[0, :2].tolist() == [[0] * 3, [128] * 3]
    assert found[1, :2].tolist() == [[255] * 3, [64] * 3]
    for row in (0, 1):
        assert found[row, 2].tolist() == found[row, 5].tolist() == found[row, 8].tolist() == white
        assert found[row, 3:5].tolist() == colours[truth[row]].tolist()
        assert found[row, 6:8].tolist() == colours[answer[row]].tolist()
        assert found[row, 9].tolist() == colours[2].tolist()
    assert found[:, 10:, 0].tolist() == [[255, 0], [128, 255]]


def test_many_classes_have_a_colour_each() -> None:
    assert len({tuple(one) for one in class_colours(40).tolist()}) == 40


def test_the_worst_images_have_a_picture_each(studies: Studies, tmp_path: Path) -> None:
    spec = an_experiment(tmp_path, data={"dataset": "digits", "image_size": 5})
    studies.train(spec, tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    new = rows_to_explain(model, None, (tmp_path,), None)
    found = explained(model, new, How(worst=3))
    assert (found.importance, found.attribution) == ((), None)
    assert [*found.pictures] == [one.row for one in found.worst]
    write_explanation(tmp_path / "why", found, {})
    for row in found.pictures:
        with Image.open(tmp_path / "why" / "pictures" / f"row-{row}.png") as read:
            left = np.asarray(read)[::16, :128:16]
        np.testing.assert_array_equal(left, new.source.x[row - 1, :, :, 0])
    assert json.loads((tmp_path / "why" / "explanation.json").read_text()) == {}
