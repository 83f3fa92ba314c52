"""Compiled code on disk: for the next process, and for all devices of a kind."""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax._src.core import MemorySpace
from jax.experimental.compilation_cache import compilation_cache

from hpo import own_files
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs import executables
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import (
    CodeCache,
    cache_key,
    compile_to_keep,
    load,
    to_bytes,
    use_jax_cache,
)
from hpo.engine.programs.plans import Plan, Plans
from tests.checkout import ROOT
from tests.engine.samples import a_training, tiny_data


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


def test_code_without_most_optimizations_has_another_name() -> None:
    lowered = jax.jit(jax.numpy.sin).lower(np.float32(0))
    keys = set()
    before = jax.config.read("jax_disable_most_optimizations")
    for is_left_out in (not before, before):
        jax.config.update("jax_disable_most_optimizations", is_left_out)
        keys.add(cache_key(lowered, local_devices("cpu")[0]))
    assert len(keys) == 2


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


def _a_code(folder: Path, function: Any = jax.numpy.sin) -> tuple[Any, str]:
    """Keeps the code of a function; gives what `load` needs, and the key."""
    device = local_devices("cpu")[0]
    lowered = jax.jit(function).lower(np.float32(0))
    key = cache_key(lowered, device)
    CodeCache(folder).write(key, to_bytes(compile_to_keep(lowered)))
    return (lowered.in_tree, lowered.out_tree, device), key


def test_the_code_of_one_program_is_not_read_as_that_of_another(tmp_path: Path) -> None:
    _, one = _a_code(tmp_path)
    _, other = _a_code(tmp_path, jax.numpy.cos)
    (tmp_path / one).rename(tmp_path / "kept")
    (tmp_path / other).rename(tmp_path / one)
    (tmp_path / "kept").rename(tmp_path / other)
    assert [CodeCache(tmp_path).read(key) for key in (one, other)] == [None, None]


@given(where=st.integers(0), flip=st.integers(1, 255), left=st.none() | st.integers(0))
def test_no_flipped_byte_and_no_cut_end_is_read(
    tmp_path_factory: pytest.TempPathFactory, where: int, flip: int, left: int | None
) -> None:
    folder, key = tmp_path_factory.mktemp("code"), "0" * 64
    CodeCache(folder).write(key, bytes(range(256)))
    content = bytearray((folder / key).read_bytes())
    content[where % len(content)] ^= flip
    (folder / key).write_bytes(content if left is None else content[: left % len(content)])
    assert CodeCache(folder).read(key) is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: p.symlink_to("sound")])
def test_what_is_no_file_of_the_users_own_is_not_read(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    _, key = _a_code(tmp_path)
    (tmp_path / key).rename(tmp_path / "sound")
    make(tmp_path / key)
    assert CodeCache(tmp_path).read(key) is None


def test_a_folder_of_another_user_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = _a_code(tmp_path)
    assert CodeCache(tmp_path).read(key) is not None
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4321)
    assert CodeCache(tmp_path).read(key) is None
    CodeCache(tmp_path).write("1" * 64, b"code")
    assert [path.name for path in tmp_path.iterdir()] == [key]


def test_code_is_kept_where_only_the_user_may_read(tmp_path: Path) -> None:
    _, key = _a_code(tmp_path / "cache")
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache", tmp_path / "cache" / key)
    ]
    assert modes == [0o700, 0o600]


class _Call:
    """Pickled, it calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments

    def __call__(self) -> None:
        """What pickle asks of a function that another call gives."""


def _named(name: str, *arguments: str) -> bytes:
    """A pickle of protocol 4, whose names may have dots, that calls a function."""
    pieces = [pickle.dumps(text, 4)[11:-1] for text in (*name.split(" "), *arguments)]
    return b"\x80\x04" + pieces[0] + pieces[1] + b"\x93(" + b"".join(pieces[2:]) + b"tR."


_TOUCH = "touch planted"
# Each gets hold of a function that can do anything, or calls it.
_HOSTILE = {
    "os.system": pickle.dumps(_Call(os.system, _TOUCH)),
    "eval": pickle.dumps(_Call(eval, f"__import__('os').system('{_TOUCH}')")),
    "exec": pickle.dumps(_Call(exec, f"import os; os.system('{_TOUCH}')")),
    "import": pickle.dumps(_Call(importlib.import_module, "this")),
    "partial": pickle.dumps(_Call(functools.partial(os.system, _TOUCH))),
    "a function of a module": pickle.dumps(
        _Call(getattr, _Call(importlib.import_module, "os"), "system")
    ),
    "a method of an Enum": pickle.dumps(_Call(getattr, MemorySpace, "__init_subclass__")),
    "the classes above an Enum": pickle.dumps(_Call(_Call(getattr, MemorySpace, "mro"))),
    "an attribute of a member": pickle.dumps(
        _Call(getattr, _Call(getattr, MemorySpace, "Device"), "__class__")
    ),
    "an attribute of a class": pickle.dumps(_Call(getattr, np.dtype, "__new__")),
    "a name with dots": _named("jax._src.core MemorySpace.__init_subclass__"),
    "a module in a module": _named("jax._src.stages enum.sys.exit"),
    "a reference of another kind": b"\x80\x04(" + pickle.dumps("file", 4)[11:-1] + b"tQ.",
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_planted_pickle_calls_nothing_that_the_format_of_jax_does_not_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="format"):
        load(_HOSTILE[name], None, None, local_devices("cpu")[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("admitted", sorted(executables._ADMITTED), ids=".".join)
def test_no_admitted_name_runs_what_a_planted_pickle_gives_it(
    admitted: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    device, called = local_devices("cpu")[0], _named(" ".join(admitted), _TOUCH)
    state = pickle.dumps({"load": _TOUCH, "__setstate__": _TOUCH, "__reduce__": _TOUCH}, 4)[11:-1]
    for code in (called, _named(" ".join(admitted)), called[:-1] + state + b"b."):
        with pytest.raises(Exception):  # noqa: B017 - any, as the compiler catches each
            load(code, None, None, device)
    assert list(tmp_path.iterdir()) == []


def test_the_member_of_an_enum_is_read_as_old_pythons_write_it() -> None:
    code = pickle.dumps((_Call(getattr, MemorySpace, "Device"), [], False))
    with pytest.raises(AttributeError, match="load"):  # no executable, but it was read
        load(code, None, None, local_devices("cpu")[0])


@given(st.binary(max_size=60))
def test_bytes_that_are_no_code_are_refused_whatever_they_are(content: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017 - any, which the compiler takes for an answer
        load(b"\x80\x04" + content, None, None, local_devices("cpu")[0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"name": "mlp", "dropout": 0.1}},
        {"train": {"epochs": 1, "precision": "bfloat16"}},
    ],
    ids=str,
)
def test_the_code_of_every_operation_has_only_names_that_are_admitted(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the cache would keep code that no process can load."""
    data, training, device = tiny_data(), a_training(**changes), local_devices("cpu")[0]
    program, _ = split(training, data, "cpu")
    compilers = [Compiler(tmp_path), Compiler(tmp_path)]
    for compiler in compilers:
        Pool(device, compiler).load(program, Plans(Plan("map", 1)), data)
    assert [compiler.programs for compiler in compilers] == [1, 0]


def test_sound_files_under_each_others_names_cost_a_compile(tmp_path: Path) -> None:
    data, training, device = tiny_data(), a_training(train={"epochs": 1}), local_devices("cpu")[0]
    program, knobs = split(training, data, "cpu")

    def curve() -> tuple[int, list[dict[str, float]]]:
        compiler = Compiler(tmp_path)
        pool = Pool(device, compiler)
        pool.load(program, Plans(Plan("map", 1)), data)
        pool.put(0, 0, training, knobs, None, 1)
        return compiler.programs, [report.metrics for report in pool.round()]

    programs, learnt = curve()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (programs, len(names) > 1) == (1, True)
    contents = [(tmp_path / name).read_bytes() for name in names]
    for name, content in zip(names, contents[1:] + contents[:1], strict=True):
        (tmp_path / name).write_bytes(content)
    assert curve() == (1, learnt)
    assert curve() == (0, learnt)


@pytest.mark.parametrize("module", ["jax._src.compiler", "jax.experimental.serialize_executable"])
def test_a_jax_without_its_private_modules_costs_the_cache_of_code_alone(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(jax.experimental, "serialize_executable", raising=False)
    data, training = tiny_data(), a_training(train={"epochs": 1})
    program, knobs = split(training, data, "cpu")
    curves, programs = [], []
    for _ in range(2):
        compiler = Compiler(tmp_path)
        for device in local_devices("cpu")[:2]:
            pool = Pool(device, compiler)
            pool.load(program, Plans(Plan("map", 1)), data)
            pool.put(0, 0, training, knobs, None, 1)
            curves.append([report.metrics for report in pool.round()])
        programs.append(compiler.programs)
    assert programs == [2, 2]  # one for each device and each process
    assert curves == curves[:1] * 4


@pytest.fixture
def jax_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
    """Sets the folder that the user has named for JAX's cache."""
    names = [
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    ]
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setattr(own_files, "_said", set())
    yield lambda folder: jax.config.update("jax_compilation_cache_dir", folder)
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_jax_caches_in_a_folder_of_the_users_alone(
    tmp_path: Path, jax_cache: Callable[[str | None], None]
) -> None:
    jax_cache(None)
    use_jax_cache(tmp_path / "cache")
    folder = Path(jax.config.jax_compilation_cache_dir)
    assert folder.is_relative_to(tmp_path / "cache" / "jax")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)]
    assert modes == [0o700, 0o700]


def test_a_folder_for_jax_that_others_may_write_is_not_used(
    tmp_path: Path, jax_cache: Callable[[str | None], None], caplog: pytest.LogCaptureFixture
) -> None:
    named = tmp_path / "shared" / "jax"
    named.mkdir(parents=True)
    jax_cache(str(named))
    use_jax_cache(tmp_path)
    assert jax.config.jax_compilation_cache_dir == str(named)
    named.parent.chmod(0o777)
    use_jax_cache(tmp_path)
    assert jax.config.jax_compilation_cache_dir is None
    assert f"{named.parent} may be written by other users" in caplog.messages[-1]
    assert "set JAX_COMPILATION_CACHE_DIR to" in caplog.messages[-1]
    jax_cache("gs://bucket/folder")
    use_jax_cache(tmp_path)
    assert jax.config.jax_compilation_cache_dir == "gs://bucket/folder"


def test_what_others_may_have_planted_for_jax_is_deleted_and_links_are_not_followed(
    tmp_path: Path, jax_cache: Callable[[str | None], None]
) -> None:
    folder = tmp_path / "jax"
    folder.mkdir()
    for name, mode in {"mine-cache": 0o644, "planted-cache": 0o666, "notes.txt": 0o666}.items():
        (folder / name).touch()
        (folder / name).chmod(mode)
    (folder / "linked-cache").symlink_to("notes.txt")
    jax_cache(str(folder))
    use_jax_cache(None)
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert {path.name for path in folder.iterdir()} == {"mine-cache", "notes.txt"}


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
