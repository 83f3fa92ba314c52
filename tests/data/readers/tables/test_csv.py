"""CSV tables."""

import gzip
import time
import tracemalloc

import numpy as np
import pytest

from hpo.data.readers.tables import examples, lines, pieces
from hpo.data.readers.tables.csv import read_csv
from hpo.data.readers.tables.table import MOST_NUMERIC_CLASSES
from hpo.errors import DataError
from hpo.spec.sections.columns import MOST_CATEGORIES
from hpo.spec.sections.data import CsvFile, DataSpec

NAN = np.nan


def read(folder, text, *, target="y", name="t.csv", **spec):
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return read_csv(path, DataSpec(dataset=CsvFile(csv=name, target=target, **spec)))


def test_numbers_and_texts_are_separated_and_empty_cells_marked(tmp_path):
    source = read(tmp_path, "size,y,town,wet\n1.5,10.5,Ulm,True\n,11.5,,False\n3,9.5,Bonn,\n")
    np.testing.assert_array_equal(source.x, [[1.5], [NAN], [3]])
    np.testing.assert_array_equal(source.categories, [[1, 1], [-1, 0], [0, -1]])
    np.testing.assert_array_equal(source.y, [10.5, 11.5, 9.5])


def test_numbers_with_decimal_commas_are_numbers(tmp_path):
    text = "a;b;y\n1,5;x,1;0\n-2,25;y,2;1\n,5;x,1;1\n"
    source = read(tmp_path, text, separator=";", decimal=",")
    assert source.x.tolist() == [[1.5], [-2.25], [0.5]]
    assert source.values == (["x,1", "y,2"],)


def test_groups_of_digits_and_signs_of_units_are_left_out_of_numbers(tmp_path):
    text = 'a,note,y\n"$1,106.50","4,5 stars",6%\n-$3,"4,5 stars",7 %\n,"$",-5%\n2e3,$,$1\n'
    source = read(tmp_path, text, thousands=",", units=["$", "%"])
    np.testing.assert_array_equal(source.x, [[1106.5], [-3], [NAN], [2000]])
    assert source.values == (["$", "4,5 stars"],)
    assert source.classes == ("-5", "1", "6", "7")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1.106,06;0\n-,5;1\n", {"decimal": ",", "thousands": "."}),
        ("1106,06 €;0\n-0,5;1\n", {"decimal": ",", "units": ["€"]}),
        ("1 106.06;0\n-.5;1\n", {"thousands": " "}),
        ("1\u202f106.06;0\n-.5;1\n", {"thousands": " "}),
        ("1'106.06;0\n-.5;1\n", {"thousands": "'"}),
    ],
)
def test_large_numbers_are_grouped_as_the_spec_says(text, spec, tmp_path):
    source = read(tmp_path, f"a;y\n{text}", separator=";", **spec)
    assert source.x.tolist() == [[1106.06], [-0.5]]


def test_a_date_and_a_column_name_are_no_grouped_numbers(tmp_path):
    text = "day,1.000,y\n01.02.2024,1.000,0\n02.02.2024,2.000,1\n"
    source = read(tmp_path, text, decimal=",", thousands=".")
    assert source.names == ("1.000",)
    assert source.values == (["01.02.2024", "02.02.2024"],)


def test_a_column_without_a_name_gets_one_as_without_a_header(tmp_path):
    source = read(tmp_path, ',a,y,""\n7,x,0.5,\n8,z,1.5,\n')
    assert (source.names, source.text_names) == (("column_1", "column_4"), ("a",))
    assert source.x[:, 0].tolist() == [7, 8]
    source = read(tmp_path, ",a,y\n7,x,0.5\n8,z,1.5\n", drop=["column_1"])
    assert (source.names, source.text_names) == ((), ("a",))


def test_numbers_with_marks_are_told_how_to_be_read(tmp_path):
    with pytest.raises(DataError, match=r"correct the file\. Where these are numbers, write units"):
        read(tmp_path, 'a,y\n1,"$1,500"\n2,$3\n', task="regression")


def test_lines_are_those_of_the_file_where_numbers_are_rewritten(tmp_path):
    text = 'a,b,y\n\n"two\nlines",$1,0\nx,$2,\n'
    with pytest.raises(DataError, match=r"t\.csv:5: "):
        read(tmp_path, text, units=["$"])


RARE = "a,y\n1,u\n2,v\n3,u\n4,w\n5,x\n6,w\n"


def test_rows_of_rare_classes_are_left_out_on_demand(tmp_path):
    spec = {"task": "classification", "drop_rows": {"rare_classes": 2}}
    source = read(tmp_path, RARE, **spec)
    assert source.x.tolist() == [[1], [3], [4], [6]]
    assert source.classes == ("u", "w")
    assert source.notes == ("t.csv: 2 rows of 2 rare classes are left out.",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"task": "auto", "drop_rows": {"rare_classes": 2}}, "write task: classification"),
        ({"task": "classification", "drop_rows": {"rare_classes": 9}}, "no class has 9 rows"),
    ],
)
def test_rare_classes_need_classes(spec, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read(tmp_path, RARE, **spec)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_separators_quotes_byte_order_marks_and_line_ends_are_understood(tmp_path, name):
    text = '\ufeffa;y\r\n1;"x;1"\r\n\r\n2;"x\n2"\r\n'
    source = read(tmp_path, text, name=name, separator=";")
    np.testing.assert_array_equal(source.x, [[1], [2]])
    assert source.classes == ("x\n2", "x;1")


def test_dropped_columns_are_no_features(tmp_path):
    source = read(tmp_path, "id,a,y\n1,5,u\n2,6,v\n", drop=["id"])
    np.testing.assert_array_equal(source.x, [[5], [6]])


def test_the_weight_column_is_no_feature(tmp_path):
    source = read(tmp_path, "w,a,y\n2,5,u\n0,6,v\n0.5,7,v\n", weight="w")
    np.testing.assert_array_equal(source.x, [[5], [6], [7]])
    np.testing.assert_array_equal(source.weight, [2, 0, 0.5])
    assert source.weight.dtype == np.float64


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["no", "yes", "no"], "auto", ("no", "yes")),
        (["true", "false", "true"], "auto", ("False", "True")),
        ([10, 9, 10], "auto", ("9", "10")),
        (["1.0", "0.0", "1.0"], "auto", ("0", "1")),
        ([0.5, 1.5, 1.5], "auto", ()),
        ([0.5, 1.5, 1.5], "classification", ("0.5", "1.5")),
        ([10, 9, 10], "regression", ()),
        (range(MOST_NUMERIC_CLASSES), "auto", tuple(map(str, range(MOST_NUMERIC_CLASSES)))),
        (range(MOST_NUMERIC_CLASSES + 1), "auto", ()),
    ],
)
def test_the_target_decides_the_task_unless_the_spec_does(tmp_path, target, task, classes):
    text = "a,y\n" + "".join(f"{row},{value}\n" for row, value in enumerate(target))
    source = read(tmp_path, text, task=task)
    assert source.classes == classes
    assert source.y.dtype == (np.int32 if classes else np.float64)


def test_without_a_header_the_columns_are_numbered_and_the_first_row_is_an_example(tmp_path):
    source = read(tmp_path, "1,5,u\n2,6,v\n", header=False, target="column_3", drop=["column_1"])
    np.testing.assert_array_equal(source.x, [[5], [6]])
    assert (source.classes, source.notes) == (("u", "v"), ())


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_lines_are_skipped_before_the_header_whatever_they_hold(tmp_path, name):
    text = '\ufeffmeasured in May, by \u00e4 "hand\r\n\r\na,y\r\n1,5\r\n2,6\r\n'
    source = read(tmp_path, text, name=name, skip=2)
    np.testing.assert_array_equal(source.x, [[1], [2]])


def test_lines_are_counted_from_the_start_of_the_file_when_some_are_skipped(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv:5: has 3 cells where the header has 2"):
        read(tmp_path, "from here\nto there\na,y\n1,2\n1,2,3\n", skip=2)


def test_missing_words_are_gaps_in_columns_of_numbers_and_of_text(tmp_path):
    text = "size,town,y\n1.5,Ulm,7\n?,?,8\n3, ?,9\n-999,Bonn,7\n-999.0,Ulm,8\n,NA,9\n"
    source = read(tmp_path, text, missing=["?", -999])
    np.testing.assert_array_equal(source.x, [[1.5], [NAN], [3], [NAN], [NAN], [NAN]])
    np.testing.assert_array_equal(source.categories, [[1], [-1], [-1], [0], [1], [-1]])


def test_a_missing_target_is_refused_or_its_row_left_out(tmp_path):
    text = "a,w,y\n1,1,0\n2,,?\n3,1,1\n4,1,\n5,2,0\n"
    with pytest.raises(DataError, match=r"t\.csv:3: 2 rows have .* drop_rows: {missing_target: tr"):
        read(tmp_path, text, missing=["?"], weight="w")
    source = read(tmp_path, text, missing=["?"], weight="w", drop_rows={"missing_target": True})
    np.testing.assert_array_equal(source.x, [[1], [3], [5]])
    np.testing.assert_array_equal(source.weight, [1, 1, 2])
    assert source.classes == ("0", "1")
    assert source.notes == ("t.csv: 2 rows without a target are left out.",)


def test_mistakes_below_a_row_that_is_left_out_keep_their_lines(tmp_path):
    text = "a,y\n1,\n2,7.5\ninf,8.5\n"
    with pytest.raises(DataError, match=r"t\.csv:4: column 'a' is infinite"):
        read(tmp_path, text, drop_rows={"missing_target": True})


def test_a_first_row_that_looks_like_data_is_read_as_the_header_with_a_warning(tmp_path):
    text = "6,148,1\n1,85,0\n8,183,1\n1,89,0\n"
    (warning,) = read(tmp_path, text, target="1").notes
    assert warning == (
        "t.csv: the first row (6, 148, 1) looks like data and is read as the header: write "
        "header: false in data.dataset, or header: true if it names the columns."
    )
    assert read(tmp_path, text, target="1", header=True).notes == ()
    assert len(read(tmp_path, text, target="column_3", header=False)) == 4


@pytest.mark.parametrize(
    "text", ["6,6,1\n1,85,0\n8,183,1\n", ",148,1\n1,85,0\n8,183,1\n", "6,148,1\n1,85,0\n8,183,1\n"]
)
def test_names_that_cannot_be_used_because_they_are_data_are_refused_with_the_cure(tmp_path, text):
    with pytest.raises(DataError, match=r"If the first row is data, write header: false"):
        read(tmp_path, text, target="column_3")


def test_classes_are_sorted_and_indexed(tmp_path):
    source = read(tmp_path, "a,y\n1,b\n2,a\n3,c\n4,a\n")
    np.testing.assert_array_equal(source.y, [1, 0, 2, 0])
    assert source.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("", {}, ": is empty: it needs a header"),
        ("\n \n", {}, ": is empty: it needs a header"),
        ("a,y\n", {}, ": has a header and no rows below it: add one row an example."),
        ("a,y\n1,2\n1,2,3\n", {}, ":3: has 3 cells where the header has 2: correct the line"),
        ("a,b,y\n1,2,3\n\n1,2\n", {}, ":4: has 2 cells where the header has 3: correct the line"),
        ('a,y\n"1\n",2\n1\n', {}, ":4: has 1 cell where the header has 2"),
        ("a,a,y\n1,2,3\n", {}, ":1: 2 columns are named 'a': rename all but one."),
        (",column_1,y\n1,2,3\n", {}, ":1: 2 columns are named 'column_1': rename all but one"),
        ("a,y\n1,2\n3,\u00e4\n".encode("latin-1"), {}, ":3: is not UTF-8"),
        ("a,price\n1,2\n", {"target": "prize"}, ": data.dataset.target: unknown column 'prize'. "
         "Did you mean 'price'? Columns: a, price."),
        ("a;z\n1;2\n", {}, ": data.dataset.target: unknown column 'y'. The header is one column: "
         'set data.dataset.separator: ";". Columns: a;z.'),
        ("a\tz\n1\t2\n", {}, ": data.dataset.target: unknown column 'y'. The header is one column: "
         r'set data.dataset.separator: "\t". Columns: a'),
        ("a,y\n1,2\n", {"drop": ["zzz"]}, ": data.dataset.drop: unknown column 'zzz'. Columns: a"),
        ("a,y\n1,2\n", {"drop": ["y"]}, ": data.dataset.drop: 'y' is the target: keep it."),
        ("a,y\n1,2\n", {"weight": "w"}, ": data.dataset.weight: unknown column 'w'. Columns: a"),
        ("a,y\n1,2\n", {"weight": "y"}, ": data.dataset.weight: 'y' is the target: name another"),
        ("a,w,y\n1,1,2\n", {"weight": "w", "drop": ["w"]}, ": data.dataset.drop: 'w' is the "
         "weight: keep it."),
        ("w,y\n1,2\n", {"weight": "w"}, ": no column is left to learn from beside the target 'y'"),
        ("a,w,y\n1,1,2\n2,-1,3\n", {"weight": "w"}, ":3: the weight in column 'w' is -1: write a "),
        ("a,w,y\n1,1,2\n2,,3\n", {"weight": "w"}, ":3: the weight in column 'w' is empty: write a"),
        ("a,w,y\n1,1,2\n2,inf,3\n", {"weight": "w"}, ":3: the weight in column 'w' is inf: write"),
        ("a,w,y\n1,1,2\n2,1e39,3\n", {"weight": "w"}, ":3: the weight in column 'w' is 1e+39: "),
        ("a,w,y\n1,b,2\n2,1,3\n", {"weight": "w"}, ":2: the weight in column 'w' is b: write a "),
        ("a,w,y\n1,0,2\n2,0,3\n", {"weight": "w"}, ": every weight in column 'w' is 0: correct "),
        ("a,y\n1,2\n", {"drop": ["a"]}, ": no column is left to learn from beside the target"),
        ("y\n1\n2\n", {}, ": no column is left to learn from beside the target 'y'"),
        ("a,y\n1,7\n2,7\n", {}, ": the target 'y' is 7 in every row: there is nothing to learn."),
        ("a,y\n1,7\n2,\n3,NA\n", {}, ":3: 2 rows have no value in the target column 'y'"),
        ("a,y\n1,7\n2,\n", {}, ":3: 1 row has no value in the target column 'y'"),
        ("a,y\n1,7.5\n2,-inf\n", {}, ":3: the target 'y' is infinite or too large"),
        ("a,y\n1,7.5\n2,1e300\n", {}, ":3: the target 'y' is infinite or too large for float32"),
        ("a,y\n1,7\ninf,8\n", {}, ":3: column 'a' is infinite or too large for float32: write"),
        ("a,y\n1,7\n-1e39,8\n", {}, ":3: column 'a' is infinite or too large for float32"),
        ('a,y\n1,x\n2,"y\n3,z\n', {}, ":3: a quote is opened here and not closed before the file "),
        ('a,y\n1,"' + "x\n" * 99_999, {}, ":2: a cell does not end, as after a stray quote"),
        ("1,2\n3,4\n", {"header": False}, ": data.dataset.target: unknown column 'y'. Without a "
         "header the columns are column_1 to column_2."),
        ("1,2\n3,4,5\n", {"header": False}, ":2: has 3 cells where the first row has 2: correct"),
        ("a,y\n1,2\n", {"skip": 9}, ": has no row after the 9 lines of data.dataset.skip: correct"),
        ("a,y\n1,\n2,NA\n", {"drop_rows": {"missing_target": True}}, ": no row has a value in the "
         "target column 'y': correct data.dataset.missing"),
        ("a,y\n1,7\n2,x\n", {"task": "regression"}, ": data.dataset.task: regression: the target "
         "'y' is not a number everywhere (such as 'x')"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_message_about_a_broken_table_is_one_line_that_names_the_place(
    tmp_path, text, spec, message
):
    with pytest.raises(DataError) as error:
        read(tmp_path, text, **spec)
    assert str(error.value).startswith(f"{tmp_path / 't.csv'}{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,y\n1,2\n", "is a damaged gzip file"),
        (gzip.compress(b"a,y\n1,2\n", mtime=0)[:-9], "is truncated: the gzip data end early"),
    ],
)
def test_a_file_that_is_not_really_gzip_is_refused(tmp_path, data, problem):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"t\.csv\.gz: {problem}.*Download it again\.$"):
        read_csv(path, DataSpec(dataset=CsvFile(csv="t.csv.gz", target="y")))


def test_a_stray_text_among_numbers_is_refused_with_its_line(tmp_path):
    rows = "".join(f"{number},{number % 2}\n" for number in range(9))
    with pytest.raises(
        DataError, match=r"t\.csv:12: column 'a' holds 'abc' among numbers: correct it"
    ):
        read(tmp_path, f"a,y\n{rows},0\nabc,1\n")


def test_a_column_with_text_in_more_than_a_tenth_of_its_cells_is_categorical(tmp_path):
    rows = "".join(f"{number},{number % 2}\n" for number in range(8))
    source = read(tmp_path, f"a,y\n{rows},0\nabc,1\n")
    assert source.categories.max() == 8


def test_a_table_of_short_rows_takes_a_few_times_its_size(tmp_path, monkeypatch):
    # Pieces as small to this file as they are to a large one.
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 1 << 16)
    monkeypatch.setattr(lines, "_PIECE", 1 << 16)
    monkeypatch.setattr(examples, "_PIECE_OF_ROWS", 1 << 14)
    read(tmp_path, "a,y\n1,0\n2,1\n")  # imports pandas
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1,0\n2,1\n" * 250_000)
    tracemalloc.start()
    source = read_csv(path, DataSpec(dataset=CsvFile(csv="t.csv", target="y")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert source.x.shape == (500_000, 1)
    # Three sizes are the results: 8 bytes for the number in a row of 4 bytes, and 4 for its class.
    assert peak < 5 * path.stat().st_size


def test_fifty_thousand_columns_are_read_within_5_seconds(tmp_path):
    names = ",".join(f"c{number}" for number in range(50_000))
    numbers = ",".join("1" * 50_000)
    began = time.process_time()
    assert read(tmp_path, f"{names},y\n{numbers},0\n{numbers},1\n").x.shape == (2, 50_000)
    assert time.process_time() - began < 5


def test_more_columns_of_text_than_can_be_encoded_are_refused(tmp_path):
    names = ",".join(f"c{number}" for number in range(5001))
    texts = ",".join("x" * 5001)
    with pytest.raises(DataError, match=r"holds 5,001 columns of text, more than 5,000: write"):
        read(tmp_path, f"{names},y\n{texts},0\n{texts},1\n")
    with pytest.raises(DataError, match=r"unknown column 'z'\. Columns: c0, .* and 4,98\d more\."):
        read(tmp_path, f"{names},y\n{texts},0\n{texts},1\n", target="z")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (f"{'q' * 300},z\n1,2\n3,4\n", {}),
        (f"{'q' * 300},y\n1,2\ninf,4\n", {}),
        (f"{'q' * 300},{'q' * 300},y\n1,2,3\n", {}),
        (f"a,y\n1,{'q' * 300}\n2,5\n", {"task": "regression"}),
        (f"a,{'q' * 300}\n1,2\n2,\n", {"target": "q" * 300}),
        (f"a,y\n1,{'q' * 300}\n2,{'q' * 300}\n", {}),
        (f"a,w,y\n1,{'q' * 300},3\n2,1,4\n", {"weight": "w"}),
        ("a,y\n" + "1,2\n3,4\n" * 9 + f"{'q' * 300},5\n", {}),
        ("a,y\n" + "".join(f"{'q' * 300}{row},{row % 2}\n" for row in range(1001)), {}),
    ],
)
def test_a_message_repeats_no_long_text_of_the_file(tmp_path, text, spec):
    with pytest.raises(DataError) as error:
        read(tmp_path, text, **spec)
    assert "q" * 20 in str(error.value)
    assert "q" * 81 not in str(error.value)


def test_a_text_column_with_too_many_values_is_refused(tmp_path):
    rows = "".join(f"name {number},{number % 2}\n" for number in range(MOST_CATEGORIES + 1))
    with pytest.raises(DataError, match=r"column 'a' holds 1001 different texts, such as 'name 0'"):
        read(tmp_path, "a,y\n" + rows)


@pytest.mark.parametrize("encoding", ["gbk", "GB18030", "utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_may_have_any_encoding(tmp_path, encoding, name):
    text = '城市,"价,格",y\n南京,1.5,好\n\n"上海\n浦东",2,坏\n'
    source = read(tmp_path, text.encode(encoding), name=name, encoding=encoding)
    assert source.values == (["上海\n浦东", "南京"],)
    assert (source.names, source.classes) == (("价,格",), ("坏", "好"))


@pytest.mark.parametrize(
    ("data", "encoding", "told"),
    [
        ("a,y\n1,Ü\n".encode("latin-1"), "utf-8", r"t\.csv:2: is not UTF-8: save .* such as gbk"),
        (
            "a,y\n\n1,\u00ff\n".encode("latin-1"),
            "gbk",
            r"t\.csv:3: is not gbk: correct data\.datas",
        ),
        ("a,y\n1,2\n3".encode("utf-16-le")[:-1], "utf-16-le", r"t\.csv:3: is not utf-16-le"),
        ("a,y\n1,2\n".encode("utf-16"), "utf-8", r"t\.csv: looks like utf-16: write .*: utf-16\."),
        ("a,y\n1,2\n".encode("utf-16-le"), "utf-8", r"t\.csv: looks like utf-16-le: write data"),
        ("一,y\n一,2\n".encode("utf-16-le"), "utf-16", r"encoding: utf-16-le\."),
        ("a,y\n1,2\n".encode("utf-16-be"), "utf-16-le", r"encoding: utf-16-be\."),
    ],
)
def test_data_of_another_encoding_are_refused_by_line_or_encoding(tmp_path, data, encoding, told):
    with pytest.raises(DataError, match=told):
        read(tmp_path, data, encoding=encoding)


@pytest.mark.parametrize("name", ["t.tsv", "t.TSV.gz", "t.tab"])
def test_the_cells_of_a_tsv_file_are_separated_by_tabs(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    source = read(tmp_path, "a\ty\n1,5\tu\n2\tv\n", name=name)
    assert source.values == (["1,5", "2"],)
    other = read(tmp_path, "a;y\n1;u\n2;v\n", name=name, separator=";")
    assert other.names == ("a",)
