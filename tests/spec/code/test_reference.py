"""Where the code that a spec names is found."""

import hashlib
import sys

import pytest

from hpo.spec.code.reference import find_code


def test_a_file_is_found_beside_the_spec_with_the_hash_of_its_content(tmp_path):
    (tmp_path / "nets.py").write_text("class Net: ...\n")

    code = find_code("nets.py:Net", tmp_path)

    assert (code.file, code.module, code.name) == (tmp_path / "nets.py", "", "Net")
    assert code.sha256 == hashlib.sha256(b"class Net: ...\n").hexdigest()


def test_a_module_of_a_package_is_found_without_importing_the_package(tmp_path, monkeypatch):
    package = tmp_path / "quiet"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "nets.py").write_text("class Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)

    code = find_code("quiet.nets:Net", tmp_path / "elsewhere")

    assert (code.file, code.module) == (package / "nets.py", "quiet.nets")
    assert "quiet" not in sys.modules


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nets.py", "names no code: write a file and a name in it, nets.py:Net, or"),
        ("nets.py:", "names no code"),
        ("nets py:Net", "names no code"),
        ("absent.py:Net", r"there is no file .*absent\.py: correct the path"),
        ("no_such_package.nets:Net", "there is no module no_such_package: install"),
        ("json.absent:Net", r"there is no module json\.absent"),
        ("numpy.random.mtrand:RandomState", "has no source file"),
        ("bytes.py:Net", "is not text in UTF-8"),
    ],
)
def test_a_text_that_names_no_source_file_is_refused(tmp_path, text, says):
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff'")

    with pytest.raises(ValueError, match=says):
        find_code(text, tmp_path)


def test_a_file_that_has_changed_since_its_hash_was_taken_is_not_read(tmp_path):
    (tmp_path / "nets.py").write_text("class Net: ...\n")
    code = find_code("nets.py:Net", tmp_path)
    (tmp_path / "nets.py").write_text("class Net: width = 7\n")

    with pytest.raises(ValueError, match="has changed while it was read: start again"):
        code.source()
