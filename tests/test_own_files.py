"""Files of the user's own: what a cache may be read from, and what is done about the rest."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo import own_files
from hpo.own_files import (
    create_own,
    is_noted,
    is_own_entry,
    left_over,
    note,
    open_own,
    own_folder,
    read_own,
    say_unwritable,
    shown,
    write_own,
)
from tests.rights import run_without_rights

ME = os.geteuid()
SOMEBODY = ME + 4321
AS_ROOT = pytest.mark.skipif(ME != 0, reason="only root can give a file to another user")
KEY = "0" * 64


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "_said", set())


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The lines that were logged so far, each of which the user sees."""
    handler = _Lines()
    logging.getLogger("hpo").addHandler(handler)
    yield handler.lines
    logging.getLogger("hpo").removeHandler(handler)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_no_umask")
def test_a_missing_folder_is_made_for_the_user_alone_and_so_are_those_above_it(tmp_path, said):
    folder = tmp_path / "a" / "b"
    assert own_folder(folder) == folder
    assert [mode(tmp_path / "a"), mode(folder)] == [0o700, 0o700]
    assert said == []


@pytest.mark.parametrize("open_mode", [0o777, 0o755, 0o770, 0o2775])
def test_a_cache_that_others_may_enter_is_closed_to_them_and_that_is_said_once(
    tmp_path, said, open_mode
):
    folder = tmp_path / "cache"
    (folder / "data").mkdir(parents=True)
    (folder / KEY).touch()
    folder.chmod(open_mode)
    for _ in range(2):
        assert own_folder(folder) == folder
        assert mode(folder) == 0o700
    assert len(said) == 1
    assert f"{folder} was open to other users (mode {open_mode:04o})" in said[0]


def test_a_folder_that_holds_other_things_keeps_its_modes(tmp_path, said):
    (tmp_path / "thesis.txt").touch()
    tmp_path.chmod(0o755)
    assert own_folder(tmp_path) == tmp_path
    assert said == []
    tmp_path.chmod(0o757)
    assert own_folder(tmp_path) is None
    assert mode(tmp_path) == 0o757
    assert said == [
        f"{tmp_path} may be written by other users, so that no cache is kept there: run `chmod go-w"
        f" {tmp_path}`, or set HPO_CACHE to a folder of your own."
    ]


def test_the_folder_of_another_user_is_not_used_and_that_is_said_once(tmp_path, said):
    for _ in range(2):
        assert own_folder(tmp_path / "cache", SOMEBODY, setting="MY_CACHE") is None
    assert len(said) == 1
    assert f"belongs to another user (number {ME})" in said[0]
    assert said[0].endswith("set MY_CACHE to a folder of your own.")


@AS_ROOT
@pytest.mark.parametrize("which", ["cache", "."])
def test_a_folder_given_to_another_user_is_not_used(tmp_path, said, which):
    folder = tmp_path / "cache"
    folder.mkdir()
    os.chown(tmp_path / which, SOMEBODY, -1)
    assert own_folder(folder) is None
    assert len(said) == 1
    assert f"belongs to another user (number {SOMEBODY})" in said[0]
    assert mode(folder) == 0o755


def test_no_folder_on_the_way_may_be_written_by_others_unless_it_is_sticky(
    tmp_path, said, monkeypatch
):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert own_folder(shared / "me" / "cache") is None
    assert f"run `chmod go-w {shared}`" in said[0]
    shared.chmod(0o1777)
    assert own_folder(shared / "me" / "cache") == shared / "me" / "cache"
    said.clear()
    monkeypatch.setattr(own_files, "_said", set())
    assert own_folder(shared) is None  # others put files there
    assert mode(shared) == 0o1777
    assert "may be written by other users" in said[0]
    assert "chmod" not in said[0]


@pytest.mark.parametrize(("members", "is_used"), [([], True), (["somebody"], False)])
def test_the_group_of_the_user_alone_may_write_and_another_group_may_not(
    tmp_path, monkeypatch, members, is_used
):
    me = own_files.pwd.getpwuid(ME)
    group = own_files.grp.struct_group((me.pw_name, "x", me.pw_gid, members))
    monkeypatch.setattr(own_files.grp, "getgrgid", lambda gid: group)
    os.chown(tmp_path, -1, me.pw_gid)
    tmp_path.chmod(0o775)
    assert (own_folder(tmp_path / "cache") is not None) == is_used


def test_links_of_the_users_own_are_followed_and_a_circle_of_links_is_refused(tmp_path, said):
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "absolute").symlink_to(tmp_path / "disk")
    (tmp_path / "relative").symlink_to("x/../disk")
    (tmp_path / "x").mkdir()
    for link in ("absolute", "relative", "x/../relative"):
        assert own_folder(tmp_path / link / "cache") == tmp_path / "disk" / "cache"
    (tmp_path / "round").symlink_to("round")
    assert own_folder(tmp_path / "round" / "cache") is None
    assert "leads nowhere" in said[0]


@AS_ROOT
def test_the_link_of_another_user_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine")
    os.chown(tmp_path / "link", SOMEBODY, -1, follow_symlinks=False)
    assert own_folder(tmp_path / "link") is None


def test_a_file_in_the_place_of_a_cache_is_said_once_for_all_caches_in_it(tmp_path, said):
    (tmp_path / "file").touch()
    assert own_folder(tmp_path / "file") is None
    assert own_folder(tmp_path / "file" / "data") is None
    assert len(said) == 1
    assert f"{tmp_path / 'file'} is not a folder" in said[0]


@pytest.mark.parametrize(("closed", "what"), [(0o000, "entered"), (0o500, "written")])
def test_a_cache_that_cannot_be_entered_or_written_is_said_once(tmp_path, closed, what):
    tmp_path.chmod(0o755)
    imports = "import logging; from pathlib import Path; from hpo.own_files import *"
    code = f"""
os.umask(0o077)
folder = Path(os.getcwd(), "home", "cache")
folder.mkdir(mode={closed})
print(own_folder(folder) is None, own_folder(folder / "data") is None)
if {closed}: write_own(folder / {KEY!r}, b"")
"""
    (tmp_path / "home").mkdir()
    if ME == 0:
        os.chown(tmp_path / "home", 65534, 65534)
    done = run_without_rights(tmp_path, imports, code)
    assert (done.returncode, done.stdout) == (0, f"{closed == 0} True\n"), done.stderr
    (said,) = done.stderr.splitlines()
    assert f"{tmp_path / 'home' / 'cache'} cannot be {what} (Permission denied)" in said


def test_a_path_that_is_too_long_is_refused_in_a_line_that_is_not(tmp_path, said):
    assert own_folder(tmp_path / ("x" * 6_000)) is None
    assert "cannot be used (File name too long)" in said[0]
    assert len(said[0]) < 500


def test_control_characters_of_a_path_are_shown_escaped():
    assert shown(Path("/a\x1b[31m\n")) == r"/a\x1b[31m\n"


def _a_link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def _a_file_for_all(path: Path) -> None:
    path.write_bytes(b"content")
    path.chmod(0o666)


@pytest.mark.parametrize("make", [_a_link, _a_file_for_all, os.mkfifo, os.mkdir])
def test_only_a_regular_file_that_nobody_else_may_write_is_read(tmp_path, make):
    (tmp_path / "target").write_bytes(b"content")
    make(tmp_path / "file")
    assert read_own(tmp_path / "file") is None
    with pytest.raises(OSError):
        open_own(tmp_path / "file")
    write_own(tmp_path / "sound", b"content")
    assert read_own(tmp_path / "sound") == b"content"


def test_a_file_of_another_user_is_not_read(tmp_path):
    write_own(tmp_path / "file", b"content")
    assert read_own(tmp_path / "file", SOMEBODY) is None
    assert is_own_entry(tmp_path / "file")
    assert not is_own_entry(tmp_path / "file", SOMEBODY)


@AS_ROOT
def test_a_file_given_to_another_user_is_not_read(tmp_path):
    write_own(tmp_path / "file", b"content")
    os.chown(tmp_path / "file", SOMEBODY, -1)
    assert read_own(tmp_path / "file") is None
    assert not is_own_entry(tmp_path / "file")


@pytest.mark.usefixtures("_no_umask")
def test_what_is_written_only_the_user_may_read_and_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"of the user's")
    _a_link(tmp_path / "file")
    write_own(tmp_path / "file", b"content")
    assert (tmp_path / "target").read_bytes() == b"of the user's"
    assert mode(tmp_path / "file") == 0o600
    assert read_own(tmp_path / "file") == b"content"
    with open(tmp_path / "other", "wb", opener=create_own) as out:
        out.write(b"content")
    assert mode(tmp_path / "other") == 0o600
    with pytest.raises(FileExistsError):
        create_own(str(tmp_path / "target"), os.O_CREAT | os.O_WRONLY)


def test_a_full_disk_is_said_once_and_leaves_no_unfinished_file(tmp_path, said, monkeypatch):
    def is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_files.os, "replace", is_full)
    for name in ("a", "b"):
        write_own(tmp_path / name, b"content")
    say_unwritable(tmp_path / "data", OSError("the disk is nearly full"))
    assert list(tmp_path.iterdir()) == []
    assert len(said) == 1
    assert f"{tmp_path} cannot be written (No space left on device)" in said[0]


def test_what_a_killed_process_left_is_found_after_a_day(tmp_path):
    old = time.time() - 100_000
    for name in (f".{KEY}.abc", f".{KEY}.plan.abc", KEY, ".bashrc", ".lockfile"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))
    (tmp_path / f".{KEY}.new").touch()
    assert {path.name for path in left_over(tmp_path)} == {f".{KEY}.abc", f".{KEY}.plan.abc"}


def test_what_is_noted_is_known_by_equal_values_in_a_folder_of_the_users_own_alone(tmp_path):
    home = tmp_path / "state" / "typed"
    assert not is_noted(home, ["train.sh", {"lr": (1, 2)}])

    note(home, ["train.sh", {"lr": (1, 2)}])

    assert is_noted(home, ["train.sh", {"lr": [1, 2]}])
    assert not is_noted(home, ["train.sh", {"lr": [1, 3]}])
    note(None, "train.sh")
    assert not is_noted(None, "train.sh")
    for file in home.iterdir():
        file.chmod(0o666)
    assert not is_noted(home, ["train.sh", {"lr": [1, 2]}])
