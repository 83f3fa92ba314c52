"""Downloads, without a network."""

import hashlib
import io
import urllib.error

import pytest

from hpo.data import download
from hpo.data.download import DOWNLOADS, Download, RemoteFile, fetch_dataset
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.errors import DataError

CONTENTS = {"a.gz": b"a" * 700_000, "b.gz": b"bb"}


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A data set `toy` whose address is a folder of this machine."""
    folder = tmp_path / "remote"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    files = tuple(
        RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    )
    monkeypatch.setitem(DOWNLOADS, "toy", Download(f"{folder.as_uri()}/", files))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_is_saved_in_the_folder_of_the_data_set(remote, tmp_path):
    folder = fetch_dataset("toy", tmp_path / "home")
    assert folder == tmp_path / "home" / "toy"
    assert contents(folder) == CONTENTS


def test_progress_grows_to_the_total(remote, tmp_path):
    seen = []
    fetch_dataset("toy", tmp_path / "home", progress=lambda done, total: seen.append((done, total)))
    done = [so_far for so_far, _ in seen]
    assert {total for _, total in seen} == {700_002}
    assert done == sorted(done)
    assert len(done) > len(CONTENTS)
    assert done[-1] == 700_002


def test_a_second_call_downloads_nothing(remote, tmp_path):
    fetch_dataset("toy", tmp_path)

    def no_network(url):
        raise AssertionError(url)

    seen = []
    fetch_dataset("toy", tmp_path, opener=no_network, progress=lambda *both: seen.append(both))
    assert seen[-1] == (700_002, 700_002)


def test_a_damaged_file_is_fetched_again(remote, tmp_path):
    folder = fetch_dataset("toy", tmp_path)
    (folder / "b.gz").write_bytes(b"xx")
    fetch_dataset("toy", tmp_path)
    assert contents(folder) == CONTENTS


def test_a_wrong_checksum_is_refused_and_leaves_no_file(remote, tmp_path):
    (remote / "b.gz").write_bytes(b"xx")
    with pytest.raises(DataError, match=r"b\.gz: the downloaded file is not the expected one"):
        fetch_dataset("toy", tmp_path / "home")
    assert contents(tmp_path / "home" / "toy") == {"a.gz": CONTENTS["a.gz"]}


class BrokenLine(io.BytesIO):
    """A response that ends with an error in its middle."""

    def read(self, size=-1):
        data = super().read(10)
        if not data or self.tell() > 20:
            raise ConnectionResetError("Connection reset by peer")
        return data


def refused(url):
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize(
    ("opener", "reason"),
    [
        (refused, "no route to host"),
        (lambda url: BrokenLine(b"x" * 90), "Connection reset by peer"),
    ],
)
def test_the_message_about_a_network_failure_is_one_line_and_no_file_is_left(
    remote, tmp_path, opener, reason
):
    with pytest.raises(DataError) as error:
        fetch_dataset("toy", tmp_path / "home", opener=opener)
    assert f"a.gz: cannot be downloaded ({reason}): check the network" in str(error.value)
    path = tmp_path / "home" / "toy" / "a.gz"
    assert str(error.value).endswith(f"or put the file at {path} by hand.")
    assert contents(tmp_path / "home" / "toy") == {}


def test_a_home_that_cannot_be_written_is_named(remote, tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"toy: cannot be written: Not a directory\."):
        fetch_dataset("toy", tmp_path / "home")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(
        DataError,
        match=r"'cifar'\. Known names: california_housing, .*, sst2, tiny_shakespeare, waimai\.$",
    ):
        fetch_dataset("cifar", tmp_path)


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_a_download_of_images_is_a_full_idx_folder(name):
    files = DOWNLOADS[name].files
    assert {file.name for file in files} == {f"{file}.gz" for file in TRAIN_FILES + TEST_FILES}


@pytest.mark.parametrize("name", sorted(download.DOWNLOADS))
def test_every_file_of_a_download_has_a_complete_checksum(name):
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in DOWNLOADS[name].files)


def test_a_file_that_does_not_end_is_left_at_its_expected_size(remote, tmp_path):
    class Endless(io.BytesIO):
        sent = 0

        def read(self, size=-1):
            Endless.sent += size
            return b"a" * size

    with pytest.raises(DataError, match=r"a\.gz: is larger than the 700,000 bytes of the expected"):
        fetch_dataset("toy", tmp_path / "home", opener=lambda url: Endless())

    assert Endless.sent < 2_000_000
    assert contents(tmp_path / "home" / "toy") == {}
