"""A trained model, read from its folder."""

import json
import math

import pandas as pd
import pytest

import hpo
from hpo.errors import HpoError
from hpo.trained.load import TrainedModel

DOCUMENT = {
    "name": "digits",
    "metrics": {"validation": {"accuracy": 0.9, "loss": None}, "test": None},
    "epochs": 2,
    "seconds": 1.5,
    "curve": [
        {"epoch": 1, "accuracy": 0.5, "loss": 0.7},
        {"epoch": 2, "accuracy": 0.9, "loss": None},
    ],
}


def written(folder, **parts):
    """The model of a folder that holds these metrics."""
    (folder / "metrics.json").write_text(json.dumps(DOCUMENT | parts))
    return TrainedModel.read(folder)


def test_a_number_that_json_cannot_hold_is_nan_again(tmp_path):
    model = written(tmp_path)
    assert (model.name, model.epochs, model.seconds) == ("digits", 2, 1.5)
    assert model.metrics["validation"]["accuracy"] == 0.9
    assert math.isnan(model.metrics["validation"]["loss"])
    assert (model.metrics["test"], model.deviations) == (None, {})


def test_the_curve_is_a_table_by_epoch(tmp_path):
    expected = pd.DataFrame(
        {"accuracy": [0.5, 0.9], "loss": [0.7, math.nan]}, index=pd.Index([1, 2], name="epoch")
    )
    pd.testing.assert_frame_equal(written(tmp_path).curve(), expected)


def test_several_seeds_have_deviations(tmp_path):
    model = written(tmp_path, deviations={"validation": {"accuracy": 0.1}})
    assert model.deviations == {"validation": {"accuracy": 0.1}}


@pytest.mark.parametrize("text", [None, "{", "[]", "7", "{}", "[" * 100_000, "9" * 5_000])
def test_another_folder_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(HpoError, match=r"metrics\.json: cannot be read: give a folder that hpo tr"):
        TrainedModel.read(tmp_path)


@pytest.mark.parametrize(
    "parts",
    [
        {"name": 7},
        {"metrics": []},
        {"metrics": {"validation": "0.9"}},
        {"metrics": {"validation": {"accuracy": "0.9"}}},
        {"metrics": {"validation": {"accuracy": True}}},
        {"deviations": None},
        {"epochs": "2"},
        {"epochs": True},
        {"seconds": None},
        {"curve": "../mine.txt"},
        {"curve": [[]]},
        {"curve": []},
        {"curve": [{"epoch": None}]},
        {"curve": [{"epoch": 10**400}]},
        {"curve": [{"loss": 0.5}]},
    ],
)
def test_metrics_of_another_kind_are_refused(tmp_path, parts):
    with pytest.raises(HpoError, match=r"metrics\.json: cannot be read: give a folder that hpo tr"):
        written(tmp_path, **parts).curve()


def test_a_loaded_model_answers_for_a_data_frame_as_for_its_file(churn):
    model, table = hpo.load(churn / "model"), pd.read_csv(churn / "table.csv")
    found = model.predict(churn / "table.csv")
    pd.testing.assert_frame_equal(model.predict(table[::-1]), found[::-1].reset_index(drop=True))
    assert model.score(table)["accuracy"] == (found["churn"] == table["churn"]).mean()
    with pytest.warns(UserWarning, match="column 'city': 1 row with a category that no training"):
        model.predict(table.head(1).assign(city="Paris"))
