"""The energy of training, by counters that are files and by a card that is made up."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.engine import energy
from hpo.engine.energy import Meter, Rapl, energy_counters
from hpo.errors import HpoError

CPU = types.SimpleNamespace(platform="cpu", local_hardware_id=0)
CARD = types.SimpleNamespace(platform="gpu", local_hardware_id=1)


def a_zone(folder: Path, name: str, at: int, zone: str = "intel-rapl:0") -> Path:
    """A counter at some microjoules."""
    place = folder / zone
    place.mkdir()
    for file, text in (("name", name), ("energy_uj", at), ("max_energy_range_uj", 10_000_000)):
        (place / file).write_text(f"{text}\n")
    return place


def test_a_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    zone = a_zone(tmp_path, "package-0", 7_000_000)
    counter = Rapl(zone)
    for at, joules in ((8_500_000, 1.5), (500_000, 2.0), (500_000, 0.0)):
        (zone / "energy_uj").write_text(f"{at}\n")
        assert counter() == pytest.approx(joules)


def test_what_a_counter_did_not_tell_is_counted_at_its_next_look(tmp_path: Path) -> None:
    file = a_zone(tmp_path, "package-0", 1_000_000) / "energy_uj"
    counter = Rapl(file.parent)
    file.write_text("")
    assert counter() == 0
    file.unlink()
    assert counter() == 0
    file.write_text("4000000\n")
    assert counter() == pytest.approx(3)


def test_packages_and_memory_are_counted_and_their_parts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert energy_counters([CPU], ("accuracy",)) == []
    with pytest.raises(HpoError, match=r"search: energy_joules: nothing counts energy here"):
        energy_counters([CPU], ("accuracy", "energy_joules"))
    zones = [
        a_zone(tmp_path, name, 0, f"intel-rapl:{place}")
        for name, place in (("package-0", "0"), ("core", "0:0"), ("dram", "0:1"), ("psys", "1"))
    ]
    counters = energy_counters([CPU], ("energy_joules",))
    for zone in zones:
        (zone / "energy_uj").write_text("1000000\n")
    assert [counter() for counter in counters] == [1.0, 1.0]
    (zones[0] / "max_energy_range_uj").unlink()  # as one that cannot be read
    assert len(energy_counters([CPU], ("energy_joules",))) == 1


def test_cards_are_found_by_their_place_among_the_visible_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    read: list[Any] = []
    library = a_library(monkeypatch)
    library.nvmlDeviceGetTotalEnergyConsumption = lambda card: read.append(card) or len(read) * 500
    (counter,) = energy_counters([CARD], ("energy_joules",))
    assert counter() == 0.5
    assert read == [1, 1]
    for visible, card in (("4,7", 7), ("GPU-1a,GPU-2b", "GPU-2b")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert len(energy_counters([CARD], ())) == 1
        assert read[-1] == card

    library.nvmlDeviceGetTotalEnergyConsumption = failing
    assert counter() == 0
    assert energy_counters([CARD], ()) == []


def test_cards_are_counted_all_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    library = a_library(monkeypatch)
    library.nvmlDeviceGetTotalEnergyConsumption = lambda card: 500 if card else failing(card)
    first = types.SimpleNamespace(platform="gpu", local_hardware_id=0)
    assert len(energy_counters([CARD], ())) == 1
    assert energy_counters([CARD, first], ()) == []


def test_cards_of_several_kinds_are_counted_where_their_order_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    library = a_library(monkeypatch)
    library.nvmlDeviceGetName = lambda card: f"card {card}"
    library.nvmlDeviceGetTotalEnergyConsumption = lambda card: 500
    assert energy_counters([CARD], ()) == []
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert len(energy_counters([CARD], ())) == 1
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1a,GPU-2b")
    assert len(energy_counters([CARD], ())) == 1


def a_library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """That of NVIDIA, with eight alike cards."""
    library: Any = types.ModuleType("pynvml")
    library.NVMLError = RuntimeError
    library.nvmlInit = lambda: None
    library.nvmlDeviceGetCount = lambda: 8
    library.nvmlDeviceGetName = lambda card: "a card"
    library.nvmlDeviceGetHandleByIndex = lambda place: place
    library.nvmlDeviceGetHandleByUUID = lambda name: name
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(energy, "find_spec", lambda _: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    return library


def failing(card: Any) -> int:
    raise RuntimeError("not supported")


def test_pools_that_train_at_the_same_time_share_joules_equally() -> None:
    used = iter([5.0, 2.0, 4.0, 8.0, 16.0])
    meter, inner = Meter([lambda: next(used)]), []
    # Nobody trained during the first 5 J; `a` has 2 J alone, 4 J beside `b`, and 8 J alone.
    _, of_a = meter.counted("a", lambda: inner.append(meter.counted("b", lambda: "done")))
    assert inner == [("done", 2.0)]
    assert of_a == 2.0 + 2.0 + 8.0


def test_a_pool_that_fails_counts_no_longer() -> None:
    used = iter([1.0, 2.0, 4.0, 8.0])
    meter = Meter([lambda: next(used)])
    with pytest.raises(ZeroDivisionError):
        meter.counted("a", lambda: 1 // 0)
    assert meter.counted("a", lambda: None) == (None, 8.0)


def test_a_counter_that_breaks_leaves_nobody_waiting() -> None:
    looks = [0.0, 1.0]  # from the last on
    meter = Meter([lambda: 1 / looks.pop()])
    with pytest.raises(ZeroDivisionError):
        meter.counted("a", lambda: None)
    with meter.alone():  # it waits until nobody trains
        pass


class Watched(threading.Condition):
    """The lock of a meter, which tells that the thread of a name waits for it, or has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def wait(self, timeout: float | None = None) -> bool:
        self._told[threading.current_thread().name].set()
        return super().wait(timeout)

    def start(self, name: str, work: Callable[[], Any]) -> None:
        """Start a thread, and go on once it waits or has ended."""
        told = self._told[name] = threading.Event()

        def run() -> None:
            work()
            told.set()

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))
        self._threads[-1].start()
        assert told.wait(60)

    def join(self) -> None:
        """Wait until all threads have ended."""
        for thread in self._threads:
            thread.join(60)


def test_nobody_trains_while_another_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, order = Watched(), list[str]()
    monkeypatch.setattr(energy, "threading", types.SimpleNamespace(Condition=lambda: lock))
    meter = Meter()

    def measure() -> None:
        with meter.alone():
            order.append("alone")
            lock.start("another", lambda: meter.counted("b", lambda: order.append("another")))
            order.append("still alone")

    def train() -> None:
        lock.start("measure", measure)
        order.append("trained")

    meter.counted("a", train)
    lock.join()
    assert order == ["trained", "alone", "still alone", "another"]
