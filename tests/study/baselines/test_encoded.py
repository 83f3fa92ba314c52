"""Rows that were encoded in another process say what the data set said that they are of."""

from __future__ import annotations

import json

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.study.baselines.encoded import EncodedRows, encoding_of


def test_codes_and_numbers_of_a_table_are_known_without_its_transform() -> None:
    fit = FittedTransform(
        np.zeros(2),
        np.ones(2),
        kept=np.ones(2, bool),
        fill=np.zeros(2),
        more={"code_start": np.array([0, 3, 7])},
    )
    rows = Split({"x": np.zeros((5, 4), np.float32), "y": np.zeros(5, np.int32)})
    data = DataSet("classification", rows, rows, None, 2, "codes", transform=fit)
    encoding = json.loads(json.dumps(encoding_of(data)))
    found = EncodedRows("classification", rows, rows, None, 2, "there", encoding=encoding)
    assert (found.categories, found.numbers) == (data.categories, data.numbers) == ((4, 5), 2)
    assert found.vocabulary == data.vocabulary == 0
