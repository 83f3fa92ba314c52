"""The energy that the machine counts while lanes train: Intel's RAPL, and NVML of NVIDIA.

The counters are those of whole packages of cores and whole cards: other programs count, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from hpo.errors import HpoError

METRIC = "energy_joules"
# The folders of Intel's running average power limit, which processors of AMD have too.
POWERCAP = Path("/sys/class/powercap")
_VISIBLE = "CUDA_VISIBLE_DEVICES"

# Gives the joules since its last call.
Counter = Callable[[], float]
Result = TypeVar("Result")


class Meter:
    """Divides measured joules equally among the pools that are training."""

    def __init__(self, counters: Sequence[Counter] = ()) -> None:
        self._counters = counters
        self._training: dict[object, float] = {}
        self._lock = threading.Condition()
        self._is_held = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A time in which no pool trains: it begins once none does, and others wait for its end."""
        try:
            with self._lock:
                self._is_held = True
                self._lock.wait_for(lambda: not self._training)
            yield
        finally:
            with self._lock:
                self._is_held = False
                self._lock.notify_all()

    def counted(self, pool: object, train: Callable[[], Result]) -> tuple[Result, float]:
        """What a pool's training gives, and its joules; these are 0 where nothing is counted."""
        self._start(pool)
        try:
            result = train()
        finally:
            joules = self._end(pool)
        return result, joules

    def _start(self, pool: object) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._is_held)
            self._divide()
            self._training[pool] = 0.0

    def _end(self, pool: object) -> float:
        with self._lock:
            try:
                self._divide()
            finally:
                joules = self._training.pop(pool)
                self._lock.notify_all()
            return joules

    def _divide(self) -> None:
        """Give what was used since the last look to those that train; without any, to nobody."""
        used = sum(counter() for counter in self._counters)
        for pool in self._training:
            self._training[pool] += used / len(self._training)


class Rapl:
    """A package of cores, or its memory: a file of microjoules that begins again at its end."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = int(self._file.read_text())

    def __call__(self) -> float:
        """The joules since the last call; a failure counts none, and the next call has its part."""
        try:
            now = int(self._file.read_text())
        except (OSError, ValueError):
            return 0.0
        used, self._last = now - self._last, now
        return 1e-6 * (used if used >= 0 else used + self._range)


def energy_counters(devices: Sequence[Any], metrics: Collection[str]) -> list[Counter]:
    """The counters that can be read of the processors and of these devices; may be none.

    Raises:
        HpoError: if there is none, and a search decides by its metric.
    """
    found: list[Counter] = [*_rapl_counters(POWERCAP)]
    if devices[0].platform in ("gpu", "cuda"):
        found += _nvml_counters([device.local_hardware_id for device in devices])
    if not found and METRIC in metrics:
        raise HpoError(
            f"search: {METRIC}: nothing counts energy here, neither a readable file "
            f"{POWERCAP}/intel-rapl:*/energy_uj nor a card by the package nvidia-ml-py: use "
            "train_seconds instead."
        )
    return found


def _rapl_counters(folder: Path) -> Iterator[Counter]:
    """Those of packages and of memory; cores and graphics are parts of a package."""
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                yield Rapl(zone)
        except (OSError, ValueError):  # many systems let root alone read them
            continue


def _nvml_counters(places: Sequence[int]) -> list[Counter]:
    """Those of NVIDIA's cards, if the package `nvidia-ml-py` is installed and all of them count."""
    if find_spec("pynvml") is None:
        return []
    import pynvml

    visible = [name for name in os.environ.get(_VISIBLE, "").split(",") if name]
    try:
        pynvml.nvmlInit()
        names = [visible[place] if visible else str(place) for place in places]
        if any(map(str.isdecimal, names)) and not _has_one_order(pynvml):
            return []
        return [Nvml(pynvml, _card(pynvml, name)) for name in names]
    except (pynvml.NVMLError, IndexError):
        return []


def _has_one_order(library: Any) -> bool:
    """Whether CUDA numbers cards as NVML does, by their bus; else it puts faster kinds first."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return True
    cards = map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))
    return len({*map(library.nvmlDeviceGetName, cards)}) == 1


def _card(library: Any, name: str) -> Any:
    by_place, by_uuid = library.nvmlDeviceGetHandleByIndex, library.nvmlDeviceGetHandleByUUID
    return by_place(int(name)) if name.isdecimal() else by_uuid(name)


class Nvml:
    """A card of NVIDIA, which counts millijoules from when its driver was loaded."""

    def __init__(self, library: Any, card: Any) -> None:
        self._library, self._card = library, card
        self._last = self._read()

    def __call__(self) -> float:
        """The joules since the last call; a failure counts none, and the next call has its part."""
        try:
            now = self._read()
        except self._library.NVMLError:
            return 0.0
        used, self._last = now - self._last, now
        return 1e-3 * used

    def _read(self) -> int:
        return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._card))
