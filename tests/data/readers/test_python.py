"""Data from a function of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.errors import DataError, HpoError, SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.data import DataSpec
from tests.documents import SMALL

SOURCE = """
from pathlib import Path

import numpy as np

def iris():
    from sklearn.datasets import load_iris
    x, y = load_iris(return_X_y=True)
    return {"x": x, "y": y}

def saved(path: Path, scale: float = 1.0):
    assert isinstance(path, Path)
    with (path.parent / "calls").open("a") as calls:
        calls.write("x")
    with np.load(path) as found:
        return {"x": scale * found["x"], "y": found["y"]}

def splits(names=("train", "validation", "test"), rows=(6, 4, 2), kind="float32"):
    start, found = 0, {}
    for name, count in zip(names, rows):
        x = np.arange(start, start + count)[:, None, None, None] * np.ones((1, 2, 3, 1))
        y = ["ab"[i % 2] for i in range(count)]
        found[name] = {"x": x.astype(kind), "y": y, "weight": np.ones(count)}
        start += count
    return found

def given(**arrays):
    return {name: np.array(value) for name, value in arrays.items()}

def broken():
    return {}["nothing"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.py").write_text(SOURCE)
    return tmp_path


def a_spec(folder: Path, function: str, data: Any = None, **arguments: Any) -> DataSpec:
    dataset = {"python": f"data.py:{function}", **arguments}
    document = {**SMALL, "data": {"dataset": dataset, "batch_size": 4, **(data or {})}}
    return load_document(document, folder).training.data


def test_a_function_that_gives_iris_gives_the_arrays_of_iris_to_the_bit(folder: Path) -> None:
    own = load_data(a_spec(folder, "iris"), folder, None)
    ours = load_data(DataSpec(dataset="iris", batch_size=4), folder, None)

    assert own.task == "classification"
    for name in ("train", "validation", "test"):
        for key, array in getattr(ours, name).arrays.items():
            np.testing.assert_array_equal(getattr(own, name).arrays[key], array, strict=True)


def test_a_path_starts_at_the_folder_of_the_spec_and_the_result_is_cached(
    folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "some.npz", x=rng.standard_normal((40, 3)), y=rng.standard_normal(40))
    cache = DataCache(tmp_path / "cache")

    def load(**arguments: Any) -> Any:
        spec = a_spec(folder, "saved", **{"path": "some.npz", **arguments})
        return load_data(spec, folder, None, cache)

    def calls() -> int:
        return len((folder / "calls").read_text())

    first = load()
    assert first.task == "regression"
    assert load().fingerprint == first.fingerprint
    assert calls() == 1
    assert load(scale=2.0).fingerprint != first.fingerprint
    assert calls() == 2
    np.savez(folder / "some.npz", x=rng.standard_normal((40, 3)), y=rng.standard_normal(40))
    assert load().fingerprint != first.fingerprint
    assert calls() == 3
    (folder / "data.py").write_text(f"{SOURCE}\n")
    load()
    assert calls() == 4


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_splits_of_its_own_stay_as_they_are(folder: Path, kind: str) -> None:
    spec = a_spec(folder, "splits", {"normalize": "none"}, kind=kind)

    data = load_data(spec, folder, None)

    assert data.test is not None
    assert data.train.x.shape == (6, 2, 3, 1)
    for split, rows in (
        (data.train, range(6)),
        (data.validation, range(6, 10)),
        (data.test, (10, 11)),
    ):
        assert split.x[:, 0, 0, 0].tolist() == [*rows]
        assert split.arrays["weight"].tolist() == [1] * len(split)
    assert data.classes == ("a", "b")
    assert data.validation.y.tolist() == [0, 1, 0, 1]


def test_images_of_fractions_are_scaled_by_their_channels(folder: Path) -> None:
    data = load_data(a_spec(folder, "splits"), folder, None)

    x = np.arange(6)
    expected = (x - x.mean()) / x.std()
    np.testing.assert_allclose(data.train.x[:, 1, 2, 0], expected, rtol=1e-6)


def test_masks_are_classes_of_pixels_whose_images_are_split_at_random(folder: Path) -> None:
    (folder / "data.py").write_text(
        "import numpy as np\n"
        "def masks():\n"
        "    x = np.arange(40 * 6, dtype=np.uint8).reshape(40, 2, 3, 1)\n"
        "    return {'x': x, 'y': 7 * (x[..., 0] % 5 == 0).astype(np.uint8)}\n"
    )
    data = load_data(a_spec(folder, "masks", {"normalize": "none"}), folder, None)

    assert (data.task, data.outputs, data.classes) == ("segmentation", 2, ("0", "7"))
    assert data.test is not None
    assert [len(one) for one in (data.train, data.validation, data.test)] == [24, 8, 8]
    for one in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(one.y, one.x[..., 0] % 5 == 0)
        assert one.y.dtype == np.int32


def test_a_split_that_is_not_given_is_made(folder: Path) -> None:
    spec = a_spec(folder, "splits", names=["train"], rows=[20])

    data = load_data(spec, folder, None)

    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 4, 4)


X, Y = [[1.0], [2.0], [3.0]], [0, 1, 0]
IMAGES = [[[[1.0]]], [[[2.0]]], [[[3.0]]]]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": X}, r"returns a mapping with the keys x: return \{x, y\}"),
        ({"x": X, "y": Y, "z": Y}, "with the keys x, y, z"),
        ({"x": [1.0, 2.0, 3.0], "y": Y}, r"x is an array \[3\] of type float64: return numbers"),
        ({"x": [["a"], ["b"], ["c"]], "y": Y}, "x is an array .* of type <U1"),
        ({"x": X, "y": [0, 1]}, r"y has the shape \[2\], and x has 3 rows"),
        ({"x": X, "y": Y, "weight": [[1.0]] * 3}, r"weight has the shape \[3, 1\]"),
        ({"x": [[1.0], [float("nan")], [3.0]], "y": Y}, "x is not finite in row 1"),
        ({"x": X, "y": [0.5, float("inf"), 1.0]}, "y is not finite in row 1"),
        ({"x": X, "y": Y, "weight": [1.0, -1.0, 1.0]}, "weight must be numbers of 0 or more"),
        ({"x": X, "y": [1, 1, 1]}, "y has the one class 1"),
        ({"x": X, "y": [0.5, 1.0, 2.0], "task": "classification"}, "y has fractions"),
        ({"x": X, "y": ["a", "b", "a"], "task": "regression"}, "y holds texts"),
        ({"x": X, "y": [-1, 1, 2], "task": "counts"}, "no counts"),
        ({"x": X, "y": [[[0]], [[1]], [[0]]]}, r"y is an array \[3, 1, 1\] of type int64, and x"),
        ({"x": IMAGES, "y": [[[0.5]]] * 3}, r"y is an array \[3, 1, 1\] of type float64"),
        ({"x": IMAGES, "y": [[[0]], [[1]], [[0]]], "task": "counts"}, "y holds masks, and data"),
        ({"x": IMAGES, "y": [[[0]]] * 3}, "y has the one class 0"),
        ({"x": IMAGES, "y": Y, "task": "segmentation"}, "y is one target a row, and segmentation"),
    ],
)
def test_a_result_that_is_no_data_set_is_refused(folder: Path, arrays: Any, says: str) -> None:
    spec = a_spec(folder, "given", **arrays)

    with pytest.raises(DataError, match=says) as raised:
        load_data(spec, folder, None)

    assert str(raised.value).startswith("data.dataset.python: data.py:given: ")


def test_an_error_of_the_function_is_told_by_the_users_line(folder: Path) -> None:
    with pytest.raises(HpoError, match=r"in broken: return \{\}\[.nothing.\]"):
        load_data(a_spec(folder, "broken"), folder, None)


def test_a_check_finds_missing_files_and_wrong_arguments_and_runs_nothing(folder: Path) -> None:
    (folder / "data.py").write_text(f"raise SystemExit('ran')\n{SOURCE}")

    head = inspect_data(a_spec(folder, "saved", path="none.npz"), folder, None)
    assert [mistake.path for mistake in head.mistakes] == [("dataset", "path")]
    with pytest.raises(SpecError, match=r"data.dataset.path: is missing: data.py:saved needs it"):
        a_spec(folder, "saved")
    with pytest.raises(SpecError, match="unknown argument 'pth'"):
        a_spec(folder, "saved", path="x", pth="y")
