"""Parquet files and folders of them."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.readers.tables.typed import files as typed_files
from hpo.data.readers.tables.typed.parquet import read_parquet
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec, ParquetFile
from hpo.spec.sections.split import ColumnSplit, GroupSplit, TimeSplit

pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
pq = pytest.importorskip("pyarrow.parquet")
NAN = np.nan


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def section(target="y", *, data=None, **spec):
    return DataSpec(dataset=ParquetFile(parquet="t.parquet", target=target, **spec), **(data or {}))


def read(path, *args, **spec):
    return read_parquet(path, section(*args, **spec))


def test_columns_have_the_types_that_the_file_says(tmp_path):
    path = tmp_path / "t.parquet"
    write(
        path,
        whole=pa.array([1, None, 3], pa.int8()),
        half=pa.array([0.5, None, -1], pa.float16()),
        price=[Decimal("1.00"), Decimal("2.00"), Decimal("3.00")],
        zip=["0123", "", None],
        kind=pa.array(["b", "a", None]).dictionary_encode(),
        wet=[True, False, None],
        dry=[True, False, False],
        nothing=pa.nulls(3),
        y=[0.5, 1.5, 2.5],
    )
    source = read(path)
    assert source.names == ("whole", "half", "price", "dry", "nothing")
    np.testing.assert_array_equal(
        source.x, [[1, 0.5, 1, 1, NAN], [NAN, NAN, 2, 0, NAN], [3, -1, 3, 0, NAN]]
    )
    assert source.text_names == ("zip", "kind", "wet")
    assert source.values == (["0123"], ["a", "b"], ["False", "True"])
    np.testing.assert_array_equal(source.categories, [[0, 1, 1], [-1, 0, 0], [-1, -1, -1]])


def test_dates_are_read_as_their_parts_and_split_by_time(tmp_path):
    path = tmp_path / "t.parquet"
    days = [datetime.date(2024, 1, 31), datetime.date(2024, 2, 29), None]
    write(path, day=days, at=pa.array([1, 2, 3], pa.timestamp("ns", "UTC")), y=[1.5, 2.5, 3.5])
    source = read(path)
    assert source.names == (*["day"] * 5, *["at"] * 5)
    np.testing.assert_array_equal(source.x[:, 1:5], [[2024, 1, 31, 2], [2024, 2, 29, 3], [NAN] * 4])
    by = read(path, data={"split": TimeSplit(time="at")}).split_by
    np.testing.assert_array_equal(by, np.array([0, 0, 0], "datetime64[us]"))


def rows_and_files(folder):
    """Ten parts as Spark writes them, and the same rows as one CSV file."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=60).round(3), rng.choice(["Ulm", "Bonn", "Kiel"], 60)
    label = rng.choice(["no", "yes"], 60)
    for part in range(10):
        rows = slice(6 * part, 6 * part + 6)
        write(
            folder / "parts" / f"part-{part:05}-c000.snappy.parquet",
            size=[None if part == 3 else x for x in size[rows].tolist()],
            town=town[rows],
            label=label[rows],
        )
    (folder / "parts" / "_SUCCESS").touch()
    (folder / "parts" / ".part-00000-c000.snappy.parquet.crc").write_bytes(b"crc")
    lines = [f"{'' if row // 6 == 3 else size[row]},{town[row]},{label[row]}" for row in range(60)]
    (folder / "t.csv").write_text("\n".join(["size,town,label", *lines]))


def test_a_folder_of_ten_parts_and_the_same_rows_as_csv_are_one_data_set(tmp_path):
    rows_and_files(tmp_path)
    specs = [
        DataSpec(dataset=ParquetFile(parquet="parts", target="label")),
        DataSpec(dataset=CsvFile(csv="t.csv", target="label")),
    ]
    parquet, csv = (load_data(spec, tmp_path, None) for spec in specs)
    assert parquet.fingerprint == csv.fingerprint
    for name in ("x", "y"):
        np.testing.assert_array_equal(parquet.train.shared[name], csv.train.shared[name])
    alone = pq.read_table(tmp_path / "parts")
    assert alone.num_rows == len(parquet.train) + len(parquet.validation) + len(parquet.test)


def test_folders_named_by_a_key_and_a_value_are_a_column_as_for_pyarrow(tmp_path):
    root = tmp_path / "t"
    write(root / "year=2023" / "land=a%20b" / "part-0.parquet", x=[1, 2], y=[0.5, 1.5])
    write(root / "year=2024" / "land=c" / "000000_0", x=[3], y=[2.5])
    hive = "__HIVE_DEFAULT_PARTITION__"
    write(root / "year=2024" / f"land={hive}" / "part-0.parquet", x=[4], y=[3.5])
    source = read(root)
    alone = pq.read_table(root).to_pydict()
    assert source.names == ("x", "year")
    np.testing.assert_array_equal(source.x[:, 0], alone["x"])
    np.testing.assert_array_equal(source.x[:, 1], alone["year"])
    texts = [None if code < 0 else source.values[0][code] for code in source.categories[:, 0]]
    assert texts == ["a b", "a b", None, "c"] == alone["land"]


def test_what_a_spec_says_of_a_table_holds_for_parquet_too(tmp_path):
    path = tmp_path / "t.parquet"
    write(
        path,
        n=[1, -999, 3, 3],
        town=["?", "Ulm", "Ulm", "Ulm"],
        w=[1.0, 2.0, 0.5, 0.5],
        part=["train", "test", "validation", "validation"],
        y=[1, None, 0, 0],
        z=[0, 1, 1, 1],
        blob=[[1], [2], [3], [4]],
    )
    spec = {
        "missing": ["?", -999],
        "weight": "w",
        "drop": ["blob"],
        "drop_rows": {"missing_target": True, "duplicates": True},
    }
    source = read(path, ("y", "z"), data={"split": ColumnSplit(column="part")}, **spec)
    np.testing.assert_array_equal(source.x, [[1], [3]])
    np.testing.assert_array_equal(source.categories, [[-1], [0]])
    np.testing.assert_array_equal(source.y, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(source.weight, [1, 0.5])
    np.testing.assert_array_equal(source.split_by, [0, 1])
    assert source.notes == (
        "t.parquet: 1 row without a target is left out.",
        "t.parquet: 1 row that repeats an earlier one is left out.",
    )


def test_a_column_that_splits_is_read_although_it_is_dropped(tmp_path):
    write(tmp_path / "t.parquet", a=[1, 2], g=["u", "v"], y=[0.5, 1.5])
    source = read(tmp_path / "t.parquet", drop=["g"], data={"split": GroupSplit(group="g")})
    np.testing.assert_array_equal(source.split_by, [0, 1])
    assert source.names == ("a",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1], [2]], "y": [1, 2]}, r"t\.parquet: column 'a' holds list<.*drop, or save it"),
        ({"a": [1, 2], "y": [1.5, None]}, r"t\.parquet: row 2: 1 row has no value in the target"),
        ({"a": [1, 2], "z": [1, 2]}, r"t\.parquet: data\.dataset\.target: unknown column 'y'\. C"),
        ({"a": [1, np.inf], "y": [1, 2]}, r"t\.parquet: row 2: column 'a' is infinite or too lar"),
        ({"a": [], "y": []}, r"t\.parquet: has no row: give a file with one row an example"),
        ({"y": [1, 2]}, r"t\.parquet: no column is left to learn from .* data\.dataset\.drop\.$"),
    ],
)
def test_an_unfit_file_is_refused_in_a_line(tmp_path, columns, message):
    write(tmp_path / "t.parquet", **columns)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("damage", [lambda d: d[:40], lambda d: b"PAR1" + d[9:], lambda d: b""])
def test_a_damaged_file_is_refused_in_a_line(tmp_path, damage):
    path = tmp_path / "t.parquet"
    write(path, a=list(range(99)), y=[0.5, 1.5, 2.5] * 33)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"t\.parquet: .*: save it again") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_tiny_file_of_very_many_rows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(typed_files, "_ALWAYS_READ", 1000)
    write(tmp_path / "t.parquet", a=np.zeros(10**6), y=np.zeros(10**6))
    with pytest.raises(DataError, match=r"bytes hold 1,000,000 rows, as no table does: if you tru"):
        read(tmp_path / "t.parquet")


def test_files_of_other_columns_or_folders_are_refused(tmp_path):
    write(tmp_path / "a" / "1.parquet", a=[1], y=[1])
    write(tmp_path / "a" / "2.parquet", b=[1], y=[1])
    with pytest.raises(
        DataError, match=r"2\.parquet: has no column 'a', which .*1\.parquet has: g"
    ):
        read(tmp_path / "a")
    write(tmp_path / "b" / "k=1" / "1.parquet", a=[1], y=[1])
    write(tmp_path / "b" / "2.parquet", a=[1], y=[1])
    with pytest.raises(DataError, match=r"does not lie in folders"):
        read(tmp_path / "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no Parquet file: correct the path"):
        read(tmp_path / "empty")


def test_the_head_is_the_number_of_rows_and_the_names_of_the_columns(tmp_path):
    write(tmp_path / "t.parquet", a=[1, 2], b=[[1], [2]], y=[1, 2])
    assert inspect_data(section(drop=["b"]), tmp_path, None).seen == (
        "t.parquet: 2 rows of 3 columns"
    )
    (mistake,) = inspect_data(section("z", drop=["b"]), tmp_path, None).mistakes
    assert mistake.path == ("dataset", "target")
    (mistake,) = inspect_data(section(), tmp_path, None).mistakes
    assert "column 'b' holds list<" in mistake.text
