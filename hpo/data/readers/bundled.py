"""The data sets that come with scikit-learn.

Their files are read here, because importing `sklearn.datasets` takes seconds, longer than many
trials on digits train. Tests compare every set with what scikit-learn loads.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from hpo.data.source import Source


def read_digits() -> Source:
    """8x8 images of handwritten digits, 1,797 of them, grey values 0 to 16."""
    table = _numbers(_text("digits.csv.gz"), ",").reshape(-1, 65)
    return Source(
        x=table[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1),
        y=table[:, 64].astype(np.int32),
        target="digits",
        classes=tuple(str(digit) for digit in range(10)),
    )


def read_wine() -> Source:
    """178 Italian wines: 13 measurements, 3 cultivars."""
    return _classification("wine", "wine_data.csv")


def read_breast_cancer() -> Source:
    """569 tumours: 30 measurements, malignant or benign."""
    return _classification("breast_cancer", "breast_cancer.csv")


def read_iris() -> Source:
    """150 irises: 4 measurements, 3 species."""
    return _classification("iris", "iris.csv")


def read_diabetes() -> Source:
    """442 patients: 10 measurements in their own units, disease progression after one year."""
    return Source(
        x=_numbers(_text("diabetes_data_raw.csv.gz"), " ").reshape(-1, 10),
        y=_numbers(_text("diabetes_target.csv.gz"), " "),
        target="diabetes",
    )


def _classification(name: str, file: str) -> Source:
    """A table whose header is `rows,features,class 0,class 1,...` and whose last column is y."""
    header, _, body = _text(file).partition("\n")
    rows, features, *classes = header.strip().split(",")
    table = _numbers(body, ",").reshape(int(rows), int(features) + 1)
    return Source(
        x=np.ascontiguousarray(table[:, :-1]),
        y=table[:, -1].astype(np.int32),
        target=name,
        classes=tuple(classes),
    )


def _text(file: str) -> str:
    package = importlib.util.find_spec("sklearn")  # finds it without importing it
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / file
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def _numbers(text: str, separator: str) -> np.ndarray:
    return np.fromstring(separator.join(text.split()), sep=separator)
