"""Files and folders by URL, on the memory file system of fsspec."""

import pytest
from pydantic import ValidationError

from hpo.data import remote
from hpo.data.cache import DataCache
from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec, ImageFolder, ParquetFile, TextFile

fsspec = pytest.importorskip("fsspec", reason="the extra `urls` is not installed")
TEXT = "a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(40))


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """The files of a server, which no other test sees; copies lie in a cache of this test."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_known", {})
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def loaded(dataset, folder, cache=None):
    return load_data(DataSpec(dataset=dataset), folder, None, cache)


def test_a_file_by_url_is_the_same_data_set_as_the_file(memory, tmp_path):
    memory.pipe("/bucket/t.csv", TEXT.encode())
    (tmp_path / "t.csv").write_text(TEXT)
    here = loaded(CsvFile(csv="t.csv", target="y"), tmp_path)
    there = loaded(CsvFile(csv="memory://bucket/t.csv", target="y"), tmp_path)
    assert there.fingerprint == here.fingerprint


def test_a_file_is_fetched_once_and_again_by_another_process_where_it_has_changed(
    memory, tmp_path, monkeypatch
):
    table, cache = CsvFile(csv="memory://bucket/t.csv", target="y"), DataCache(tmp_path / "c")
    memory.pipe("/bucket/t.csv", TEXT.encode())
    before = loaded(table, tmp_path, cache)
    copy = remote.fetched("memory://bucket/t.csv", "csv")
    memory.pipe("/bucket/t.csv", TEXT.replace("39,1", "99,1").encode())
    assert loaded(table, tmp_path, cache).fingerprint == before.fingerprint
    remote._known.clear()  # as another process starts
    assert loaded(table, tmp_path, cache).fingerprint != before.fingerprint
    assert not copy.exists()


def test_two_processes_may_fetch_a_file_at_once(memory, monkeypatch):
    url, opened, copies = "memory://bucket/t.csv", type(memory).open, []
    memory.pipe("/bucket/t.csv", TEXT.encode())

    def open_late(*args, **more):
        if not copies:
            copies.append(None)
            copies.append(remote.fetched(url, "csv"))  # the other process, which is quicker
        return opened(*args, **more)

    monkeypatch.setattr(type(memory), "open", open_late)
    copy = remote.fetched(url, "csv")
    assert copies == [None, copy]
    assert copy.read_text() == TEXT
    assert [*copy.parent.parent.iterdir()] == [copy.parent]


def test_a_folder_by_url_is_read_with_the_folders_in_it(memory, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    from pyarrow import parquet

    for year in (2023, 2024):
        with memory.open(f"/bucket/t/year={year}/part-0.parquet", "wb") as file:
            parquet.write_table(pa.table({"x": [*range(9)], "y": [0.5, 1.5, 2.5] * 3}), file)
    memory.pipe("/bucket/t/_SUCCESS", b"")
    data = loaded(ParquetFile(parquet="memory://bucket/t", target="y"), tmp_path)
    assert data.train.x.shape[1] == 2


def test_check_opens_no_url(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "fetched", None)
    found = inspect_data(
        DataSpec(dataset=CsvFile(csv="memory://no/t.csv", target="y")), tmp_path, None
    )
    assert found.mistakes == ()
    assert found.notes == (
        "memory://no/t.csv: is fetched when a search starts, and not looked at here.",
    )


def test_check_opens_no_url_of_another_split(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "fetched", None)
    (tmp_path / "t.csv").write_text(TEXT)
    table = CsvFile(csv="t.csv", target="y", validation="memory://no/v.csv")
    found = inspect_data(DataSpec(dataset=table), tmp_path, None)
    assert (found.seen, found.mistakes) == ("t.csv: 40 rows of 2 columns", ())
    assert found.notes == (
        "memory://no/v.csv: is fetched when a search starts, and not looked at here.",
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/no.csv", r"^data\.dataset\.csv: 'memory://bucket/no\.csv': is not there"),
        ("nosuch://bucket/t.csv", r"cannot be fetched \(Protocol not known: .*\): correct the URL"),
    ],
)
def test_what_cannot_be_fetched_is_refused_in_a_line(tmp_path, url, message):
    with pytest.raises(DataError, match=message) as caught:
        loaded(CsvFile(csv=url, target="y"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:secret@host/t.csv",
        "https://host/t.csv?X-Amz-Signature=abc",
        "https://host/t.csv?sig=abc",
        "https://host/t.csv?access_token=abc",
    ],
)
def test_a_url_with_a_password_or_a_key_is_refused(url):
    with pytest.raises(ValidationError, match="holds a password or key, which others would"):
        CsvFile(csv=url, target="y")
    with pytest.raises(ValidationError, match="holds a password or key, which others would"):
        ImageFolder(images=url)
    with pytest.raises(ValidationError, match="holds a password or key, which others would"):
        TextFile(text=url)


def test_a_url_within_another_is_refused():
    with pytest.raises(ValidationError, match="is a URL within another: name the file alone"):
        CsvFile(csv="zip://t.csv::s3://bucket/t.zip", target="y")
