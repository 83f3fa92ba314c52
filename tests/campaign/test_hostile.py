"""What the campaign plants would run a command, were it not for what protects the user."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest

from hpo.engine.programs.executables import _ADMITTED, CodeCache
from tests.campaign.hostile import digest, payloads


class OnlyNames(pickle.Unpickler):
    """Admits the names of JAX's format, with Python's own `getattr`."""

    def find_class(self, module, name):
        if (module, name) not in {*_ADMITTED, ("builtins", "getattr")}:
            raise pickle.UnpicklingError(name)
        return super().find_class(module, name)


class OnlyJax(pickle.Unpickler):
    """Admits whatever lies in a module of JAX."""

    def find_class(self, module, name):
        if not module.startswith("jax."):
            raise pickle.UnpicklingError(name)
        return super().find_class(module, name)


@pytest.mark.parametrize("name", payloads())
def test_each_payload_runs_a_command_where_nothing_protects(name, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    pickle.loads(payloads()[name])

    assert [path.name for path in (*place.iterdir(), *tmp_path.glob("hacked"))] == ["hacked"] * 2


@pytest.mark.parametrize(("reader", "passes"), [(OnlyNames, "getattr and"), (OnlyJax, "dots")])
def test_a_weaker_list_of_names_lets_a_payload_pass(reader, passes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, payload in payloads().items():
        (tmp_path / "hacked").unlink(missing_ok=True)
        try:
            reader(io.BytesIO(payload)).load()
        except pickle.UnpicklingError:
            assert not (tmp_path / "hacked").exists(), name
        else:
            assert (passes in name, (tmp_path / "hacked").exists()) == (True, True), name
            return
    raise AssertionError(f"no payload passes a reader that admits {passes}")


def test_a_planted_file_has_the_digest_that_the_cache_demands(tmp_path: Path):
    for name in ("0" * 64, "0" * 64 + ".plan", "0123456789ab.lanes"):
        (tmp_path / name).write_bytes(digest(name, b"planted") + b"planted")
        (tmp_path / name).chmod(0o600)
        assert CodeCache(tmp_path).read(name) == b"planted"
