"""What a run takes from the environment of its process, read once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hpo.errors import HpoError
from hpo.study.surroundings import Surroundings


def default_storage() -> str:
    """The storage of a spec that names none."""
    from hpo.spec.experiment import StudySpec  # imports pydantic, which `--help` need not pay for

    return StudySpec().storage


def surroundings(
    storage: str,
    device: str | None,
    *,
    starts_over: bool = False,
    profile: Path | None = None,
    explains: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Surroundings:
    """The surroundings of a run.

    Raises:
        HpoError: for a folder in HPO_CACHE that cannot be made.
    """
    return Surroundings(
        storage=storage,
        data_home=data_home(environment),
        cache=cache_folder(environment),
        device=device,
        starts_over=starts_over,
        data_cache=data_cache_folder(environment),
        profile=profile,
        began=process_began(),
        explains=explains,
    )


def process_began() -> float:
    """When this process started, by `time.monotonic()`; now, where the system does not say."""
    now = time.monotonic()
    with suppress(OSError, AttributeError):
        # Field 22 of proc(5): the start in ticks since boot, which only Linux gives.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return now - max(0.0, age)
    return now


def data_home(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of named data sets: HPO_DATA, or the user's own; None where there is no home."""
    if environment.get("HPO_DATA"):
        return Path(environment["HPO_DATA"]).expanduser()
    base = _user_folder(environment, "XDG_DATA_HOME", ".local/share")
    return base and base / "hpo" / "data"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of compiled programs, made: HPO_CACHE, or the user's own if it can be written.

    Raises:
        HpoError: for a folder in HPO_CACHE that cannot be made.
    """
    if environment.get("HPO_CACHE"):
        folder = Path(environment["HPO_CACHE"]).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpoError(
                f"HPO_CACHE: {folder} cannot be made ({error.strerror}): name another folder."
            ) from error
        return folder
    base = _user_folder(environment, "XDG_CACHE_HOME", ".cache")
    if base is None:
        return None
    folder = base / "hpo" / "xla"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else None


def data_cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of preprocessed data sets: `data` in HPO_CACHE, or the user's own."""
    if environment.get("HPO_CACHE"):
        return Path(environment["HPO_CACHE"]).expanduser() / "data"
    base = _user_folder(environment, "XDG_CACHE_HOME", ".cache")
    return base and base / "hpo" / "data"


def _user_folder(environment: Mapping[str, str], name: str, below_home: str) -> Path | None:
    # Relative paths are to be ignored (XDG base directory specification).
    if Path(environment.get(name, "")).is_absolute():
        return Path(environment[name])
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - never raises
    return Path(home) / below_home if Path(home).is_absolute() else None
