"""Arrow files and folders of the package `datasets`."""

import json

import numpy as np
import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.readers.tables.typed.arrow_files import read_arrow
from hpo.errors import DataError
from hpo.spec.sections.data import ArrowData, DataSpec

pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")


def write(path, table, *, is_stream=False, rows_each=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_each)


def section(target="y", **spec):
    return DataSpec(dataset=ArrowData(arrow="t", target=target, **spec))


@pytest.mark.parametrize("is_stream", [False, True], ids=["file", "stream"])
def test_a_file_of_either_format_is_its_columns(tmp_path, is_stream):
    table = pa.table({"a": [1, None, 3], "town": ["Ulm", "", "Bonn"], "y": [0.5, 1.5, 2.5]})
    write(tmp_path / "t.arrow", table, is_stream=is_stream, rows_each=2)
    source = read_arrow(tmp_path / "t.arrow", section())
    np.testing.assert_array_equal(source.x, [[1], [np.nan], [3]])
    np.testing.assert_array_equal(source.categories, [[1], [-1], [0]])
    np.testing.assert_array_equal(source.y, [0.5, 1.5, 2.5])


def saved_to_disk(folder, rows, label):
    """A data set as `datasets` saves it, whose labels are numbers with names."""
    features = {
        "a": {"dtype": "int64", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    }
    table = pa.table({"a": rows, "label": label}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    for number, half in enumerate((table.slice(0, 2), table.slice(2))):
        write(folder / f"data-{number:05}-of-00002.arrow", half, is_stream=True)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text("{}")


def test_a_folder_of_the_package_datasets_has_named_classes_and_its_own_splits(tmp_path):
    saved_to_disk(tmp_path / "t" / "train", [1, 2, 3, 4], [0, 1, 1, 0])
    saved_to_disk(tmp_path / "t" / "val", [5, 6], [1, 0])
    (tmp_path / "t" / "dataset_dict.json").write_text("{}")
    source = read_arrow(tmp_path / "t", section("label"))
    assert source.classes == ("neg", "pos")
    np.testing.assert_array_equal(source.x, [[1], [2], [3], [4]])
    np.testing.assert_array_equal(source.validation.y, [1, 0])
    assert inspect_data(section("label"), tmp_path, None).seen == "t: 4 rows of 2 columns"
    data = load_data(DataSpec(dataset=ArrowData(arrow="t", target="label"), test=1), tmp_path, None)
    assert [len(data.train), len(data.validation), len(data.test)] == [3, 2, 1]


def test_a_label_without_a_name_is_an_empty_cell(tmp_path):
    saved_to_disk(tmp_path / "t", [1, 2, 3, 4], [0, -1, 1, 7])
    with pytest.raises(DataError, match=r"arrow: row 2: 2 rows have no value in the target"):
        read_arrow(tmp_path / "t", section("label"))


@pytest.mark.parametrize(
    "damage", [lambda d: d[:60], lambda d: b"ARROW1" + d[90:], lambda d: b"", lambda d: b"x" * 99]
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path, damage):
    path = tmp_path / "t.arrow"
    write(path, pa.table({"a": list(range(99)), "y": [0.5, 1.5, 2.5] * 33}))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"t\.arrow: .*: save it again") as caught:
        read_arrow(path, section())
    assert "\n" not in str(caught.value)


def test_columns_that_are_no_cells_and_folders_without_files_are_refused(tmp_path):
    write(tmp_path / "t.arrow", pa.table({"a": [b"x"], "y": [1]}))
    with pytest.raises(DataError, match=r"t\.arrow: column 'a' holds binary, which is no number"):
        read_arrow(tmp_path / "t.arrow", section())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no Arrow file: correct the path"):
        read_arrow(tmp_path / "empty", section())


def test_types_of_others_run_no_code(tmp_path):
    """An extension type names code that pyarrow would once have unpickled."""
    field = pa.field(
        "a",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": b"cos\nsystem\n(S'touch hacked'\ntR.",
        },
    )
    table = pa.table([[1, 2], [0.5, 1.5]], schema=pa.schema([field, ("y", pa.float64())]))
    write(tmp_path / "t.arrow", table)
    np.testing.assert_array_equal(read_arrow(tmp_path / "t.arrow", section()).x, [[1], [2]])
    assert not (tmp_path / "hacked").exists()
