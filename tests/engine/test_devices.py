"""Devices: which there are, and the memory that programs may use."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from hpo.engine.devices import describe, local_devices, memory_bytes
from hpo.errors import DeviceError


def _device(platform: str, statistics: dict[str, int] | None) -> Any:
    return SimpleNamespace(platform=platform, device_kind=platform, memory_stats=lambda: statistics)


@pytest.mark.parametrize(
    ("device", "available"),
    [
        (_device("gpu", {"bytes_limit": 1000, "bytes_in_use": 10}), 1000),
        (_device("gpu", {"bytes_in_use": 10}), None),
        (_device("tpu", None), None),
    ],
)
def test_an_accelerator_says_how_much_memory_it_has(device: Any, available: int | None) -> None:
    assert memory_bytes(device) == available


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="only Linux says")  # noqa: PTH110
def test_a_core_has_its_share_of_the_machines_memory() -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    shares = [memory_bytes(device) for device in local_devices("cpu")]
    assert all(share is not None and 2**20 < share <= total for share in shares)


def test_nothing_is_said_of_memory_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_such_file(self: Any) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr("pathlib.Path.read_text", no_such_file)
    assert memory_bytes(_device("cpu", None)) is None


def test_an_unknown_platform_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DeviceError, match=r"unknown device 'qpu'\. Known names: cpu, gpu, tpu"):
        local_devices("qpu")


def test_devices_are_described_by_their_number_and_kind() -> None:
    assert describe([_device("gpu", None)] * 2) == "2 x gpu (gpu)"
    assert describe(local_devices("cpu")).startswith("2 x cpu (")
