"""Tables with a known truth: each is a text, and what a person who reads it says of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets


class Truth(NamedTuple):
    """What is right for a table: target, task, metric, and a few keys of `data.dataset`."""

    target: str | list[str]
    task: str
    metric: str
    holds: dict = {}  # noqa: RUF012 - nobody changes it
    left_out: tuple[str, ...] = ()
    split: dict | None = None


def bundled(load: Callable[..., object]) -> str:
    """A data set that comes with scikit-learn, as CSV."""
    return load(as_frame=True).frame.to_csv(index=False)


def random(seed: int, rows: int) -> tuple[np.random.Generator, pd.DataFrame]:
    """Numbers that say something about what is made of their sum."""
    rng = np.random.default_rng(seed)
    return rng, pd.DataFrame(rng.normal(size=(rows, 3)).round(3), columns=["a", "b", "c"])


def integer_codes() -> str:
    """Seven classes numbered 1 to 7, and a feature of codes."""
    rng, table = random(0, 400)
    table["zip_code"] = rng.integers(10_001, 10_030, 400)
    table["cover_type"] = rng.permutation(np.arange(400) % 7) + 1
    return table.to_csv(index=False)


def ids() -> str:
    """Customers, each with an id of its own, and whether they left."""
    rng, table = random(1, 300)
    table.insert(0, "customerID", [f"{n:04d}-{'XYZ'[n % 3]}Q" for n in range(300)])
    table["row"] = np.arange(1, 301)
    table["constant"] = "EU"
    table["churn"] = np.where(table["a"] + rng.normal(size=300) > 0.9, "Yes", "No")
    return table.to_csv(index=False)


def dates() -> str:
    """Sales of 400 days in order."""
    rng, table = random(2, 400)
    table.insert(0, "date", pd.date_range("2023-01-01", periods=400).strftime("%Y-%m-%d"))
    table["sales"] = (100 + 10 * table["a"] + rng.normal(size=400)).round(2)
    return table.to_csv(index=False)


def mixed_dates() -> str:
    """Houses sold at dates in no order."""
    rng, table = random(3, 300)
    days = pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 700, 300), "D")
    table["sold_on"] = days.strftime("%d.%m.%Y")
    table["price"] = (1000 * (50 + 5 * table["a"] + rng.normal(size=300))).round()
    return table.to_csv(index=False)


def booleans() -> str:
    """Columns of yes and no, of which the last one is the target."""
    rng, table = random(4, 200)
    table["married"] = np.where(rng.random(200) > 0.5, "yes", "no")
    table["approved"] = np.where(table["a"] > 0, "yes", "no")
    return table.to_csv(index=False)


def question_marks() -> str:
    """No header, and `?` where nothing is known."""
    rng, table = random(5, 250)
    texts = table.astype(str)
    texts[rng.random(texts.shape) > 0.9] = "?"
    texts["y"] = np.where(table["a"] > 0, "good", "bad")
    return texts.to_csv(index=False, header=False)


def decimal_commas() -> str:
    """What a German spreadsheet exports: semicolons, and commas in numbers."""
    rng, table = random(6, 200)
    table["preis"] = (20 + 3 * table["b"] + rng.normal(size=200)).round(2)
    return table.to_csv(index=False, sep=";", decimal=",")


def currencies() -> str:
    """Prices in dollars, with commas in them, and shares in percent."""
    rng, table = random(14, 200)
    table["share"] = [f"{value}%" for value in rng.integers(0, 101, 200)]
    table["price"] = [f"${value:,.2f}" for value in 20_000 + 9_000 * table["a"]]
    return table.to_csv(index=False)


def few_quantities() -> str:
    """Marks of wines from 3 to 9, most of them in the middle."""
    rng, table = random(7, 600)
    table["quality"] = np.clip(np.round(6 + table["a"] + 0.5 * rng.normal(size=600)), 3, 9)
    table["quality"] = table["quality"].astype(int)
    return table.to_csv(index=False)


def several_labels() -> str:
    """Films of several genres at once."""
    rng, table = random(8, 300)
    for number in range(1, 4):
        table[f"label_{number}"] = (table["abc"[number - 1]] + rng.normal(size=300) > 0).astype(int)
    return table.to_csv(index=False)


def imbalanced() -> str:
    """Frauds, one payment in forty."""
    rng, table = random(9, 1200)
    table["is_fraud"] = (rng.permutation(1200) % 40 == 0).astype(int)
    return table.to_csv(index=False)


def grouped() -> str:
    """Eight visits of each of 40 patients."""
    rng, table = random(10, 320)
    table.insert(0, "patient_id", rng.permutation(np.arange(320) % 40) + 500)
    table["ill"] = (table["patient_id"] % 2 == 0).astype(int)
    return table.to_csv(index=False)


def texts() -> str:
    """Reviews with a tab between text and sentiment, without a header."""
    rng = np.random.default_rng(11)
    text = "the film was a good bad long fine dull story with great poor actors"
    words = np.array(text.split())
    lines = []
    for number in range(200):
        text = " ".join(words[rng.integers(0, len(words), 12)])
        lines.append(f"{text} {number}\t{number % 2}")
    return "\n".join(lines) + "\n"


def leaking() -> str:
    """A price in dollars whose copy in cents is among the features."""
    rng, table = random(12, 200)
    table["price"] = (100 + 10 * table["a"] + rng.normal(size=200)).round(2)
    table.insert(2, "cents", (100 * table["price"]).round())
    return table.to_csv(index=False)


def small_counts() -> str:
    """How many claims a driver made: whole numbers from 0, fewer of each than of the one before."""
    rng, table = random(13, 500)
    table["claim_count"] = rng.poisson(np.exp(0.4 * table["a"] - 0.2))
    return table.to_csv(index=False)


# The truth is that of the descriptions of scikit-learn, and of how the tables here are made.
MADE: dict[str, tuple[Callable[[], str], Truth]] = {
    "iris.csv": (
        lambda: bundled(datasets.load_iris),
        Truth("target", "classification", "accuracy"),
    ),
    "wine.csv": (
        lambda: bundled(datasets.load_wine),
        Truth("target", "classification", "accuracy"),
    ),
    "digits.csv": (
        lambda: bundled(datasets.load_digits),
        Truth("target", "classification", "accuracy"),
    ),
    "breast_cancer.csv": (
        lambda: bundled(datasets.load_breast_cancer),
        Truth("target", "classification", "accuracy"),
    ),
    "diabetes.csv": (
        lambda: bundled(datasets.load_diabetes),
        Truth("target", "regression", "rmse"),
    ),
    "integer_codes.csv": (integer_codes, Truth("cover_type", "classification", "accuracy")),
    "ids.csv": (
        ids,
        Truth("churn", "classification", "auroc", {}, ("customerID", "row", "constant")),
    ),
    "dates.csv": (dates, Truth("sales", "regression", "rmse", split={"time": "date"})),
    "mixed_dates.csv": (mixed_dates, Truth("price", "regression", "rmse")),
    "booleans.csv": (booleans, Truth("approved", "classification", "accuracy")),
    "question_marks.data": (
        question_marks,
        Truth("column_4", "classification", "accuracy", {"header": False, "missing": ["?"]}),
    ),
    "decimal_commas.csv": (
        decimal_commas,
        Truth("preis", "regression", "rmse", {"separator": ";", "decimal": ","}),
    ),
    "currencies.csv": (
        currencies,
        Truth("price", "regression", "rmse", {"thousands": ",", "units": ["$", "%"]}),
    ),
    "few_quantities.csv": (few_quantities, Truth("quality", "regression", "rmse")),
    "several_labels.csv": (
        several_labels,
        Truth(["label_1", "label_2", "label_3"], "multilabel", "average_precision"),
    ),
    "imbalanced.csv": (imbalanced, Truth("is_fraud", "classification", "auroc")),
    "grouped.csv": (
        grouped,
        Truth("ill", "classification", "accuracy", split={"group": "patient_id"}),
    ),
    "texts.tsv": (texts, Truth("column_2", "classification", "accuracy", {"header": False})),
    "leaking.csv": (leaking, Truth("price", "regression", "rmse", {}, ("cents",))),
    "small_counts.csv": (small_counts, Truth("claim_count", "counts", "deviance")),
}

_HEADLESS = {"header": False}
_BINARY, _UNEVEN = ("classification", "accuracy"), ("classification", "auroc")
# Of `shared/data`, as its README and the `.names` files describe the tables: the target is the last
# column but for the reviews. Of uneven classes, one of two has less than a third of the rows.
SHARED: dict[str, Truth] = {
    # "Predicted price of car using all numeric and Boolean attributes"; `?` is missing.
    "tables/auto_imports.csv": Truth(
        "column_26", "regression", "rmse", {**_HEADLESS, "missing": ["?"]}
    ),
    "tables/banknote_authentication.csv": Truth(
        "column_5", *_BINARY, _HEADLESS
    ),  # "class (integer)"
    "tables/breast-cancer.csv": Truth("column_10", *_UNEVEN, _HEADLESS),  # 201 of 286 no recurrence
    "tables/daily-min-temperatures.csv": Truth("Temp", "regression", "rmse", {"time": "Date"}),
    "tables/german.csv": Truth("column_21", *_UNEVEN, _HEADLESS),  # 1 = Good, 2 = Bad: 700 and 300
    "tables/glass.csv": Truth("column_10", "classification", "macro_f1", _HEADLESS),  # 9 to 76 rows
    "tables/housing.csv": Truth("column_14", "regression", "rmse", _HEADLESS),  # MEDV
    "tables/ionosphere.csv": Truth(
        "column_35", *_BINARY, _HEADLESS
    ),  # "good" or "bad": 225 and 126
    "tables/mammography.csv": Truth(
        "column_7", *_UNEVEN, _HEADLESS
    ),  # 260 calcifications of 11,183
    "tables/monthly-airline-passengers.csv": Truth(
        "Passengers", "regression", "rmse", {"time": "Month"}
    ),
    "tables/monthly-sunspots.csv": Truth("Sunspots", "regression", "rmse", {"time": "Month"}),
    "tables/oil-spill.csv": Truth("column_50", *_UNEVEN, _HEADLESS),  # 41 slicks of 937
    "tables/phoneme.csv": Truth("column_6", *_UNEVEN, _HEADLESS),  # 3,818 nasal and 1,586 oral
    "tables/pima-indians-diabetes.csv": Truth("column_9", *_BINARY, _HEADLESS),  # 500 and 268
    "tables/sonar.csv": Truth("column_61", *_BINARY, _HEADLESS),  # 111 mines and 97 rocks
    "waimai/waimai_10k.csv": Truth("label", *_BINARY),  # 4,000 positive, 8,000 negative
    "sst2/train.tsv": Truth("column_2", *_BINARY, _HEADLESS),  # a sentence, a tab, 0 or 1
    "etth1/ETTh1.csv.gz": Truth("OT", "regression", "rmse", {"time": "date"}),  # a series
    "california_housing/housing.csv.gz": Truth("median_house_value", "regression", "rmse"),
}


def shared_folder() -> Path | None:
    """The folder of shared data beside the checkout, where there is one."""
    here = Path(__file__).resolve()
    places = [above / "shared" / "data" for above in here.parents]
    return next((place for place in places if (place / "tables").is_dir()), None)


def table(text: str) -> pd.DataFrame:
    """A table of a text."""
    return pd.read_csv(io.StringIO(text))
