"""Refuses a run that has too little memory: below that, JAX dies by a signal."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpo.data.files import source_files
from hpo.engine.devices import cgroup_limit, core_count
from hpo.errors import DeviceError, HpoError
from hpo.spec.experiment import Experiment, Training, folds_of
from hpo.spec.sections.data import TableFile

# Measured with jaxlib 0.10 and 0.12 on Linux: what a search of a small table takes, with one lane.
_ADDRESSES = 1_660 << 20  # reserved by libraries, whose pools differ from run to run
_THREADS_OF_A_CORE = 5
_STACK_BYTES = 8 << 20
_RESIDENT = 256 << 20  # without the pages of libraries, which the system can drop
# A data set is read, then kept as arrays, and copied to the device.
_COPIES_OF_DATA = 2
# A larger table is read in pieces into mapped files, whose pages the system can drop.
_MOST_OF_A_TABLE = 320 << 20


class Limit(NamedTuple):
    """The most memory that this process may take, what sets it, and what it counts."""

    most: int
    name: str
    counts_addresses: bool


def check_memory(experiment: Experiment, home: Path | None, cache: Path | None) -> None:
    """Refuse to start where a limit is below the needs of start-up, the data and one lane.

    `home` is the folder of named data sets, `cache` that of preprocessed ones.

    Raises:
        DeviceError: with the limit and the need.
    """
    for limit in memory_limits():
        need = start = _need(limit.counts_addresses, core_count())
        files = _data_files(experiment, home)
        # Each further fold is a copy of its own.
        copies = _COPIES_OF_DATA + folds_of(experiment.training) - 1
        size = sum(file.stat().st_size for file in files)
        if _is_mapped(experiment) and not limit.counts_addresses:
            size = min(size, _MOST_OF_A_TABLE)
        need += copies * size
        if limit.most >= need:
            continue
        # Those from the cache are mapped: the system drops their pages where it needs them.
        if (
            limit.most >= start
            and not limit.counts_addresses
            and _is_kept(experiment, files, cache)
        ):
            continue
        raise DeviceError(
            f"memory: this process may take {_gibibytes(limit.most)} ({limit.name}), and "
            f"start-up, the data and one lane need about {_gibibytes(need)}: raise the limit."
        )


def memory_limits() -> list[Limit]:
    """The limits that hold for this process; the smallest of nested control groups."""
    found = []
    with suppress(ImportError):  # not on Windows
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            found.append(Limit(most, "ulimit -v", counts_addresses=True))
    with suppress(OSError):
        membership = Path("/proc/self/cgroup").read_text()
        group = cgroup_limit(membership, Path("/sys/fs/cgroup"))
        if group is not None:
            found.append(Limit(group, "its control group", counts_addresses=False))
    return found


def _need(counts_addresses: bool, cores: int) -> int:
    """What start-up and a small lane need: addresses grow with the threads of each core."""
    if not counts_addresses:
        return _RESIDENT
    return _ADDRESSES + cores * _THREADS_OF_A_CORE * _STACK_BYTES


def _data_files(experiment: Experiment, home: Path | None) -> list[Path]:
    """The files of the data; none where they cannot be found, which the run refuses later."""
    if not isinstance(experiment.training, Training):
        return []
    with suppress(HpoError, OSError):
        files = source_files(experiment.training.data, experiment.folder, home)
        return [file for file in files if file.is_file()]
    return []


def _is_mapped(experiment: Experiment) -> bool:
    """Whether the arrays of a training's data lie in mapped files where they are large."""
    training = experiment.training
    return isinstance(training, Training) and isinstance(training.data.dataset, TableFile)


def _is_kept(experiment: Experiment, files: list[Path], folder: Path | None) -> bool:
    """Whether the cache holds the data of a training."""
    from hpo.data.cache import DataCache  # imports NumPy

    cache = DataCache(folder)
    key = cache.key(experiment.training.data, files)
    return key is not None and cache.read(key) is not None


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
