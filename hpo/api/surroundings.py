"""What a run takes from the environment of its process, read once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hpo.errors import HpoError, cut
from hpo.own_files import own_folder, say_unusable, shown
from hpo.study.surroundings import Surroundings


def default_storage() -> str:
    """The storage of a spec that names none."""
    from hpo.spec.sections.study import (
        StudySpec,  # imports pydantic, which `--help` need not pay for
    )

    return StudySpec().storage


def surroundings(
    storage: str,
    device: str | None,
    *,
    starts_over: bool = False,
    profile: Path | None = None,
    explains: bool = False,
    trusts_code: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Surroundings:
    """The surroundings of a run.

    Raises:
        HpoError: for the home of an unknown user in HPO_DATA.
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
        trusts_code=trusts_code,
        typed=typed_folder(environment),
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
    """The folder of named data sets: HPO_DATA, or the user's own; None where there is no home.

    Raises:
        HpoError: for the home of an unknown user in HPO_DATA, or a folder that cannot be read.
    """
    if named := environment.get("HPO_DATA"):
        try:
            folder = Path(named).expanduser()
            with suppress(FileNotFoundError, NotADirectoryError):
                folder.stat()
            return folder
        except OSError as error:
            text = f"HPO_DATA: {cut(named)}: {error.strerror}: name another folder."
            raise HpoError(text) from None
        except RuntimeError:
            text = f"HPO_DATA: {shown(named)}: no such user has a home: write the whole path."
            raise HpoError(text) from None
    base = _user_folder(environment, "XDG_DATA_HOME", ".local/share")
    return base and base / "hpo" / "data"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of compiled programs, made: HPO_CACHE, or the user's own.

    None where others can write, or where it cannot be made or entered; a warning then says so.
    """
    if environment.get("HPO_CACHE"):
        named = _named_cache(environment)
        return named and own_folder(named)
    base = _user_folder(environment, "XDG_CACHE_HOME", ".cache")
    own = base and own_folder(base / "hpo")
    return own and own_folder(own / "xla")


def data_cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of preprocessed data sets: `data` in HPO_CACHE, or the user's own."""
    if environment.get("HPO_CACHE"):
        named = _named_cache(environment)
        return named and named / "data"
    base = _user_folder(environment, "XDG_CACHE_HOME", ".cache")
    return base and base / "hpo" / "data"


def typed_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that notes what the user has typed or run; None where there is no home."""
    base = _user_folder(environment, "XDG_STATE_HOME", ".local/state")
    return base and base / "hpo" / "typed"


def _named_cache(environment: Mapping[str, str]) -> Path | None:
    named = Path(environment["HPO_CACHE"])
    try:
        return named.expanduser()
    except RuntimeError:
        say_unusable(named, "is in the home of no user")
        return None


def _user_folder(environment: Mapping[str, str], name: str, below_home: str) -> Path | None:
    # Relative paths are to be ignored (XDG base directory specification).
    if Path(environment.get(name, "")).is_absolute():
        return Path(environment[name])
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - never raises
    return Path(home) / below_home if Path(home).is_absolute() else None
