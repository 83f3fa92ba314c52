"""Running the file of own code."""

import os
import sys

import pytest

from hpo.spec.code.reference import find_code
from hpo.spec.code.running import run_code


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_a_file_runs_once_and_imports_its_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("WIDTH = 7\n")
    (tmp_path / "nets.py").write_text(
        "import neighbour\nclass Net:\n    class Inner:\n        width = neighbour.WIDTH\n"
        "with open(__file__ + '.log', 'a') as log: log.write('run ')\n"
    )

    inner = run_code(find_code("nets.py:Net.Inner", tmp_path))
    again = run_code(find_code("nets.py:Net.Inner", tmp_path))

    assert inner.width == 7
    assert again is inner
    assert (tmp_path / "nets.py.log").read_text() == "run "


def test_another_content_of_the_file_runs_again(tmp_path):
    file = tmp_path / "nets.py"
    file.write_text("value = 1\n")
    assert run_code(find_code("nets.py:value", tmp_path)) == 1
    file.write_text("value = 2\n")
    assert run_code(find_code("nets.py:value", tmp_path)) == 2


def test_a_file_that_fails_can_be_run_again(tmp_path):
    (tmp_path / "nets.py").write_text("import os\nif os.path.exists(__file__ + '.no'): 1 / 0\n")
    (tmp_path / "nets.py.no").touch()
    with pytest.raises(ZeroDivisionError):
        run_code(find_code("nets.py:Net", tmp_path))
    (tmp_path / "nets.py.no").unlink()
    with pytest.raises(AttributeError, match="Net"):
        run_code(find_code("nets.py:Net", tmp_path))


def test_the_source_that_was_hashed_runs_not_bytecode_that_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "nets.py"
    file.write_text("value = 1\n")
    assert run_code(find_code("nets.py:value", tmp_path)) == 1
    before = file.stat()
    file.write_text("value = 2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # Python compares size and time

    assert run_code(find_code("nets.py:value", tmp_path)) == 2
    assert not (tmp_path / "__pycache__").exists()


def test_a_module_beside_the_spec_is_the_file_whose_hash_was_taken(tmp_path):
    package = tmp_path / "nearby"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").write_text("value = 3\n")
    (package / "nets.py").write_text("value = 4\n")

    assert run_code(find_code("nearby.inner:value", tmp_path)) == 3
    assert run_code(find_code("nearby.nets:value", tmp_path)) == 4


def test_another_file_under_the_name_of_the_module_is_not_run_in_its_place(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "tool.py").write_text("value = 5\n")
    (tmp_path / "json" / "__init__.py").touch()

    with pytest.raises(ImportError, match=r"json.tool is .*, and not .*: rename one of them"):
        run_code(find_code("json.tool:value", tmp_path))
