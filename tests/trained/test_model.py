"""A trained model in memory, compared with scikit-learn and with its own training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hpo
from hpo.data.load import load_data
from hpo.engine.programs.footprint import known_costs
from hpo.engine.training.compression.packing import leaves
from hpo.engine.training.ensemble import metrics_of
from hpo.errors import HpoError
from hpo.spec.marks import with_leaves
from hpo.trained.model import Model, load_model
from hpo.trained.packed import PACKED_FILE
from hpo.trained.predict import read_new
from hpo.trained.weights import read_weights, weight_bytes
from tests.checkout import ROOT
from tests.study.whole import Studies
from tests.trained.damage import damages
from tests.trained.exported.drawn import data_of, drawn
from tests.trained.tables import an_experiment, rows_of, trained, write_rows, write_table


@pytest.fixture(scope="module")
def model(churn: Path) -> Model:
    return load_model(churn / "model", "cpu")


def chances(model: Model, table: Path) -> np.ndarray:
    return model.predictions(read_new(model, table).source)


def test_a_linear_model_answers_as_scikit_learn_does_from_the_same_rows(
    churn: Path, model: Model
) -> None:
    table = pd.read_csv(churn / "table.csv", parse_dates=["when"])
    table["member"] = table["member"].astype(float)
    for part in ("day_of_year", "year", "month", "day", "day_of_week"):
        table[part] = getattr(table["when"].dt, part)
    numbers = ["age", "income", "member", "day_of_year", "year", "month", "day", "day_of_week"]
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    encoder = make_column_transformer((scaled, numbers), (words, ["city"]))
    encoder.fit(table.iloc[np.sort(rows_of(an_experiment(churn), "train"))])
    weights = read_weights(churn / "model", "model").runs[""]
    kernel, bias = weights["params/head/kernel"], weights["params/head/bias"]
    odds = np.exp(encoder.transform(table) @ kernel + bias)
    expected = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(chances(model, churn / "table.csv"), expected, atol=2e-6)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_score_on_the_rows_of_a_split_is_the_stored_metric_to_the_bit(
    churn: Path, model: Model, tmp_path: Path, split: str
) -> None:
    rows = rows_of(an_experiment(churn), split)
    file = write_rows(churn / "table.csv", rows, tmp_path / "rows.csv")
    stored = json.loads((churn / "model" / "metrics.json").read_text())["metrics"][split]
    assert model.score(read_new(model, file, with_target=True).source) == stored


def test_a_model_of_few_bits_and_units_answers_from_its_folder_as_it_was_judged(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    folder = trained(studies, tmp_path, compression={"activations": {"bits": 3, "top": 0.5}})
    model, file = load_model(folder, "cpu"), tmp_path / "rows.csv"
    rows = rows_of(an_experiment(tmp_path), "validation")
    source = read_new(
        model, write_rows(tmp_path / "table.csv", rows, file), with_target=True
    ).source
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["validation"]
    assert model.score(source) == stored
    ranges = jax.tree.leaves(model.members[0].weights["variables"])
    assert len(ranges) == 4
    for leaf, value in (("bits", 8), ("top", 1.0)):
        other = with_leaves(model.training, {f"compression.activations.{leaf}": value})
        assert replace(model, training=other).score(source) != stored


def test_a_model_with_trained_steps_answers_from_its_folder_as_it_was_judged(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    small = {"activations": {"name": "learned", "bits": 3}, "weights": {"name": "learned"}}
    folder = trained(studies, tmp_path, compression=small)
    model = load_model(folder, "cpu")
    rows = rows_of(an_experiment(tmp_path), "validation")
    file = write_rows(tmp_path / "table.csv", rows, tmp_path / "rows.csv")
    source = read_new(model, file, with_target=True).source
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["validation"]
    assert model.score(source) == stored
    # It holds a step, the least number read and the bits for each layer, and is packed.
    arrays = dict(leaves(model.members[0].weights))
    steps = [float(array) for name, array in arrays.items() if name.endswith("/step")]
    assert len(steps) == 2
    assert min(steps) > 1e-3
    assert not any("inputs" in name for name in arrays)
    assert (folder / "weights" / PACKED_FILE).is_file()
    own = an_experiment(tmp_path, compression=small)
    data = load_data(own.training.data, tmp_path, None)
    costs = known_costs(own.training, data, "cpu", ("model_bytes",))
    assert costs["model_bytes"] == weight_bytes(folder)
    other = with_leaves(model.training, {"compression.activations.bits": 8})
    assert replace(model, training=other).score(source) != stored


def test_the_score_on_other_rows_is_that_of_the_answers(
    churn: Path, model: Model, tmp_path: Path
) -> None:
    file = write_rows(churn / "table.csv", np.arange(7), tmp_path / "rows.csv")
    found = model.score(read_new(model, file, with_target=True).source)
    own = chances(model, file)
    labels = [line.rpartition(",")[2] == "yes" for line in file.read_text().splitlines()[1:]]
    hits = np.take_along_axis(own, np.array(labels, int)[:, None], axis=1)
    assert found["loss"] == pytest.approx(-np.log(hits).mean(), abs=1e-5)
    assert found["accuracy"] == pytest.approx((hits > 0.5).mean())


def test_rows_that_are_judged_in_pieces_have_the_metrics_of_the_whole_to_the_bit(
    churn: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = read_new(model, churn / "table.csv", with_target=True).source
    source = own.take(np.resize(np.arange(len(own)), 1700))  # of four parts, the last not full
    whole = model.score(source)
    monkeypatch.setattr("hpo.engine.training.ensemble._BYTES_AT_ONCE", 1)
    assert model.score(source) == whole


def test_no_answer_depends_on_the_other_rows(churn: Path, model: Model, tmp_path: Path) -> None:
    some = np.array([40, 3, 7])
    file = write_rows(churn / "table.csv", some, tmp_path / "rows.csv")
    np.testing.assert_array_equal(chances(model, file), chances(model, churn / "table.csv")[some])


def test_members_of_folds_answer_together_as_their_training_scored_them(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    folder = trained(studies, tmp_path, "data.folds=2")
    model = load_model(folder, "cpu")
    assert len(model.members) == 2
    spec = an_experiment(tmp_path, "data.folds=2")
    file = write_rows(tmp_path / "table.csv", rows_of(spec, "test"), tmp_path / "rows.csv")
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["test"]
    assert model.score(read_new(model, file, with_target=True).source) == stored


def test_a_regression_answers_in_the_unit_of_its_target(studies: Studies, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", target="score")
    folder = trained(studies, tmp_path, "train.epochs=30")
    model = load_model(folder, "cpu")
    table = pd.read_csv(tmp_path / "table.csv")
    values = chances(model, tmp_path / "table.csv")[:, 0]
    score = model.score(read_new(model, tmp_path / "table.csv", with_target=True).source)
    errors = values - table["churn"]
    assert score["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    assert score["rmse"] < table["churn"].std()


def test_images_are_judged_without_features_unless_a_loss_of_ones_own_may_read_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.py").write_text(
        "def brightness(outputs, batch):\n    return batch['x'].mean((1, 2, 3))\n"
    )
    data, net = data_of(tmp_path, "colours"), {"name": "mlp", "widths": []}
    model, source = drawn(tmp_path, data, net)
    assert source is not None
    assert {*model.judged(source).arrays} == {"y"}
    own, _ = drawn(tmp_path, data, net, loss={"python": "own.py:brightness"})
    found, split = own.predictions(source), own.judged(source)
    metrics = metrics_of(found, own.training, own.data, split)
    features = own.features(own.members[0], source)
    assert metrics["loss"] == pytest.approx(features.mean(), rel=1e-5)


def test_a_small_network_of_a_merged_program_is_read_and_scored(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    merged = {"epochs": 3, "merged": {"widths": [[4], [8, 8]]}}
    folder = trained(studies, tmp_path, train=merged)
    model = load_model(folder, "cpu")
    file = write_rows(
        tmp_path / "table.csv", rows_of(an_experiment(tmp_path), "validation"), tmp_path / "v.csv"
    )
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["validation"]
    found = model.score(read_new(model, file, with_target=True).source)
    assert found == pytest.approx(stored, rel=1e-5)


@pytest.mark.parametrize(
    ("file", "bytes_", "told"),
    [
        ("model.json", b"[]", "model.json: cannot be read (is no description of a model)"),
        ("model.json", b'{"format": 3}', "is of format 3, newer than this version of hpo"),
        ("spec.yaml", b"- 1", "spec.yaml: is no spec of a model"),
        ("spec.yaml", None, "spec.yaml: is damaged"),
        ("spec.yaml", b"\xff", "spec.yaml: byte 0 is not UTF-8"),
        ("metrics.json", b"{", "metrics.json: cannot be read"),
        ("transforms/all.npz", b"PK", "all.npz: is damaged"),
        ("weights/_METADATA", b"{}", "weights: is damaged"),
    ],
)
def test_a_damaged_folder_is_one_sentence(
    churn: Path, tmp_path: Path, file: str, bytes_: bytes | None, told: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(bytes_ or whole + b"\ncompression: {weights: {bits: no}}\n")
    with pytest.raises(HpoError) as refused:
        load_model(folder, "cpu")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("offset", None),
        ("divisor", np.ones(())),
        ("kept", np.ones(1, bool)),
        ("text_value", np.zeros(1, np.int32)),
        ("hash_column", np.zeros(1, np.int32)),
        ("text_place", np.zeros(1, np.int32)),
    ],
)
def test_a_fit_of_other_columns_is_one_sentence(
    churn: Path, tmp_path: Path, name: str, array: np.ndarray | None
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    file = folder / "transforms" / "all.npz"
    with np.load(file) as stored:
        arrays = {key: stored[key] for key in stored.files if key != name}
    np.savez(file, **(arrays if array is None else {**arrays, name: array}))
    with pytest.raises(HpoError, match=r"all\.npz: is damaged \(.*\): train the model again"):
        load_model(folder, "cpu")


def test_weights_of_other_shapes_are_not_read(churn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    spec = (folder / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(spec.replace("widths: []", "widths: [99999]"))
    with pytest.raises(HpoError, match=r"weights: is damaged \(params/\w+/\S+ is missing"):
        load_model(folder, "cpu")


def test_an_array_of_objects_is_not_unpickled(churn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    np.savez(folder / "transforms" / "all.npz", offset=np.array([print], object))
    with pytest.raises(HpoError, match=r"all\.npz: is damaged \(Object arrays cannot be loaded"):
        load_model(folder, "cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    """The folder of `table.csv`, and of a packed `model` with thresholds and many arrays."""
    folder = tmp_path_factory.mktemp("small")
    write_table(folder / "table.csv")
    data = {
        "dataset": {"csv": "table.csv", "target": "churn"},
        "batch_size": 16,
        "clip": 3.0,
        "columns": {
            "encode": "target",
            "transform": "quantile",
            "flag": True,
            "by_name": {"when": {"type": "date"}, "member": {"encode": "ordinal"}},
        },
    }
    compression = {"weights": {"name": "integer", "bits": 4}}
    train = {"epochs": 1, "threshold": "f1"}
    parts = {"data": data, "compression": compression, "train": train}
    trained(Studies(folder, compile_cache), folder, **parts)
    return folder


@pytest.mark.parametrize("name", ["churn", "small"])
def test_a_folder_with_one_wrong_value_answers_every_row_or_is_one_sentence(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given_folder: Path = request.getfixturevalue(name)
    folder, table = tmp_path / "model", pd.read_csv(given_folder / "table.csv")
    shutil.copytree(given_folder / "model", folder)

    @settings(max_examples=12, deadline=None)
    @given(damages(given_folder / "model"))
    def is_safe(damage: tuple[str, bytes]) -> None:
        (folder / damage[0]).write_bytes(damage[1])
        try:
            found = hpo.load(folder).predict(table)
        except HpoError:  # what it says is for other tests
            pass
        else:
            chances = found.select_dtypes("number").to_numpy()
            assert len(found) == len(table)
            assert np.isfinite(chances).all()
        finally:
            shutil.copy(given_folder / "model" / damage[0], folder / damage[0])

    is_safe()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("offset", np.nan, "offset holds nan"),
        ("divisor", np.inf, "divisor holds inf"),
        ("divisor", 0, "divisor holds 0, by which nothing is divided"),
        ("divisor", -2, "divisor holds -2, by which nothing is divided"),
        ("fill", np.nan, "fill holds nan"),
        ("text_fill", 3, "text_fill holds 3, which is not between 0 and 2"),
        ("text_value", 2, "text_value is not sorted, or holds a number twice"),
    ],
)
def test_a_wrong_number_of_a_fit_is_one_sentence(
    churn: Path, tmp_path: Path, name: str, value: float, told: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    file = folder / "transforms" / "all.npz"
    with np.load(file) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays[name][0] = value
    np.savez(file, **arrays)
    with pytest.raises(HpoError) as refused:
        load_model(folder, "cpu")
    assert str(refused.value) == f"{file}: is damaged ({told}): train the model again."


def test_weights_that_are_no_numbers_answer_nothing(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small / "model", folder)
    file = folder / "weights" / "packed.bin"
    file.write_bytes(np.float32(np.nan).tobytes() + file.read_bytes()[4:])
    with pytest.raises(
        HpoError, match=r"weights: is damaged \(params/\S+ holds numbers that are no"
    ):
        load_model(folder, "cpu")


@pytest.mark.parametrize(
    "found", [{"0": [1.5]}, {"0": [None]}, {"0": []}, {"0": [0.5], "1": [0.5]}]
)
def test_thresholds_of_no_chances_are_one_sentence(
    small: Path, tmp_path: Path, found: dict[str, list[float]]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small / "model", folder)
    document = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**document, "thresholds": found}))
    with pytest.raises(HpoError, match=r"metrics\.json: is damaged \(.*\): train the model again"):
        load_model(folder, "cpu")


NET = """from flax import nnx


class Net(nnx.Module):
    def __init__(self, in_features, outputs, *, rngs):
        self.only = nnx.Linear(in_features, outputs, rngs=rngs)

    def __call__(self, x):
        return self.only(x)
"""


def test_code_of_ones_own_comes_with_the_folder_and_runs_only_when_asked(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    (tmp_path / "nets.py").write_text(NET)
    spec = an_experiment(tmp_path, model={"python": "nets.py:Net"})
    studies.train(spec, tmp_path / "model")
    folder = tmp_path / "elsewhere" / "model"
    shutil.copytree(tmp_path / "model", folder)
    (tmp_path / "nets.py").unlink()
    with pytest.raises(HpoError, match=r"its spec runs nets\.py:Net, code of your own: read it"):
        load_model(folder, "cpu")
    model = load_model(folder, "cpu", is_trusted=True)
    file = write_rows(tmp_path / "table.csv", rows_of(spec, "validation"), tmp_path / "rows.csv")
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["validation"]
    found = model.score(read_new(model, file, with_target=True).source)
    assert found == pytest.approx(stored, rel=1e-5)


def test_code_that_fails_with_a_number_of_rows_is_one_sentence(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    check = "        if len(x) == 5:\n            raise ValueError('five')\n        return"
    (tmp_path / "nets.py").write_text(NET.replace("        return", check))
    spec = an_experiment(tmp_path, model={"python": "nets.py:Net"})
    studies.train(spec, tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu", is_trusted=True)
    source = read_new(model, tmp_path / "table.csv").source
    assert len(model.predictions(source, 4)) == len(source)
    with pytest.raises(HpoError, match=r"model\.python: nets\.py:Net raised ValueError: five"):
        model.predictions(source, 5)


@pytest.mark.parametrize("name", ["model-1", "ensemble-1"])
def test_a_folder_of_every_format_is_read(name: str) -> None:
    # Made by: python -m tests.trained.tables FOLDER, and by hpo search and ensemble of search.txt,
    # whose models are packed.
    place = ROOT / "tests" / "stored" / name
    expected = pd.read_csv(place / "answers.csv")
    found = hpo.load(place / "model").predict(place / "new.csv")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)
