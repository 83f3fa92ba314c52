"""The head of a table."""

import pytest

from hpo.data.readers.tables.csv import read_csv
from hpo.data.readers.tables.table_head import head, read_head
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec
from tests.effort import effort


def head_of(folder, text, **spec):
    (folder / "t.csv").write_text(text)
    table = CsvFile(**{"csv": "t.csv", "target": "y", **spec})
    return read_head(folder / "t.csv", DataSpec(dataset=table))


def test_a_head_counts_the_cells_of_each_column_and_finds_their_first_lines(tmp_path):
    found = head_of(tmp_path, "a,town,y\n1,Ulm,5\n\n?,,6\n3,Bonn,7\nx,NA,8\n", missing=["?"])
    assert [(c.name, c.numbers, c.texts, c.gaps) for c in found.columns] == [
        ("a", 2, 1, 1),
        ("town", 0, 2, 2),
        ("y", 4, 0, 0),
    ]
    assert [(c.gap_line, c.text_line, c.text) for c in found.columns] == [
        (4, 6, "x"),
        (4, 2, "Ulm"),
        (None, None, ""),
    ]
    assert (found.rows, found.is_whole, found.findings) == (4, True, ())


def test_a_head_reads_numbers_as_the_spec_writes_them(tmp_path):
    text = 'a,b,y\n"$1,106.5",6%,1\n$7,x,2\n'
    found = head_of(tmp_path, text, thousands=",", units=["$", "%"])
    assert [(c.numbers, c.texts) for c in found.columns] == [(2, 0), (1, 1), (2, 0)]


def test_a_head_is_the_whole_rows_of_the_first_mib(tmp_path):
    row = '1,"two\nlines",5\n'
    found = head_of(tmp_path, "a,b,y\n" + row * 100_000)
    assert not found.is_whole
    assert (1 << 20) - 2 * len(row) < found.rows * len(row) < 1 << 20
    assert found.findings == ()


def test_every_row_of_another_length_is_found_with_its_line(tmp_path):
    found = head_of(tmp_path, "a,y\n1,2\n1\n3,4\n1,2,3\n")
    assert [(key, line) for key, line, _ in found.findings] == [("csv", 3), ("csv", 5)]
    assert found.rows == 2


def test_a_file_that_is_one_long_line_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv: its first line is longer than 1 MiB"):
        head_of(tmp_path, "1," * 600_000)


def test_skipping_more_lines_than_a_table_has_costs_no_more_than_the_table(tmp_path):
    def read():
        with pytest.raises(DataError, match="has no row after the 1,000,000 lines"):
            head_of(tmp_path, "a,y\n1,2\n", skip=1_000_000)

    assert effort(read) < 10_000
    with pytest.raises(DataError, match="has no row after"):
        head_of(tmp_path, "a,y\n1,2\n", skip=10**30)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_a_head_of_another_encoding_is_the_whole_rows_of_the_first_mib(tmp_path, encoding):
    row = "南京市,5\n"
    (tmp_path / "t.csv").write_bytes(("城市,y\n" + row * 200_000).encode(encoding))
    table = CsvFile(csv="t.csv", target="y", encoding=encoding)
    found = read_head(tmp_path / "t.csv", DataSpec(dataset=table))
    size = len(row.encode(encoding.replace("16", "16-le")))
    assert not found.is_whole
    assert (1 << 20) - 2 * size < found.rows * size < 1 << 20
    assert (found.columns[0].name, found.columns[0].text, found.findings) == ("城市", "南京市", ())


@pytest.mark.parametrize(
    ("cells", "spec", "task"),
    [
        (["a", "b"], {}, "classification"),
        (range(20), {}, "classification"),
        (range(21), {}, "regression"),
        (["1", "1.0", "01", *range(2, 20)], {}, "classification"),
        ([1, 2.5], {}, "regression"),
        ([1, 2.5], {"task": "regression"}, None),  # as the spec says
    ],
)
def test_the_head_shows_the_task_of_a_target_as_the_reader_finds_it(tmp_path, cells, spec, task):
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n},{y}\n" for n, y in enumerate(cells)))
    section = DataSpec(dataset=CsvFile(csv="t.csv", target="y", **spec))
    assert head(tmp_path / "t.csv", section).task == task
    classes = read_csv(tmp_path / "t.csv", section).classes
    assert (task or "regression") == ("classification" if classes else "regression")


def test_the_head_of_a_longer_table_does_not_count_the_values_of_its_target(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,0\n2,1\n" * (1 << 17))
    section = DataSpec(dataset=CsvFile(csv="t.csv", target="y"))
    assert head(tmp_path / "t.csv", section).task is None
