"""The cache of preprocessed data sets gives back the same data set, or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import zlib
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest

from hpo.data import cache as cache_module
from hpo.data import load
from hpo.data.cache import DataCache, Usage
from hpo.data.load import load_data
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.data.readers.tables.csv import read_csv
from hpo.errors import DataError
from hpo.registry import READERS
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec, DropRows, IdxFolder, ParquetFile
from hpo.spec.sections.split import GroupSplit


@pytest.fixture
def cache(tmp_path):
    return DataCache(tmp_path / "cache")


@pytest.fixture
def table(tmp_path):
    """A spec of a table of 40 rows with numbers, words and empty cells."""
    rows = [f"{i if i % 7 else ''},{'ab'[i % 2]},{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["x,word,y", *rows]) + "\n")
    return CsvFile(csv="t.csv", target="y")


@pytest.fixture
def prepared(monkeypatch):
    """A list with one element for each time that data were prepared."""
    calls = []
    prepare = load._prepared
    monkeypatch.setattr(load, "_prepared", lambda *args: calls.append(1) or prepare(*args))
    return calls


def get(dataset, folder, cache, **data):
    return load_data(DataSpec(dataset=dataset, **{"batch_size": 1, **data}), folder, folder, cache)


def entries(cache):
    return [path for path in cache._folder.iterdir() if path.name != "files"]


def assert_same(one, other):
    for name in ("task", "outputs", "fingerprint", "classes", "target_mean", "target_std"):
        assert getattr(one, name) == getattr(other, name), name
    ours, theirs = one.transform.to_arrays(), other.transform.to_arrays()
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert set(ours.arrays) == set(theirs.arrays)
            for key, array in ours.arrays.items():
                assert array.dtype == theirs.arrays[key].dtype
                np.testing.assert_array_equal(array, theirs.arrays[key])


def test_what_the_reader_noted_is_told_again_from_the_cache(cache, table, prepared, tmp_path):
    table = table.model_copy(update={"missing": ("1",), "drop_rows": DropRows(missing_target=True)})
    table = table.model_copy(update={"task": "regression", "target": "x"})
    first, second = (get(table, tmp_path, cache) for _ in range(2))
    assert len(prepared) == 1
    assert first.notes == second.notes == ("t.csv: 7 rows without a target are left out.",)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("test", [0, 0.2])
def test_a_cached_table_is_the_same(cache, table, prepared, tmp_path, task, test):
    table = table.model_copy(update={"task": task})
    first, second = (get(table, tmp_path, cache, test=test) for _ in range(2))
    assert len(prepared) == 1
    assert_same(first, second)
    assert isinstance(second.train.x, np.memmap)


def test_cached_splits_are_rows_of_the_same_file(cache, table, tmp_path):
    get(table, tmp_path, cache)
    data = get(table, tmp_path, cache)
    names = {file.name for file in entries(cache)[0].iterdir() if "transform" not in file.name}
    assert names == {"x.npy", "y.npy", "dataset.json"}
    for split in (data.train, data.validation, data.test):
        assert np.shares_memory(split.x, data.train.shared["x"])
    assert sum(map(len, (data.train, data.validation, data.test))) == len(data.train.shared["x"])


def test_an_entry_that_an_earlier_release_wrote_is_prepared_again_and_replaced(
    cache, table, prepared, tmp_path
):
    before = get(table, tmp_path, cache)
    description = entries(cache)[0] / "dataset.json"
    found = json.loads(description.read_text().split("\n")[1])
    del found["splits"]  # which releases up to 0.1.0 did not write
    text = json.dumps(found)
    checksum = zlib.crc32(f"{description.parent.name}\n{text}".encode())
    description.write_text(f"{checksum}\n{text}")
    assert_same(get(table, tmp_path, cache), before)
    assert_same(get(table, tmp_path, cache), before)
    assert len(prepared) == 2


def test_an_entry_with_the_notes_of_an_earlier_release_is_prepared_again(
    cache, table, prepared, tmp_path, monkeypatch
):
    get(table, tmp_path, cache)
    monkeypatch.setattr(cache_module, "NOTES", cache_module.NOTES + 1)
    get(table, tmp_path, cache)
    get(table, tmp_path, cache)
    assert len(prepared) == 2


def test_cached_weights_are_the_same(cache, prepared, tmp_path):
    rows = [f"{i},{i % 3},{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["x,w,y", *rows]) + "\n")
    table = CsvFile(csv="t.csv", target="y", weight="w")
    first, second = (get(table, tmp_path, cache) for _ in range(2))
    assert len(prepared) == 1
    assert set(second.test.arrays) == {"x", "y", "weight"}
    assert_same(first, second)


def test_cached_images_are_the_same(cache, write_set, prepared, tmp_path):
    images, labels = np.arange(36, dtype=np.uint8).reshape(6, 3, 2), [7, 3, 7, 3, 9, 9]
    for names in (TRAIN_FILES, TEST_FILES):
        write_set(tmp_path / "set", names, images, labels)
    folder = IdxFolder(idx="set")
    assert_same(get(folder, tmp_path, cache), get(folder, tmp_path, cache))
    assert len(prepared) == 1

    (tmp_path / "set" / f"{TEST_FILES[0]}.gz").unlink()  # another set of files
    with pytest.raises(DataError, match="no file"):
        get(folder, tmp_path, cache)


@pytest.mark.parametrize(
    ("change", "is_read_again"),
    [
        ({"split_seed": 1}, True),
        ({"normalize": "minmax"}, True),
        ({"range": (-1.0, 1.0)}, True),
        ({"rows": 20}, True),
        ({"batch_size": 2}, False),
        ({"device_budget": 1 << 20}, False),
    ],
    ids=str,
)
def test_another_spec_is_read_again_if_it_makes_other_arrays(
    cache, table, prepared, tmp_path, change, is_read_again
):
    get(table, tmp_path, cache)
    get(table, tmp_path, cache, **change)
    assert len(prepared) == 1 + is_read_again


def test_a_spec_that_has_no_newer_field_has_the_name_that_0_3_0_gave_its_entry(
    cache, table, tmp_path
):
    file = tmp_path / "t.csv"
    used = {
        "dataset": {
            "csv": "t.csv",
            "target": "y",
            "task": "auto",
            "drop": [],
            "separator": ",",
            "weight": None,
            "header": None,
            "skip": 0,
            "missing": [],
            "drop_rows": {"missing_target": False},
        },
        "rows": None,
        "validation": 0.2,
        "test": "auto",
        "split_seed": 0,
        "normalize": "standard",
        "range": [0.0, 1.0],
    }
    hashes = [["t.csv", hashlib.sha256(file.read_bytes()).hexdigest()]]
    libraries = [metadata.version(name) for name in ("numpy", "pandas", "scikit-learn")]
    text = json.dumps([2, libraries, hashes, used], sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()
    assert cache.key(DataSpec(dataset=table), [file]) == name
    newer = {"split": GroupSplit(group="word")}, {"columns": Columns(encode="ordinal")}
    others = {cache.key(DataSpec(dataset=table, **fields), [file]) for fields in newer}
    for marks in ({"thousands": ","}, {"units": ("$",)}):
        grouped = table.model_copy(update={"decimal": ".", **marks})
        others.add(cache.key(DataSpec(dataset=grouped), [file]))
    assert len(others - {name, None}) == 4


@pytest.mark.parametrize("age", [0, 3600])
def test_a_changed_file_is_read_again_and_a_touched_one_is_not(
    cache, table, prepared, tmp_path, age
):
    path = tmp_path / "t.csv"
    before = get(table, tmp_path, cache)
    os.utime(path, (1, 1))
    get(table, tmp_path, cache)
    assert len(prepared) == 1
    for note in (tmp_path / "cache" / "files").iterdir():
        os.utime(note, (note.stat().st_mtime + age,) * 2)

    path.write_text(path.read_text().replace("39", "93"))  # of the same length
    assert get(table, tmp_path, cache).fingerprint != before.fingerprint
    assert len(prepared) == 2


def test_a_file_that_did_not_change_is_hashed_once(cache, table, monkeypatch, tmp_path):
    get(table, tmp_path, cache)
    monkeypatch.setattr("hpo.data.cache._CLOCK_TICK_NS", -(10**12))  # the note counts as younger
    monkeypatch.setattr("hpo.data.cache.hashlib.file_digest", None)
    assert isinstance(get(table, tmp_path, cache).train.x, np.memmap)


def test_another_version_of_the_preprocessing_reads_again(
    cache, table, prepared, monkeypatch, tmp_path
):
    get(table, tmp_path, cache)
    monkeypatch.setattr(cache_module, "VERSION", cache_module.VERSION + 1)
    get(table, tmp_path, cache)
    assert len(prepared) == 2


def _cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def _flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])


@pytest.mark.parametrize(
    "damage", [_cut, _flip, lambda p: p.write_bytes(b""), lambda p: p.unlink()]
)
@pytest.mark.parametrize("name", ["x.npy", "y.npy", "transform.offset.npy", "dataset.json"])
def test_a_damaged_entry_is_prepared_again(cache, table, prepared, tmp_path, damage, name):
    before = get(table, tmp_path, cache)
    (entry,) = entries(cache)
    damage(entry / name)
    assert_same(get(table, tmp_path, cache), before)
    assert len(prepared) == 2
    assert_same(get(table, tmp_path, cache), before)
    assert len(prepared) == 2


def _into_a_pipe(path):
    path.rename(path.with_name("elsewhere"))
    os.mkfifo(path)


def _by_a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("plant", [lambda p: p.chmod(0o666), _by_a_link, _into_a_pipe])
@pytest.mark.parametrize("name", ["x.npy", "dataset.json", "."])
def test_an_entry_that_another_user_can_have_written_is_prepared_again(
    cache, table, prepared, tmp_path, plant, name
):
    before = get(table, tmp_path, cache)
    (entry,) = entries(cache)
    plant(entry / name)
    assert_same(get(table, tmp_path, cache), before)
    assert len(prepared) == 2


def test_an_array_of_objects_is_not_read(cache, table, prepared, tmp_path):
    get(table, tmp_path, cache)
    (entry,) = entries(cache)
    np.save(entry / "x.npy", np.array([print], object), allow_pickle=True)
    get(table, tmp_path, cache)
    assert len(prepared) == 2


def test_entries_under_each_others_names_are_prepared_again(cache, table, prepared, tmp_path):
    first = get(table, tmp_path, cache)
    (one,) = entries(cache)
    second = get(table, tmp_path, cache, split_seed=1)
    (other,) = set(entries(cache)) - {one}
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    assert_same(get(table, tmp_path, cache), first)
    assert_same(get(table, tmp_path, cache, split_seed=1), second)
    assert len(prepared) == 4


def test_a_note_that_another_user_can_have_written_is_not_believed(cache, table, tmp_path):
    before = get(table, tmp_path, cache)
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("39", "93"))
    status = (tmp_path / "t.csv").stat()
    seen = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    (note,) = (tmp_path / "cache" / "files").iterdir()
    note.write_text(json.dumps([seen, json.loads(note.read_text())[1]]))
    os.utime(note, (status.st_mtime + 3600,) * 2)
    assert get(table, tmp_path, cache).fingerprint == before.fingerprint
    note.chmod(0o666)
    assert get(table, tmp_path, cache).fingerprint != before.fingerprint


def test_data_are_kept_where_only_the_user_may_read(cache, table, tmp_path):
    umask = os.umask(0)
    get(table, tmp_path, cache)
    os.umask(umask)
    found = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}


def test_a_folder_of_another_user_is_neither_read_nor_written(
    cache, table, prepared, monkeypatch, tmp_path
):
    before = get(table, tmp_path, cache)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4321)
    assert_same(get(table, tmp_path, cache), before)
    assert_same(get(table, tmp_path, cache, split_seed=0), before)
    assert len(prepared) == 3
    assert len(entries(cache)) == 1


def test_a_cache_that_cannot_be_written_leaves_the_data_as_they_are(table, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = DataCache(tmp_path / "file")
    assert_same(get(table, tmp_path, cache), get(table, tmp_path, DataCache(None)))
    assert cache.usage() == Usage(0, 0)


def test_nothing_is_stored_on_a_full_disk(cache, table, monkeypatch, tmp_path):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("hpo.data.cache.shutil.disk_usage", lambda path: full)
    get(table, tmp_path, cache)
    assert entries(cache) == []


def test_the_data_sets_unused_for_longest_are_deleted(cache, table, monkeypatch, tmp_path):
    def keys():
        return {entry.name for entry in entries(cache)}

    found = []
    for seed in (0, 1):
        get(table, tmp_path, cache, split_seed=seed)
        (new,) = keys() - set(found)
        found.append(new)
    get(table, tmp_path, cache, split_seed=0)  # so that the other one is unused for longest
    room = cache.usage().total_bytes + 100  # the checksums of another entry may have more digits
    monkeypatch.setattr("hpo.data.cache._MOST_BYTES", room)
    get(table, tmp_path, cache, split_seed=2)
    assert found[0] in keys()
    assert found[1] not in keys()
    assert len(keys()) == 2

    monkeypatch.setattr("hpo.data.cache._MOST_BYTES", 1)
    get(table, tmp_path, cache, split_seed=3)
    assert cache.usage().entries == 1  # the newest one stays, however large


def test_a_bundled_set_is_not_cached(cache, tmp_path):
    get("iris", tmp_path, cache)
    assert cache.usage() == Usage(0, 0)


def read_elsewhere(path, spec):
    return read_csv(path, spec)


def test_what_a_reader_of_the_users_own_reads_is_not_cached(
    cache, table, prepared, monkeypatch, tmp_path
):
    theirs = replace(READERS["csv"], function="tests.data.test_cache:read_elsewhere")
    monkeypatch.setitem(READERS, "csv", theirs)
    assert_same(get(table, tmp_path, cache), get(table, tmp_path, cache))
    assert len(prepared) == 2
    assert cache.usage() == Usage(0, 0)


def test_a_package_that_is_missing_is_named_by_the_reader_that_needs_it(
    cache, monkeypatch, tmp_path
):
    def version(name, known=metadata.version):
        if name == "pyarrow":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(DataError, match="need pyarrow, which is not installed: run `pip install"):
        get(ParquetFile(parquet="t.parquet", target="y"), tmp_path, cache)


def test_clearing_leaves_other_files_in_the_folder(cache, table, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.txt").write_text("of the user's")
    get(table, tmp_path, cache)
    assert cache.clear().entries == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis.txt"]


def test_a_cleared_cache_is_empty_and_can_be_used_again(cache, table, prepared, tmp_path):
    get(table, tmp_path, cache)
    assert cache.clear().entries == 1
    assert cache.usage() == Usage(0, 0)
    get(table, tmp_path, cache)
    assert len(prepared) == 2
    assert cache.usage().entries == 1


def test_a_fit_of_columns_is_the_same_from_the_cache(cache, table, prepared, tmp_path):
    columns = Columns(encode="target", flag=True, transform="quantile")
    first, second = (get(table, tmp_path, cache, columns=columns) for _ in range(2))
    assert len(prepared) == 1
    assert "target_means" in second.transform.to_arrays()
    assert_same(first, second)


def test_the_folders_of_a_partitioned_table_are_part_of_its_name(cache, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    from pyarrow import parquet

    rows = pa.table({"x": [*range(40)], "y": [0.5, 1.5] * 20})
    for year in (2023, 2024):
        (tmp_path / "t" / f"year={year}").mkdir(parents=True)
        parquet.write_table(rows, tmp_path / "t" / f"year={year}" / "part-0.parquet")
    table = ParquetFile(parquet="t", target="y")
    before = get(table, tmp_path, cache)
    assert_same(get(table, tmp_path, cache), before)
    (tmp_path / "t" / "year=2023").rename(tmp_path / "t" / "year=1999")
    assert get(table, tmp_path, cache).fingerprint != before.fingerprint


def test_a_fit_of_texts_is_the_same_from_the_cache_until_a_file_that_it_names_changes(
    cache, prepared, tmp_path
):
    rows = "".join(f"it was {'not' * (row % 2)} good,{row % 2}\n" for row in range(40))
    (tmp_path / "t.csv").write_text(f"text,y\n{rows}")
    (tmp_path / "v.txt").write_text("good 1 2\nit 3 4\n")
    leaves = {"vectors": "ids", "embeddings": "v.txt", "length": 5}
    columns = Columns(by_name={"text": {"type": "text"}})

    def read():
        table = CsvFile(csv="t.csv", target="y")
        return get(table, tmp_path, cache, columns=columns, text=leaves)

    first, second = read(), read()
    assert len(prepared) == 1
    assert_same(first, second)
    assert (second.train.x.dtype, second.vocabulary) == (np.int32, first.vocabulary)
    np.testing.assert_array_equal(second.embeddings, first.embeddings)
    (tmp_path / "v.txt").write_text("good 1 2\nit 3 5\n")
    assert 5 in read().embeddings
    assert len(prepared) == 2
