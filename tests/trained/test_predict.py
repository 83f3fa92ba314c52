"""Answers for new data, whatever their format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hpo
from hpo.data.load import read_source
from hpo.data.source import Source
from hpo.data.split import split_rows, split_sizes
from hpo.errors import DeviceError, HpoError
from hpo.trained.model import Member, Model, load_model
from hpo.trained.predict import answers, read_new, rows_at_once
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, rows_of, write_rows, write_table


@pytest.fixture(scope="module")
def model(churn: Path) -> Model:
    return load_model(churn / "model", "cpu")


def test_answers_are_the_same_from_every_format(churn: Path, model: Model, tmp_path: Path) -> None:
    table = pd.read_csv(churn / "table.csv").drop(columns="churn")
    table.to_json(tmp_path / "new.jsonl", orient="records", lines=True, double_precision=15)
    table.to_parquet(tmp_path / "new.parquet")
    table.to_csv(tmp_path / "new.csv", index=False)
    found = [
        pd.concat(map(pd.DataFrame, answers(model, read_new(model, tmp_path / f"new.{ending}"))))
        for ending in ("csv", "jsonl", "parquet")
    ]
    assert [*found[0]] == ["churn", "churn_no", "churn_yes"]
    assert {*found[0]["churn"]} == {"no", "yes"}
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0], check_exact=True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "answers for a file or a DataFrame, not for NoneType: give one of these"),
        ({"age": [1]}, "answers for a file or a DataFrame, not for dict: give one of these"),
        ([[1, 2]], "the DataFrame: 2 columns are named 'age': rename all but one"),
    ],
)
def test_what_is_no_table_or_has_a_column_twice_is_one_sentence(
    churn: Path, data: Any, told: str
) -> None:
    rows = pd.DataFrame(data, columns=["age", "age"]) if isinstance(data, list) else data
    with pytest.raises(HpoError, match=told):
        hpo.load(churn / "model").predict(rows)


@settings(max_examples=10)
@given(batch=st.integers(1, 130))
def test_no_answer_depends_on_the_batch(churn: Path, model: Model, batch: int) -> None:
    new = read_new(model, churn / "table.csv")
    with mock.patch.object(model.blocks, "rows", 64):
        (whole,) = answers(model, new)
        pieces = [*answers(model, new, batch)]
    for name, column in whole.items():
        found = np.concatenate([piece[name] for piece in pieces])
        np.testing.assert_array_equal(found, column)
    # A piece is made of whole blocks of 64 rows.
    assert len(pieces) == (2 if batch <= 64 else 1)


@pytest.mark.parametrize(
    ("available", "rows"),
    [
        # 11 features of float32, made by way of copies, and 2 answers of 28 bytes are 188 bytes.
        (None, 1 << 14),
        (8 * 188 * 100, 100),
        (0, 1),
    ],
)
def test_as_many_rows_are_in_memory_as_a_share_of_it_holds(
    model: Model, available: int | None, rows: int
) -> None:
    assert model.description.shape == (11,)
    assert rows_at_once(model, available) == rows


def test_features_that_do_not_fit_are_made_for_fewer_rows(
    churn: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, made, whole = read_new(model, churn / "table.csv"), [], Model.features
    (expected,) = answers(model, new)

    def features(model: Model, member: Member, source: Source) -> np.ndarray:
        made.append(len(source))
        if len(source) > most:
            raise MemoryError
        return whole(model, member, source)

    monkeypatch.setattr(Model, "features", features)
    most = 40
    pieces = [*answers(model, new)]
    assert made == [120, 60, 30, 30, 30, 30]  # blocks have 64 rows, more than fit
    for name, column in expected.items():
        np.testing.assert_array_equal(np.concatenate([one[name] for one in pieces]), column)
    most = 0
    with pytest.raises(DeviceError) as refused:
        next(answers(model, new))
    assert str(refused.value) == (
        f"{model.folder}: the memory ran out with the features of a single row: stop other "
        "programs, or raise the limit of memory."
    )


def test_progress_counts_the_rows(churn: Path, model: Model) -> None:
    seen: list[int] = []
    for _ in answers(model, read_new(model, churn / "table.csv"), watch=seen.append):
        pass
    assert seen == [120]


def test_images_of_every_format_have_the_same_answers(studies: Studies, tmp_path: Path) -> None:
    spec = an_experiment(tmp_path, data={"dataset": "digits", "image_size": 6})
    studies.train(spec, tmp_path / "model")
    whole = read_source(spec.training.data, tmp_path, None)
    sizes = split_sizes(spec.training.data, len(whole), has_own_test=False, classes=10)
    rows = split_rows(sizes, whole.labels, spec.training.data.split_seed).validation
    x, y = whole.x[rows], whole.y[rows]
    np.savez(tmp_path / "new.npz", x=x, y=y.astype(str))
    for place, pixels in enumerate(x[:3]):
        file = tmp_path / "images" / str(y[place]) / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(file)
    header = np.array([0x0803, len(x), 8, 8], ">u4").tobytes()
    (tmp_path / "new-images-idx3-ubyte").write_bytes(header + x.tobytes())
    loaded = load_model(tmp_path / "model", "cpu")
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    new = read_new(loaded, tmp_path / "new.npz", with_target=True)
    assert loaded.score(new.source) == stored["validation"]
    (found,) = answers(loaded, new)
    (of_idx,) = answers(loaded, read_new(loaded, tmp_path / "new-images-idx3-ubyte"))
    assert of_idx["prediction"].tolist() == found["prediction"].tolist()
    images = read_new(loaded, tmp_path / "images", with_target=True)
    (of_images,) = answers(loaded, images)
    for name, one in zip(of_images["file"], of_images["prediction"], strict=True):
        assert one == found["prediction"][int(Path(name).stem)]
    assert loaded.score(images.source).keys() == stored["validation"].keys()
    with pytest.raises(
        HpoError, match=r"was trained on arrays of the shape \[8, 8, 1\], not on col"
    ):
        read_new(loaded, pd.DataFrame({"age": [1]}))


def test_masks_answer_each_pixel_and_score_as_in_training(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((60, 8, 8)) > 0.6) * 3 + 2  # the classes 2 and 5
    np.savez(
        tmp_path / "shapes.npz", x=(y * 40 + rng.integers(0, 9, y.shape)).astype(np.uint8), y=y
    )
    dataset = {"npz": "shapes.npz", "task": "segmentation"}
    spec = an_experiment(
        tmp_path,
        data={"dataset": dataset, "batch_size": 8},
        model={"name": "unet", "filters": 2, "depth": 1},
    )
    studies.train(spec, tmp_path / "model")
    whole, data = read_source(spec.training.data, tmp_path, None), spec.training.data
    sizes = split_sizes(data, 60, has_own_test=False, classes=0)
    rows = split_rows(sizes, None, data.split_seed).validation
    np.savez(tmp_path / "new.npz", x=whole.x[rows], y=y[rows])
    loaded = load_model(tmp_path / "model", "cpu")
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    new = read_new(loaded, tmp_path / "new.npz", with_target=True)
    assert loaded.score(new.source) == stored["validation"]
    masks = hpo.load(tmp_path / "model").masks(tmp_path / "new.npz")
    assert masks.shape == (len(rows), 8, 8)
    assert (masks == y[rows]).mean() == pytest.approx(stored["validation"]["pixel_accuracy"])
    monkeypatch.setattr("hpo.trained.predict._MOST_BYTES", 1)  # the fewest rows at once
    pieces = [piece["y"] for piece in answers(loaded, new)]
    assert [len(piece) for piece in pieces] == [12]
    assert np.concatenate(pieces).tobytes() == masks.tobytes()
    np.savez(tmp_path / "other.npz", x=whole.x[rows], y=y[rows] + 1)
    with pytest.raises(HpoError, match="y holds 3, a class that the model does not know: it knows"):
        read_new(loaded, tmp_path / "other.npz", with_target=True)
    np.savez(tmp_path / "bare.npz", x=whole.x[rows])
    with pytest.raises(HpoError, match="has no masks by which answers are judged: save y as"):
        read_new(loaded, tmp_path / "bare.npz", with_target=True)
    with pytest.raises(HpoError, match="answers with masks, which are no columns: call masks"):
        hpo.load(tmp_path / "model").predict(tmp_path / "new.npz")


@pytest.mark.long
@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"columns": {"encode": "embed", "flag": True}, "normalize": "robust", "clip": 3.0}, "mlp"),
        ({"columns": {"encode": "target", "impute": "mean"}, "normalize": "whiten"}, "mlp"),
        ({"columns": {"encode": "hashing"}, "reduce": {"name": "pca"}}, "mlp"),
        ({"columns": {"encode": "ordinal"}, "class_weight": "balanced"}, "mlp"),
        ({"text": {"vectors": "ids", "tokens": "bpe", "vocabulary": 300, "length": 8}}, "rnn"),
    ],
    ids=["embed", "target", "hashing", "tfidf", "ids"],
)
def test_every_way_to_make_features_scores_the_validation_rows_to_the_bit(
    studies: Studies, tmp_path: Path, data: dict[str, Any], name: str
) -> None:
    write_table(tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    note = table["age"].astype(str) + " years old, from the city of " + table["city"].fillna("?")
    table.insert(0, "note", note)
    table[["note", "churn"] if name == "rnn" else [*table]].to_csv(
        tmp_path / "table.csv", index=False
    )
    columns = {**data.get("columns", {}), "by_name": {"note": {"type": "text"}}}
    dataset = {"csv": "table.csv", "target": "churn"}
    data = {"dataset": dataset, "batch_size": 16, **data, "columns": columns}
    model = {"name": "rnn", "width": 4} if name == "rnn" else {"name": "mlp", "widths": [4]}
    spec = an_experiment(tmp_path, data=data, model=model)
    studies.train(spec, tmp_path / "model")
    file = write_rows(tmp_path / "table.csv", rows_of(spec, "validation"), tmp_path / "rows.csv")
    loaded = load_model(tmp_path / "model", "cpu")
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    found = loaded.score(read_new(loaded, file, with_target=True).source)
    assert found == stored["validation"]


def test_numbers_far_outside_of_the_training_rows_are_told_with_their_count(
    churn: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(churn / "table.csv").drop(columns="churn")
    loaded = load_model(churn / "model", "cpu")
    assert read_new(loaded, table).notes == ()
    trained = pd.read_csv(churn / "table.csv").iloc[rows_of(an_experiment(churn), "train")]
    low, high = trained["age"].min(), trained["age"].max()
    age = [1e30, 2 * high - low, 2 * high - low + 1, 2 * low - high - 1, np.nan]
    table["age"] = table["age"].astype(float)
    table.loc[:4, "age"] = age
    told = f"the range of the training, {low:g} to {high:g}: check the unit of such numbers."
    expected = (
        f"the DataFrame: column 'age': 1 row lies far below {told}",
        f"the DataFrame: column 'age': 2 rows lie far above {told}",
    )
    assert read_new(loaded, table).notes == expected


def test_an_older_folder_that_does_not_know_the_ranges_tells_none(
    churn: Path, tmp_path: Path
) -> None:
    shutil.copytree(churn / "model", tmp_path / "model")
    file = tmp_path / "model" / "transforms" / "all.npz"
    with np.load(file) as arrays:
        np.savez(file, **{name: arrays[name] for name in arrays.files if name != "kept_range"})
    table = pd.read_csv(churn / "table.csv").assign(age=1e9)
    assert read_new(load_model(tmp_path / "model", "cpu"), table).notes == ()
