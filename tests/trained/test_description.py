"""What a model takes and gives, in JSON."""

import json

import pytest

from hpo.data.transforms.features import Features
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import HpoError
from hpo.trained.description import Description

TOLD = Description("classification", 2, ("no", "yes"), (3,), "float32", Features(), 1)


def read(folder, **parts):
    (folder / "model.json").write_text(json.dumps(TOLD.to_plain() | parts))
    return Description.read(folder)


def test_a_description_is_the_same_after_json(tmp_path):
    assert read(tmp_path) == TOLD


def test_its_data_set_has_no_rows_and_the_shapes_of_the_model():
    data = TOLD.data_of(FittedTransform())
    assert (len(data.train), data.train.example_shape, data.outputs) == (0, (3,), 2)
    assert (data.task, data.classes) == ("classification", ("no", "yes"))


def test_a_folder_of_an_earlier_version_is_told_so(tmp_path):
    with pytest.raises(HpoError, match=r"has no model\.json, so it cannot predict: give a folder"):
        Description.read(tmp_path)
    with pytest.raises(HpoError, match="nowhere: there is no such folder: give one that hpo train"):
        Description.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "parts",
    [
        {"format": 3},
        {"format": "1"},
        {"task": "cooking"},
        {"outputs": 0},
        {"outputs": 10**30},
        {"classes": "no"},
        {"classes": [1]},
        {"classes": ["no"]},
        {"classes": []},
        {"classes": ["no", "no"]},
        {"features": {"numbers": [["age", "number"], ["age", "number"]]}},
        {"features": {"texts": [["city", ["Rome", "Rome"]]]}},
        {"features": {"texts": [["city", None], ["city", None]]}},
        {"features": {"targets": ["y", "y"]}},
        {"task": "regression"},
        {"shape": []},
        {"shape": 7},
        {"shape": [1 << 30, 1 << 30]},
        {"type": "object"},
        {"fold": True},
        {"features": []},
        {"features": {"shape": "big"}},
    ],
)
def test_other_values_are_one_sentence(tmp_path, parts):
    with pytest.raises(HpoError, match=r"model\.json: cannot be read \(.*\): train the model agai"):
        read(tmp_path, **parts)
