import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hpo.errors import StudyError
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.trial import Run
from tests.rights import run_without_rights


@pytest.fixture
def folder(url):
    return CheckpointFolder.beside(url, "digits")


LEAVES = {
    "kernel": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    "half": np.array([1.5, -2.0, np.inf], ml_dtypes.bfloat16),
    "step": np.int32(7) * np.ones((), np.int32),
    "key": np.array([1, 2**32 - 1], np.uint32),
    "mask": np.array([[True], [False]]),
    "empty": np.zeros((0, 3), np.float16),
    "big endian": np.array([1.0, 2.0], ">f8"),
}


def test_arrays_are_read_back_bit_for_bit(folder):
    loaded = folder.load(*folder.save(Run(3), 9, LEAVES))

    assert list(loaded) == list(LEAVES)
    for name, leaf in LEAVES.items():
        assert loaded[name].dtype == leaf.dtype.newbyteorder("<")
        assert loaded[name].shape == leaf.shape
        assert loaded[name].tobytes() == leaf.astype(loaded[name].dtype).tobytes()


def test_a_name_holds_the_run_the_epoch_and_the_start_of_the_hash(folder):
    name, sha256 = folder.save(Run(3), 9, LEAVES)
    assert sha256 == hashlib.sha256((folder.path / name).read_bytes()).hexdigest()
    assert name == f"3-9-{sha256[:8]}.safetensors"


@pytest.mark.parametrize("letters", range(8))
def test_the_arrays_of_a_file_begin_at_a_multiple_of_8_bytes(folder, letters):
    name, _ = folder.save(Run(0), 1, {"w" * letters: np.ones(1)})

    content = (folder.path / name).read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    assert len(header) % 8 == 0
    assert len(header) - len(header.rstrip(b" ")) < 8
    assert header.startswith(b"{")


def test_a_checkpoint_is_synced_before_it_has_its_name_and_its_folder_after(folder, monkeypatch):
    seen, fsync = [], os.fsync

    def noted(descriptor):
        status = os.fstat(descriptor)
        names = [file.name for file in folder.path.glob("*.safetensors")]
        seen.append(("folder" if stat.S_ISDIR(status.st_mode) else status.st_size, names))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", noted)
    name, _ = folder.save(Run(0), 1, LEAVES)

    status = (folder.path / name).stat()
    assert seen == [(status.st_size, []), ("folder", [name])]
    assert not status.st_mode & 0o111


def test_the_unfinished_file_of_a_killed_process_with_the_same_number_is_in_nobodys_way(folder):
    name, sha256 = folder.save(Run(0), 1, LEAVES)
    (folder.path / name).rename(folder.path / f".{name}.{os.getpid()}.tmp")

    assert folder.save(Run(0), 1, LEAVES) == (name, sha256)
    assert [file.name for file in folder.path.iterdir()] == [name]


def first_free_descriptor() -> int:
    """The system gives the lowest number, so that it rises with each file that is left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_no_file_or_folder_is_left_open(url, folder, tmp_path):
    saved = folder.save(Run(0), 1, LEAVES)
    (folder.path / "1-1-01234567.safetensors").mkdir()
    before = first_free_descriptor()

    folder.save(Run(0), 2, LEAVES)
    assert folder.load(*saved) is not None
    assert folder.load("1-1-01234567.safetensors", "") is None
    folder.sweep({saved[0]})
    assert CheckpointFolder.beside(url, "none yet").sweep(()) == 0
    folder.path.rename(tmp_path / "elsewhere")
    folder.path.symlink_to(tmp_path / "elsewhere")
    assert folder.load(*saved) is None

    assert first_free_descriptor() == before


def test_checkpoints_lie_beside_the_database_under_their_study(url, tmp_path, monkeypatch):
    name, _ = CheckpointFolder.beside(url, "digits").save(Run(3), 9, LEAVES)

    assert (tmp_path / "hpo.db.checkpoints" / "digits" / name).is_file()
    assert name.startswith("3-9-")
    monkeypatch.chdir(tmp_path)
    server = CheckpointFolder.beside("postgresql://user:secret@host/tuning", "digits")
    assert server.path == tmp_path / "tuning.checkpoints" / "digits"
    nameless = CheckpointFolder.beside("postgresql://user:secret@host", "digits")
    assert nameless.path == tmp_path / "hpo.checkpoints" / "digits"


@pytest.mark.parametrize("study", ["../other", "..", "a/b", "nul\n"])
def test_no_study_name_escapes_the_folder(url, tmp_path, study):
    folder = CheckpointFolder.beside(url, study)

    assert folder.path.resolve().parent == tmp_path / "hpo.db.checkpoints"


IMPORTS = """
import sys
from pathlib import Path
import numpy as np
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.trial import Run
"""
WITHOUT_RIGHTS = """
folder = CheckpointFolder(Path(sys.argv[1], "digits"))
folder.check()
with CheckpointWriter(folder) as writer:
    print(writer.submit(Run(0), 1, {"w": np.zeros(2)}).result())
print(folder.load("0-1-01234567.safetensors", ""), folder.sweep(()))
folder.clear()
folder.set_aside("other")
"""


def test_a_folder_that_may_not_be_entered_costs_the_checkpoints_alone(tmp_path):
    closed = tmp_path / "hpo.db.checkpoints"
    (closed / "digits").mkdir(parents=True)
    closed.chmod(0)

    done = run_without_rights(tmp_path, IMPORTS, WITHOUT_RIGHTS, str(closed))
    closed.chmod(0o755)

    assert (done.returncode, done.stdout) == (0, "None\nNone 0\n"), done.stderr
    written, read = done.stderr.splitlines()
    assert written.endswith(": Permission denied; the study goes on without.")
    assert read.endswith(": Permission denied; its trial is trained again from the start.")


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "unhashed"])
def test_a_checkpoint_that_cannot_be_used_is_none_with_a_reason(folder, caplog, damage):
    name, sha256 = folder.save(Run(3), 9, LEAVES)
    file = folder.path / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "unhashed":
        sha256 = ""
    else:
        file.write_bytes(content[:-1] if damage == "cut" else content[:-1] + b"x")

    assert folder.load(name, sha256) is None
    reason = "No such file" if damage == "missing" else "its content has changed"
    assert reason in caplog.text
    assert "its trial is trained again from the start" in caplog.text


def test_a_file_does_not_change_when_a_trial_is_saved_again_at_the_same_epoch(folder):
    first = folder.save(Run(3), 9, {"w": np.zeros(2)})
    second = folder.save(Run(3), 9, {"w": np.ones(2)})

    assert folder.load(*first)["w"].tolist() == [0, 0]
    assert folder.load(*second)["w"].tolist() == [1, 1]


def test_a_sweep_deletes_files_that_no_event_refers_to(url, folder):
    names = [folder.save(Run(trial), 1, LEAVES)[0] for trial in range(3)]
    (folder.path / ".0-1-89abcdef.safetensors.41.tmp").touch()  # left by a killed process
    resumed = CheckpointFolder.beside(url, "digits")

    assert resumed.sweep({names[1]}) == 3
    assert [file.name for file in folder.path.iterdir()] == [names[1]]
    none = CheckpointFolder.beside(url, "none yet")
    assert none.sweep(set()) == 0
    assert not none.path.exists()


def test_a_sweep_leaves_files_whose_event_is_not_stored_yet(folder):
    old, new = folder.save(Run(0), 1, LEAVES)[0], folder.save(Run(0), 2, LEAVES)[0]

    assert folder.sweep({old}) == 0
    assert folder.sweep({new}) == 1
    assert [file.name for file in folder.path.iterdir()] == [new]


def test_nothing_is_left_of_the_checkpoints_of_a_finished_study(folder):
    folder.save(Run(0), 1, LEAVES)
    folder.clear()

    assert [*folder.path.iterdir()] == []


def test_a_sweep_leaves_all_that_is_not_a_checkpoint(folder, tmp_path):
    saved = [folder.save(Run(trial), 1, LEAVES)[0] for trial in range(3)]
    saved.append(folder.save(Run(4, 1), 1, LEAVES)[0])
    outside = tmp_path / "thesis.tex"
    outside.write_text("three years of work")
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "model.safetensors").write_bytes(b"mine")
    (folder.path / "7-1-01234567.safetensors").mkdir()
    (folder.path / "8-1-01234567.safetensors").symlink_to(outside)
    os.mkfifo(folder.path / "9-1-01234567.safetensors")

    assert folder.sweep(saved) == 0
    folder.clear()

    assert {file.name for file in folder.path.iterdir()} == {
        "notes.txt",
        "model.safetensors",
        "7-1-01234567.safetensors",
        "8-1-01234567.safetensors",
        "9-1-01234567.safetensors",
    }
    assert outside.read_text() == "three years of work"


@pytest.mark.parametrize("level", ["the study's", "all studies'"])
def test_nothing_is_deleted_behind_a_folder_that_is_a_link(url, folder, tmp_path, level):
    name, sha256 = folder.save(Run(0), 1, LEAVES)
    link = folder.path if level == "the study's" else folder.path.parent
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    resumed = CheckpointFolder.beside(url, "digits")

    with pytest.raises(StudyError, match=f"{link}: is a link, and hpo deletes"):
        resumed.check()
    # As if the link had taken the folder's place after the check.
    assert resumed.sweep(()) == 0
    resumed.clear()
    assert resumed.load(name, sha256) is None
    with pytest.raises(OSError, match="Not a directory"):
        resumed.save(Run(1), 1, LEAVES)
    assert [file.name for file in (tmp_path / "elsewhere").rglob("*.safetensors")] == [name]


def test_a_file_that_the_log_names_outside_the_folder_is_not_read(folder, tmp_path, caplog):
    name, sha256 = folder.save(Run(0), 1, LEAVES)
    (folder.path / name).rename(tmp_path / name)
    (folder.path / "1-1-01234567.safetensors").symlink_to(tmp_path / name)

    for other in (f"../../{name}", str(tmp_path / name), "1-1-01234567.safetensors", "", "."):
        assert folder.load(other, sha256) is None
        assert "its trial is trained again from the start" in caplog.text
        caplog.clear()


def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(folder, caplog):
    folder.save(Run(0), 1, LEAVES)
    os.mkfifo(folder.path / "1-1-01234567.safetensors")

    assert folder.load("1-1-01234567.safetensors", "0" * 64) is None
    assert "it is not a checkpoint" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        (2**63).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"[]",
        (48).to_bytes(8, "little") + b'{"w": {"dtype": "F32", "shape": [3]}}' + b" " * 11,
        (60).to_bytes(8, "little")
        + b'{"w": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}'.ljust(60),
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_a_file_with_the_right_hash_that_is_no_checkpoint_costs_training_alone(folder, content):
    folder.save(Run(0), 1, LEAVES)
    (folder.path / "1-1-01234567.safetensors").write_bytes(content)

    assert folder.load("1-1-01234567.safetensors", hashlib.sha256(content).hexdigest()) is None


def test_checkpoints_follow_a_study_set_aside(url, folder):
    saved = folder.save(Run(0), 1, LEAVES)
    folder.set_aside("digits-1")

    assert CheckpointFolder.beside(url, "digits").sweep(set()) == 0
    assert CheckpointFolder.beside(url, "digits-1").load(*saved) is not None


def test_a_writer_saves_on_its_own_thread(folder):
    with CheckpointWriter(folder) as writer:
        futures = [writer.submit(Run(trial), 1, LEAVES) for trial in range(4)]

    for future in futures:
        assert folder.load(*future.result()) is not None


def test_a_writer_that_is_closed_has_no_thread(folder):
    before = set(threading.enumerate())
    with CheckpointWriter(folder) as writer:
        saved = [writer.submit(Run(trial), 1, LEAVES) for trial in range(4)]
        (thread,) = set(threading.enumerate()) - before
        assert thread.name.startswith("hpo-checkpoints")

    assert all(future.done() for future in saved)
    assert set(writer.stopwatch.seconds()) == {"idle", "checkpoints"}
    assert not thread.is_alive()


def test_a_full_disk_costs_a_checkpoint_and_leaves_nothing_behind(folder, monkeypatch, caplog):
    folder.save(Run(0), 1, LEAVES)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with CheckpointWriter(folder) as writer:
        assert writer.submit(Run(1), 1, LEAVES).result() is None

    assert "cannot write a checkpoint of trial 1" in caplog.text
    assert "No space left on device; the study goes on without" in caplog.text
    assert len([*Path(folder.path).iterdir()]) == 1
