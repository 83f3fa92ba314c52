"""What the head of data files shows."""

import gzip
import struct

import numpy as np
import pytest

from hpo.data.head import Head, inspect_data
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec, IdxFolder

IMAGES = np.zeros((6, 3, 2), np.uint8)
LABELS = [7, 3, 7, 3, 9, 9]


def inspected(folder, dataset, home=None, **data):
    return inspect_data(DataSpec(dataset=dataset, **data), folder, home)


def table(folder, text, **spec):
    (folder / "t.csv").write_text(text)
    return inspected(folder, CsvFile(**{"csv": "t.csv", "target": "y", **spec}))


def test_a_sound_table_is_its_size_and_no_mistake(tmp_path):
    assert table(tmp_path, "a,y\n1,5\n2,6\n") == Head(
        "t.csv: 2 rows of 2 columns", task="classification"
    )


def test_a_large_table_says_that_only_its_first_rows_were_seen(tmp_path):
    found = table(tmp_path, "a,y\n" + "123456789,1\n" * 100_000)
    assert found.seen.startswith("t.csv: 87,3")
    assert found.seen.endswith(
        "rows of 2 columns, the first MiB of the file; the rest was not read"
    )


@pytest.mark.parametrize(
    ("text", "spec", "mistake"),
    [
        ("a,y\n1,2\n1,2,3\n", {}, ("csv", "t.csv:3: has 3 cells where the header has 2: corr")),
        ("a,z\n1,2\n", {}, ("target", "t.csv: unknown column 'y'. Columns: a, z.")),
        ("a,y\n1,2\n", {"drop": ["b"]}, ("drop", "t.csv: unknown column 'b'. Columns: a, y.")),
        ("a,y\n1,2\n2,\n", {}, ("target", "t.csv:3: 1 row has no value in the target column 'y'")),
        ("a,y\n" + "1,2\n" * 9 + "x,3\n", {}, ("csv", "t.csv:11: column 'a' holds 'x' among n")),
        (
            "a,y\n" + "".join(f"1 May {year},{year}\n" for year in range(1001)),
            {},
            ("csv", "t.csv: column 'a' holds 1001 different texts, such as '1 May 0', more than"),
        ),
        ("a,y\n1,2\ninf,3\n", {}, ("csv", "t.csv:3: column 'a' is infinite or too large for fl")),
        ("a,y\n1,2\n3,-1e39\n", {}, ("target", "t.csv:3: the target 'y' is infinite or too l")),
        ("a,y\n", {}, ("csv", "t.csv: has a header and no rows below it")),
        ("", {}, ("csv", "t.csv: is empty")),
        ('a,y\n1,"2\n3,4\n', {}, ("csv", "t.csv:2: a quote is opened here and not closed")),
        ("a,y\n1,2\n", {"csv": "u.csv"}, ("csv", "there is no file 'u.csv' in ")),
    ],
)
def test_a_mistake_in_the_head_of_a_table_is_told_with_the_field_it_belongs_to(
    tmp_path, text, spec, mistake
):
    found = table(tmp_path, text, **spec)
    ((path, told),) = found.mistakes
    assert path == ("dataset", mistake[0])
    assert told.removeprefix(f"{tmp_path}/").startswith(mistake[1])


def test_gaps_are_a_note(tmp_path):
    found = table(tmp_path, "a,town,y\n1,Ulm,5\n,NA,6\n,Bonn,7\n")
    assert found.mistakes == ()
    assert found.notes == (
        "t.csv: gaps in 'a' 2, 'town' 1: each gets the median of its column's training rows, or "
        "their most frequent text.",
    )


def test_a_word_that_turns_a_column_of_numbers_into_text_is_a_note(tmp_path):
    rows = "".join(f"{number if number % 4 else '?'},{number}\n" for number in range(40))
    found = table(tmp_path, f"a,y\n{rows}")
    assert found.mistakes == ()
    assert found.notes == (
        "t.csv: column 'a' holds '?' beside numbers, and all of it is read as text: if it is no "
        "value, list it in data.dataset.missing.",
    )
    assert (
        table(tmp_path, f"a,y\n{rows}", missing=["?"]).notes[0].startswith("t.csv: gaps in 'a' 10")
    )


def test_a_first_row_that_looks_like_data_is_a_note_with_the_cure(tmp_path):
    (note,) = table(tmp_path, "6,148,1\n1,85,0\n8,183,1\n", target="1").notes
    assert "looks like data and is read as the header: write header: false" in note


def test_a_set_that_can_be_downloaded_and_is_not_here_is_a_note(tmp_path):
    for dataset in ("mnist", CsvFile(csv="california_housing/housing.csv", target="y")):
        found = inspected(tmp_path, dataset, home=tmp_path)
        assert found.mistakes == ()
        assert "is not on this machine: run `hpo data get " in found.notes[0]


@pytest.mark.parametrize("home", [True, False])
def test_a_set_that_comes_with_a_package_needs_no_file(tmp_path, home):
    assert inspected(tmp_path, "digits", home=tmp_path if home else None) == Head()


def test_a_folder_of_images_is_told_by_its_headers_alone(tmp_path, write_set):
    write_set(tmp_path, TRAIN_FILES, IMAGES, LABELS)
    write_set(tmp_path, TEST_FILES, IMAGES[:2], LABELS[:2])
    for name in TRAIN_FILES:
        path = tmp_path / f"{name}.gz"
        whole = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(whole)[:-4])  # damaged behind the header
    found = inspected(tmp_path, IdxFolder(idx="."))
    assert found == Head(f"{tmp_path}: 6 images of 3x2 to train and 2 images of 3x2 to test")
    (tmp_path / f"{TRAIN_FILES[1]}.gz").write_bytes(gzip.compress(struct.pack(">2I", 0x801, 5)))
    ((path, text),) = inspected(tmp_path, IdxFolder(idx=".")).mistakes
    assert path == ("dataset", "idx")
    assert "holds 6 images and train-labels-idx1-ubyte.gz 5 labels" in text


@pytest.mark.parametrize(
    ("text", "by_name", "mistake"),
    [
        ("a,y\n1,2\n", {"b": {"drop": True}}, ("by_name", "t.csv: unknown column 'b'. Columns")),
        ("a,y\nyes,2\nmaybe,3\n", {"a": {"type": "boolean"}}, ("csv", "t.csv:3: column 'a' holds")),
        (
            "a,y\n2024-01-01,2\n,1\nsoon,3\n",
            {"a": {"type": "date"}},
            ("csv", "t.csv:4: column 'a'"),
        ),
    ],
)
def test_a_mistake_about_a_column_by_name_is_told(tmp_path, text, by_name, mistake):
    (tmp_path / "t.csv").write_text(text)
    dataset = CsvFile(csv="t.csv", target="y")
    ((path, told),) = inspected(tmp_path, dataset, columns=Columns(by_name=by_name)).mistakes
    assert path[-1] == mistake[0]
    assert told.removeprefix(f"{tmp_path}/").startswith(mistake[1])


def test_a_code_that_float32_cannot_hold_is_a_mistake_as_a_number_alone(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1e300,2\n7,3\n")
    dataset = CsvFile(csv="t.csv", target="y")
    codes = Columns(by_name={"a": {"type": "category"}})
    assert inspected(tmp_path, dataset, columns=codes).mistakes == ()
    ((_, told),) = inspected(tmp_path, dataset).mistakes
    assert "t.csv:2: column 'a' is infinite or too large for float32" in told


@pytest.mark.parametrize("how", [{"type": "text"}, {"encode": "target"}, {"type": "category"}])
def test_very_many_texts_are_no_mistake_where_they_are_not_one_hot(tmp_path, how):
    rows = "".join(f"n{row},{row}\n" for row in range(1001))
    (tmp_path / "t.csv").write_text(f"a,y\n{rows}")
    dataset = CsvFile(csv="t.csv", target="y")
    found = inspected(tmp_path, dataset, columns=Columns(by_name={"a": how}))
    assert (found.mistakes == ()) == (how != {"type": "category"})


def test_dates_are_a_note(tmp_path):
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    (note,) = table(tmp_path, "a,y\n" + "".join(f"{day},{day[-1]}\n" for day in days)).notes
    assert "column 'a' holds '2024-01-01', and each text is a category: for the parts of d" in note
    many = [f"{day} {hour}:00" for day in days for hour in range(10, 20)]
    found = table(tmp_path, "a,y\n" + "".join(f"{day},{day[-4]}\n" for day in many))
    assert found.mistakes == ()
    assert found.notes == (
        "t.csv: column 'a' holds dates: it is read as their days, years, months and weekdays.",
    )


def test_very_many_sentences_are_a_note(tmp_path):
    rows = "".join(f"it was the film of {row},{row}\n" for row in range(1001))
    found = table(tmp_path, f"a,y\n{rows}")
    assert (found.mistakes, len(found.notes)) == ((), 1)
    assert "t.csv: column 'a' holds sentences: it is read as text" in found.notes[0]


def test_gaps_are_no_note_where_the_spec_says_what_they_become(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,5\n,6\n3,7\n")
    dataset = CsvFile(csv="t.csv", target="y")
    assert inspected(tmp_path, dataset, columns=Columns(impute="mean")).notes == ()


def test_a_file_of_further_rows_that_is_not_there_is_a_mistake(tmp_path):
    assert inspected(tmp_path, "digits", extra="test.npz").mistakes == (
        (("extra",), f"there is no 'test.npz' in {tmp_path}: correct the path"),
    )
    (tmp_path / "test.npz").touch()
    assert inspected(tmp_path, "digits", extra="test.npz") == Head()
