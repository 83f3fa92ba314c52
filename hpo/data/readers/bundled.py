"""The data sets that come with scikit-learn.

Their files are read here, because importing `sklearn.datasets` takes seconds, longer than many
trials on digits train. Tests compare every set with what scikit-learn loads.
"""

from __future__ import annotations

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from hpo.data.source import Source


def read_digits() -> Source:
    """8x8 images of handwritten digits, 1,797 of them, grey values 0 to 16."""
    table = _numbers("digits.csv.gz", ",").reshape(-1, 65)
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
        x=_numbers("diabetes_data_raw.csv.gz", " ").reshape(-1, 10).copy(),
        y=_numbers("diabetes_target.csv.gz", " ").copy(),
        target="diabetes",
    )


def _classification(name: str, file: str) -> Source:
    """A table whose header is `rows,features,class 0,class 1,...` and whose last column is y."""
    rows, features, *classes = _text(file).partition("\n")[0].strip().split(",")
    table = _numbers(file, ",", has_header=True).reshape(int(rows), int(features) + 1)
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


@lru_cache(maxsize=4)
def _numbers(file: str, separator: str, *, has_header: bool = False) -> np.ndarray:
    """The numbers of a file in one row, kept: parsing takes longer than what trains on few rows."""
    text = _text(file).partition("\n")[2] if has_header else _text(file)
    numbers = np.fromstring(separator.join(text.split()), sep=separator)
    numbers.flags.writeable = False
    return numbers
