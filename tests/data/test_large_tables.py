"""A table that is read by pieces into mapped files is the same data set, bit for bit."""

from collections import Counter

import numpy as np
import pytest

from hpo.data import mapped
from hpo.data.load import load_data
from hpo.data.readers.tables import pieces
from hpo.data.readers.tables.csv import read_csv
from hpo.data.source import Source
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec

ROWS = 600


def write(folder, *, target):
    rng = np.random.default_rng(0)
    columns = {
        "whole": [str(n) if n % 7 else "" for n in rng.integers(-9, 9, ROWS)],
        "late": [str(n) if n < 500 else f"{n}.5" for n in range(ROWS)],
        "zero": ["-0" if n == 3 else "1.5" if n > 400 else "2" for n in range(ROWS)],
        "price": [f"{x:.6g}" for x in rng.lognormal(size=ROWS)],
        "town": [*rng.choice(["Ulm", "Bonn", "", "NA", '"Kiel, far"'], ROWS)],
        "code": [*["1"] * 100, *["01"] * 300, *["x7"] * (ROWS - 400)],
        "wet": [*rng.choice(["True", "False"], ROWS)],
        "dry": [*rng.choice(["true", "", "false"], ROWS)],
        "nothing": [""] * ROWS,
        "y": [*target(rng)],
    }
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def in_pieces(monkeypatch):
    """Makes every array large, and pieces small; counts the pieces that are parsed."""
    counted = Counter()

    def start():
        monkeypatch.setattr(mapped, "LARGE_BYTES", 1)
        monkeypatch.setattr(mapped, "_ROW_BYTES_AT_ONCE", 1 << 12)
        monkeypatch.setattr(pieces, "_PIECE_BYTES", 1 << 12)
        kind_of = pieces.kind_of

        def count(column):
            counted[column.name] += 1
            return kind_of(column)

        monkeypatch.setattr(pieces, "kind_of", count)
        return counted

    return start


TARGETS = {
    "regression": lambda rng: (f"{x:.5f}" for x in rng.normal(size=ROWS)),
    "classes": lambda rng: rng.choice(["no", "yes", "perhaps"], ROWS),
    "numbers as classes": lambda rng: map(str, rng.integers(0, 3, ROWS)),
}


@pytest.mark.parametrize(
    ("target", "columns"),
    [
        ("regression", {}),
        (
            "classes",
            {"flag": True, "encode": "target", "transform": "quantile", "impute": "mean"},
        ),
        (
            "numbers as classes",
            {"encode": "ordinal", "transform": "log", "impute": "most_frequent"},
        ),
    ],
)
def test_a_table_in_pieces_is_the_same_data_set(tmp_path, in_pieces, target, columns):
    write(tmp_path, target=TARGETS[target])
    spec = DataSpec(dataset=CsvFile(csv="t.csv", target="y"), columns=Columns(**columns))
    whole = load_data(spec, tmp_path, None)
    counted = in_pieces()
    found = load_data(spec, tmp_path, None)
    assert len(counted) == 10
    assert min(counted.values()) >= 5
    assert (found.fingerprint, found.notes) == (whole.fingerprint, whole.notes)
    assert found.train.shared["x"].base is not None
    for name, array in whole.train.shared.items():
        np.testing.assert_array_equal(found.train.shared[name], array)
    fits = found.transform.to_arrays(), whole.transform.to_arrays()
    assert fits[0].keys() == fits[1].keys()
    for name, array in fits[1].items():
        np.testing.assert_array_equal(fits[0][name], array)


def test_rows_that_are_left_out_and_mistakes_are_the_same_in_pieces(tmp_path, in_pieces):
    write(tmp_path, target=lambda rng: ["" if n % 50 == 7 else f"{n}.5" for n in range(ROWS)])
    table = CsvFile(csv="t.csv", target="y", drop_rows={"missing_target": True}, missing=("-3",))
    whole = read_csv(tmp_path / "t.csv", DataSpec(dataset=table))
    in_pieces()
    found: Source = read_csv(tmp_path / "t.csv", DataSpec(dataset=table))
    np.testing.assert_array_equal(found.x, whole.x)
    np.testing.assert_array_equal(found.categories, whole.categories)
    assert (found.values, found.notes) == (whole.values, whole.notes)
