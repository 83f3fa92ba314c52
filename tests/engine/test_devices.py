"""Devices: their platforms, and the memory that programs may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpo.engine.devices import cgroup_bytes, cgroup_limit, describe, local_devices, memory_bytes
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


def test_memory_is_unknown_if_the_system_does_not_report_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_such_file(self: Any) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr("pathlib.Path.read_text", no_such_file)
    assert memory_bytes(_device("cpu", None)) is None


def _a_group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize(("limit", "above", "room"), [("1000", "max", 700), ("max", "500", 200)])
def test_the_limits_of_control_groups_count_and_what_they_cache_does_not(
    tmp_path: Path, limit: str, above: str, room: int
) -> None:
    usage = {"memory.current": "400\n", "memory.stat": "anon 300\ninactive_file 100\n"}
    _a_group(tmp_path, {"memory.max": f"{above}\n", **usage})
    _a_group(tmp_path / "all" / "job", {"memory.max": f"{limit}\n", **usage})
    assert cgroup_bytes("0::/all/job\n", tmp_path) == room
    # In a container, the path may exist only on the host.
    _a_group(tmp_path, {"memory.max": "450\n"})
    assert cgroup_bytes("0::/docker/abc\n", tmp_path) == 150


def test_limits_of_the_first_kind_of_control_groups_count_too(tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": "1000",
        "memory.usage_in_bytes": "900",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
    }
    _a_group(tmp_path / "memory" / "job", files)
    assert cgroup_bytes("3:cpu,cpuacct:/job\n2:memory:/job\n", tmp_path) == 150
    assert cgroup_bytes("3:cpu,cpuacct:/job\n", tmp_path) is None


def test_an_unknown_platform_is_refused_with_those_that_jax_has() -> None:
    with pytest.raises(DeviceError) as refused:
        local_devices("qpu")
    assert str(refused.value) == (
        "--device qpu: JAX cannot use it here (Unknown backend qpu). JAX has: cpu. "
        "Choose one of these, or install the JAX plugin for qpu."
    )


def test_a_platform_is_any_that_jax_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("jax.local_devices", lambda backend: asked.append(backend) or ["a device"])
    assert local_devices("a_plugin") == ["a device"]
    assert asked == ["a_plugin"]


def test_a_plugin_that_stops_jax_from_starting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> Any:
        raise RuntimeError("Unable to initialize backend 'foo': no driver (uninstall it)\nmore")

    monkeypatch.setattr("jax.local_devices", fail)
    monkeypatch.setattr("jax.extend.backend.backends", fail)
    with pytest.raises(DeviceError, match=r"^JAX cannot start its devices: Unable .*driver.*\)\.$"):
        local_devices()


def test_devices_are_described_by_their_number_and_kind() -> None:
    assert describe([_device("gpu", None)] * 2) == "2 x gpu (gpu)"
    assert describe(local_devices("cpu")).startswith("2 x cpu (")


def test_where_jax_is_in_use_already_its_devices_are_taken_as_they_are() -> None:
    code = (
        "import jax; before = jax.devices('cpu');"
        " from hpo.engine.devices import local_devices; print(local_devices('cpu') == before)"
    )
    environment = {name: os.environ[name] for name in os.environ if name != "JAX_NUM_CPU_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr


def test_the_smallest_limit_of_nested_control_groups_holds(tmp_path):
    for folder, limit in ((".", "max"), ("all", "900"), ("all/job", "1000")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "memory.max").write_text(f"{limit}\n")
    assert cgroup_limit("0::/all/job\n", tmp_path) == 900
    assert cgroup_limit("0::/\n", tmp_path) is None

    (tmp_path / "memory/job").mkdir(parents=True)
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup_limit("2:memory:/job\n", tmp_path) is None
    (tmp_path / "memory/job/memory.limit_in_bytes").write_text("500\n")
    assert cgroup_limit("2:memory:/job\n", tmp_path) == 500
