"""What a spec says about its data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Share, Spec, Static

Task = Literal["classification", "regression"]

# The task of each named data set: known here so that `hpo check` need not load one.
NAMED_DATASETS: dict[str, Task] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "fashion_mnist": "classification",
    "iris": "classification",
    "mnist": "classification",
    "wine": "classification",
}


class CsvFile(Spec):
    """A table with a header, one row an example; `.gz` files are read as they are."""

    csv: str  # a path, relative to the spec's folder, then to HPO_DATA
    target: str
    task: Literal["auto", "classification", "regression"] = "auto"
    drop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","


class IdxFolder(Spec):
    """A folder with the four IDX files of MNIST and its kin, gzipped or not."""

    idx: str  # a path, relative to the spec's folder, then to HPO_DATA


class DataSpec(Spec):
    """The data set, its splits, and how examples reach the model."""

    dataset: str | CsvFile | IdxFolder
    rows: Count | None = None  # train on a stratified part of the set, of this many rows
    validation: Share | Count = 0.2  # a share of the rows, or a count
    # "auto": the set's own test files where it has them, else a fifth; 0 for none.
    test: Literal["auto"] | Share | Count = "auto"
    split_seed: Annotated[int, Field(ge=0)] = 0
    batch_size: Static[Count] = 64
    # It compiles nothing by itself, but lanes share one copy of the data, so each way is a program.
    normalize: Static[Literal["standard", "minmax", "none"]] = "standard"
