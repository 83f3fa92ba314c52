"""The database and its WAL deleted, cut short or replaced, during a run and after a kill.

No command prints a traceback. A study that can still be read ends as one never disturbed, and one
that cannot is refused in one line; once its files are gone, the search begins again.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaign.attempts import Try
from tests.campaign.forked import hpo, start, trouble
from tests.campaign.samples import finished, results, write_inputs

SEARCH = ("search", "spec.yaml", "--quiet")
_LONGEST_SECONDS = 1.5


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Disturb a search once, with or without a kill, and search again."""
    write_inputs(place)
    calm = results(finished(place.parent))
    is_killed = rng.random() < 0.5
    name, disturb = rng.choice(sorted(DISTURBANCES.items()))
    child = start(place, *SEARCH)
    time.sleep(rng.uniform(0.2, _LONGEST_SECONDS))
    if is_killed:
        child.kill()
        ended = child.wait()
    disturb(place, rng)
    when = "after a kill" if is_killed else "during a run"
    promise = f"lost: database or WAL {name.split()[0].replace('cut', 'cut short')}, {when}"
    if not is_killed:
        ended = child.wait()
    wrong = trouble(ended, codes=(0, 2, -signal.SIGKILL) if is_killed else (0, 2))
    if wrong:
        yield Try(promise, f"{name}: {wrong}")
        return
    again = hpo(place, *SEARCH)
    wrong = trouble(again)
    if not wrong and again.code == 0:
        checked = hpo(place, "check-study", "flowers")
        # Noise may lie in a page that no search reads: only `check-study` finds it.
        wrong = trouble(checked, codes=(0, 2) if "noise" in name else (0,))
        wrong = wrong and f"check-study: {wrong}"
        if not wrong and results(place) != calm:
            wrong = "ends well, with other results"
    elif not wrong:
        for file in place.glob("hpo.db*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        wrong = trouble(hpo(place, *SEARCH), codes=(0,))
        if not wrong and results(place) != calm:
            wrong = "begins again, with other results"
    yield Try(promise, wrong and f"{name}: {wrong}")


def _delete(*suffixes: str) -> Callable[[Path, random.Random], None]:
    def disturb(place: Path, rng: random.Random) -> None:
        for suffix in suffixes:
            (place / f"hpo.db{suffix}").unlink(missing_ok=True)

    return disturb


def _cut(suffix: str) -> Callable[[Path, random.Random], None]:
    def disturb(place: Path, rng: random.Random) -> None:
        path = place / f"hpo.db{suffix}"
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(rng.randrange(path.stat().st_size + 1))

    return disturb


def _noise(suffix: str) -> Callable[[Path, random.Random], None]:
    def disturb(place: Path, rng: random.Random) -> None:
        path = place / f"hpo.db{suffix}"
        if path.exists():
            with path.open("r+b") as file:
                file.seek(rng.randrange(path.stat().st_size + 1))
                file.write(rng.randbytes(rng.choice([1, 50, 5_000])))

    return disturb


def _other_study(place: Path, rng: random.Random) -> None:
    """The database of the same study, which has ended elsewhere."""
    new = place / "new.db"
    shutil.copy(finished(place.parent) / "hpo.db", new)
    new.replace(place / "hpo.db")


def _nonsense(place: Path, rng: random.Random) -> None:
    new = place / "new.db"
    new.write_bytes(rng.choice([b"", b"nonsense", b"\x00" * 8_192]))
    new.replace(place / "hpo.db")


DISTURBANCES: dict[str, Callable[[Path, random.Random], None]] = {
    "deleted": _delete(""),
    "deleted (WAL)": _delete("-wal"),
    "deleted (both)": _delete("", "-wal", "-shm"),
    "deleted (shared memory)": _delete("-shm"),
    "cut short": _cut(""),
    "cut short (WAL)": _cut("-wal"),
    "replaced by noise in part": _noise(""),
    "replaced by noise in part (WAL)": _noise("-wal"),
    "replaced by another copy": _other_study,
    "replaced by nonsense": _nonsense,
}
