"""Compiled code on disk: for the next process, and for all devices of a kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hpo.engine.devices import local_devices
from hpo.engine.programs import executables
from hpo.engine.programs.executables import CodeCache, cache_key, load, to_bytes
from tests.checkout import ROOT


def test_code_that_was_damaged_on_disk_is_not_read(tmp_path: Path) -> None:
    cache, device = CodeCache(tmp_path), local_devices("cpu")[0]
    lowered = jax.jit(lambda x: x + 1).lower(np.float32(0))
    key = cache_key(lowered, device)
    assert cache.read(key) is None
    cache.write(key, to_bytes(lowered.compile()))
    code = cache.read(key)
    assert code is not None
    assert float(load(code, lowered.in_tree, lowered.out_tree, device)(np.float32(2))) == 3.0

    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for damaged in (b"", content[:20], content[:-1], content[:-1] + b"?"):
        file.write_bytes(damaged)
        assert cache.read(key) is None


def test_code_of_another_program_or_another_jax_has_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = local_devices("cpu")[0]
    one, other = (jax.jit(f).lower(np.float32(0)) for f in (jax.numpy.sin, jax.numpy.cos))
    keys = {cache_key(one, device), cache_key(other, device)}
    monkeypatch.setattr(jax, "__version__", "0.0.0")
    assert len(keys | {cache_key(one, device), cache_key(other, device)}) == 4


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    CodeCache(file).write("key", b"code")
    assert CodeCache(file).read("key") is None


def test_the_least_recently_used_code_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executables, "_MOST_BYTES", 250)
    cache, names = CodeCache(tmp_path), [f"{n:064x}" for n in range(3)]
    (tmp_path / "costs.json").write_bytes(bytes(1000))  # of another kind
    for age, name in enumerate(names[:2]):
        cache.write(name, bytes(70))
        os.utime(tmp_path / name, (age, age))
    assert cache.read(names[0]) is not None  # so that the other one is the least recently used
    cache.write(names[2], bytes(70))
    cache.write(f"{names[2]}.plan", b"{}")
    assert [cache.read(name) is not None for name in names] == [True, False, True]
    assert (tmp_path / "costs.json").exists()


# Compiles programs for JAX's cache: one for two devices, and one that runs once.
_OTHER_PROGRAMS = """
import sys
from pathlib import Path

import jax
import numpy as np

from hpo.engine.programs.compiler import Compiler
from hpo.engine.devices import local_devices
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.footprint import latency_ms
from hpo.engine.mesh import places
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from tests.engine.samples import a_training, tiny_data

misses = []
jax.monitoring.register_event_listener(
    lambda event, **_: misses.append(event) if event.endswith("cache_misses") else None
)
use_jax_cache(Path(sys.argv[1]))
data, training = tiny_data(), a_training(train={"epochs": 1})
program, knobs = split(training, data, "cpu")
devices = local_devices("cpu")
for place in (places(devices, is_meshed=True)[0], devices[0]):
    pool = Pool(place, Compiler(Path(sys.argv[1])))
    pool.load(program, Plans(Plan("map", 2)), data)
    pool.put(0, 0, training, knobs, None, 1)
    print(pool.round()[0].metrics, pool.evaluate(0, data.validation))
latency_ms(training, data, devices[0])
print(bool(misses))
"""


@pytest.mark.long
def test_the_next_process_loads_all_other_programs_from_the_cache_of_jax(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OTHER_PROGRAMS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    first, second = (
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        for _ in range(2)
    )
    assert "rror" not in second.stderr
    *curves, has_compiled = first.stdout.splitlines()
    assert (len(curves), has_compiled) == (2, "True")
    assert second.stdout.splitlines() == [*curves, "False"]
