"""Faults of files: permissions, odd kinds of files in every place, and a disk that is full.

Each command ends well or with one line. What it ends well with is right, and files that are none of
its business stay.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.campaign.attempts import Try
from tests.campaign.forked import Ended, hpo, trouble
from tests.campaign.samples import (
    IS_ROOT,
    OTHER_USER,
    calm_export,
    copy_finished,
    exported,
    finished,
    give_away,
    model_results,
    results,
    write_inputs,
)

TRAIN = ("train", "single.yaml", "-o", "model", "--force")
COMMANDS = (
    *(("search", "spec.yaml", "--quiet"), ("resume", "flowers", "--quiet"), ("list",)),
    *(("show", "flowers"), ("export", "flowers"), ("export", "flowers", "-o", "best.yaml")),
    *(("check-study", "flowers"), ("check", "spec.yaml"), ("check", "table.yaml")),
    *(TRAIN, ("train", "table.yaml", "-o", "new")),
)
# The paths that a command may meet, and the environment's folders.
ROLES = (
    *("hpo.db", "hpo.db-wal", "hpo.db-shm", "hpo.db-journal", "hpo.db.checkpoints"),
    *("hpo.db.checkpoints/flowers", "spec.yaml", "table.csv", "table.yaml", "best.yaml"),
    *("model", "model/weights", "model/metrics.json", "new", "cache", "cache/data", "data"),
)
MODES = (0o000, 0o111, 0o222, 0o444, 0o555)
PRECIOUS = "a file of the user's"


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Try one fault on one command."""
    kind = number % 4
    if kind == 0:
        yield from _permissions(place, rng)
    elif kind == 1:
        yield from _full_disk(place, rng)
    else:
        yield from _odd_file(place, rng)


def _permissions(place: Path, rng: random.Random) -> Iterator[Try]:
    """Take permissions from one or two paths; root runs the command as another user."""
    copy_finished(place)
    copy_cache(place)
    role = rng.choice([r for r in ROLES if (place / r).exists()] + [".", "hpo.db", "cache"])
    mode, command = rng.choice(MODES), rng.choice(COMMANDS)
    if role == ".":
        mode |= 0o111  # a folder that may not be entered is no working folder
    if IS_ROOT:
        give_away(place)
    (place / role).chmod(mode)
    setting = partial(_be_other_user, place) if IS_ROOT else partial(use_cache, place)
    ended = hpo(place, *command, setting=setting)
    for path in (place / role, place):
        path.chmod(0o755)
    what = f"{' '.join(command)}, mode {mode:04o} of {role}"
    yield Try("fault: permissions", _verdict(place, command, ended, what))


def _full_disk(place: Path, rng: random.Random) -> Iterator[Try]:
    """Let no file grow over a size; then run the command again, with space enough."""
    command = rng.choice([c for c in COMMANDS if c[0] in ("search", "resume", "train", "export")])
    if command[0] == "search" and rng.random() < 0.7:
        write_inputs(place)
    else:
        copy_finished(place)
    copy_cache(place, is_empty=rng.random() < 0.2)
    most = int(2 ** rng.uniform(10, 18))

    def limit() -> None:
        use_cache(place)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    ended = hpo(place, *command, setting=limit)
    what = f"{' '.join(command)}, no file over {most:,} bytes"
    wrong = _verdict(place, command, ended, what)
    if not wrong and (ended.code or command[0] in ("search", "resume")):
        again = hpo(place, *command, setting=partial(use_cache, place))
        wrong = trouble(again, codes=(0,)) or _other_results(place, command, again)
        wrong = wrong and f"{what}, then: {wrong}"
    yield Try("fault: full disk", wrong)


def _odd_file(place: Path, rng: random.Random) -> Iterator[Try]:
    """Put something else in the place of a file or folder."""
    if rng.random() < 0.3:
        write_inputs(place)
    else:
        copy_finished(place)
    copy_cache(place)
    precious = place / "precious"
    precious.mkdir()
    (precious / "0-1-0123abcd.safetensors").write_text(PRECIOUS)
    (precious / "mine.txt").write_text(PRECIOUS)
    role, command = rng.choice(ROLES), rng.choice(COMMANDS)
    name, put = rng.choice(sorted(ODD.items()))
    path = place / role
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
    old = path.read_bytes() if path.is_file() else b""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    put(path, precious, old)
    ended = hpo(place, *command, setting=partial(use_cache, place))
    what = f"{' '.join(command)}, {role} is {name}"
    wrong = _verdict(place, command, ended, what)
    left = {file.name: file.read_text() for file in precious.glob("*.*")}
    if left != dict.fromkeys(("0-1-0123abcd.safetensors", "mine.txt"), PRECIOUS):
        wrong = f"{what}: files behind a link are changed or gone: {sorted(left)}"
    yield Try("fault: links, pipes, folders, devices, foreign files", wrong)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path.name)
    os.chdir(here)


def _foreign(path: Path, precious: Path, old: bytes) -> None:
    path.write_bytes(old or b"foreign")
    if IS_ROOT:
        os.chown(path, OTHER_USER, OTHER_USER)
    path.chmod(0o666)


def _foreign_folder(path: Path, precious: Path, old: bytes) -> None:
    path.mkdir()
    (path / "mine.txt").write_text(PRECIOUS)
    if IS_ROOT:
        os.chown(path, OTHER_USER, OTHER_USER)
    path.chmod(0o777)


ODD: dict[str, Callable[[Path, Path, bytes], object]] = {
    "missing": lambda path, precious, old: None,
    "empty": lambda path, precious, old: path.write_bytes(b""),
    "noise": lambda path, precious, old: path.write_bytes(b"\xff\x00\x1b[2J" * 999),
    "cut short": lambda path, precious, old: path.write_bytes(old[: len(old) // 2]),
    "a folder": lambda path, precious, old: path.mkdir(),
    "a folder with files": lambda path, precious, old: shutil.copytree(precious, path),
    "a link to a folder": lambda path, precious, old: path.symlink_to(precious),
    "a link to a file": lambda path, precious, old: path.symlink_to(precious / "mine.txt"),
    "a link to itself": lambda path, precious, old: path.symlink_to(path),
    "a link to nothing": lambda path, precious, old: path.symlink_to("/nowhere/at/all"),
    "a link to /dev/zero": lambda path, precious, old: path.symlink_to("/dev/zero"),
    "a link to /dev/full": lambda path, precious, old: path.symlink_to("/dev/full"),
    "a link to /dev/null": lambda path, precious, old: path.symlink_to("/dev/null"),
    "a pipe": lambda path, precious, old: os.mkfifo(path),
    "a socket": lambda path, precious, old: _socket(path),
    "a foreign file": _foreign,
    "a foreign folder": _foreign_folder,
}


def _verdict(place: Path, command: tuple[str, ...], ended: Ended, what: str) -> str:
    wrong = trouble(ended) or (_other_results(place, command, ended) if ended.code == 0 else "")
    return wrong and f"{what}: {wrong}"


def _other_results(place: Path, command: tuple[str, ...], ended: Ended) -> str:
    """What a command that ended well gave in place of the right result; empty if it gave that."""
    root, out = place.parent, place / "best.yaml"
    if command[0] in ("search", "resume"):
        # A file in the place of the database may be a link to a device, which keeps nothing.
        if (place / "hpo.db").is_file() and results(place) != results(finished(root)):
            return "ends well, with other results"
    elif command[0] == "export":
        if "-o" in command and out.exists() and not out.is_file():
            return ""  # a device or pipe has taken what was written
        if exported(place, command, ended) != calm_export(root):
            return "ends well, with another winner"
    elif command == TRAIN:
        if model_results(place / "model") != model_results(finished(root) / "model"):
            return "ends well, with another model"
    elif command[0] == "train":
        file = place / "new" / "metrics.json"
        document = json.loads(file.read_text()) if file.is_file() else {"curve": []}
        epochs = [row["epoch"] for row in document["curve"]]
        if not epochs or epochs != list(range(1, document["epochs"] + 1)):
            return "ends well, without a whole curve"
    return ""


def copy_cache(place: Path, *, is_empty: bool = False) -> None:
    """Give a folder a cache of its own, with the programs that its study needs."""
    if is_empty:
        (place / "cache").mkdir(mode=0o700)
    else:
        finished(place.parent)
        shutil.copytree(os.environ["HPO_CACHE"], place / "cache")
    (place / "data").mkdir(exist_ok=True)


def use_cache(place: Path) -> None:
    os.environ |= {"HPO_CACHE": str(place / "cache"), "HPO_DATA": str(place / "data")}


def _be_other_user(place: Path) -> None:
    use_cache(place)
    os.setgroups([])  # it stays in the group of root, which may be needed to read Python itself
    os.setuid(OTHER_USER)
    os.environ["HOME"] = str(place)
