"""Runs under a limit of memory."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hpo.api import memory
from hpo.api.memory import Limit, check_memory
from hpo.data.cache import DataCache
from hpo.data.load import load_data
from hpo.errors import DeviceError
from hpo.spec.load import load_document, load_experiment

GIBIBYTE = 1 << 30


@pytest.mark.parametrize("mebibytes", [400, 1144])  # the latter are 1.2 GB
def test_a_search_under_a_limit_of_addresses_is_refused_in_a_line(spec, tmp_path, mebibytes):
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"ulimit -v {mebibytes * 1024}; {shlex.quote(sys.executable)} -m hpo search {spec}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(
        f"memory: this process may take {mebibytes / 1024:.2f} GiB (ulimit -v), and start-up, the "
        "data and one lane need about "
    )
    assert done.stderr.endswith(" GiB: raise the limit.\n")
    assert done.stderr.count("\n") == 1
    assert not Path("hpo.db").exists()


@pytest.mark.long
def test_a_search_runs_with_the_addresses_that_it_is_said_to_need(spec):
    need = memory._need(True, memory.core_count()) // 1024
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v {need}; {shlex.quote(sys.executable)} -m hpo search {spec}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_size_of_the_data_counts(tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    with table.open("wb") as file:
        file.truncate(GIBIBYTE)  # takes no space on the disk
    (tmp_path / "spec.yaml").write_text(
        "name: large\ndata: {dataset: {csv: table.csv, target: y}, batch_size: 16}\n"
        "model: {name: mlp}\noptimizer: {name: adam}\ntrain: {epochs: 2}\n"
    )
    experiment = load_experiment(tmp_path / "spec.yaml", ())

    def with_limit(most: int) -> None:
        limit = Limit(most, "its control group", counts_addresses=False)
        monkeypatch.setattr(memory, "memory_limits", lambda: [limit])

    with_limit(GIBIBYTE // 2)
    with pytest.raises(DeviceError, match=r"may take 0\.50 GiB \(its control group\).* 0\.88 GiB"):
        check_memory(experiment, None, None)
    with_limit(GIBIBYTE)  # the arrays of a large table are mapped
    check_memory(experiment, None, None)


def test_data_that_the_cache_holds_do_not_count(spec, tmp_path, monkeypatch):
    rows = [f"{n},{n % 7},{'ab'[n % 2]}" for n in range(200)]
    Path("table.csv").write_text("\n".join(["x,z,y", *rows]))
    data = {"dataset": {"csv": "table.csv", "target": "y"}, "batch_size": 16}
    experiment = load_document({**yaml.safe_load(spec.read_text()), "data": data}, Path())
    cache = tmp_path / "cache"
    limit = Limit(memory._RESIDENT + 100, "its control group", counts_addresses=False)
    monkeypatch.setattr(memory, "memory_limits", lambda: [limit])

    with pytest.raises(DeviceError):
        check_memory(experiment, None, cache)
    load_data(experiment.training.data, Path(), None, DataCache(cache))
    check_memory(experiment, None, cache)
