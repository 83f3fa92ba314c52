"""Runs the source file of a user's own code, as `python FILE` would."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hpo.spec.code.reference import Code


class _Source(SourceFileLoader):
    """Compiles the source itself, as `python FILE` does.

    Bytecode beside it may be older, or another person's: the hash is that of the source.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def run_code(code: Code) -> Any:
    """The object that the code names. This runs its file, once for each content of it.

    Modules beside the file can be imported by it. Errors of the user's own code pass through.

    Raises:
        AttributeError: if running the file gives no object of that name.
        ImportError: if Python has another file under the name of its module.
    """
    found: Any = _imported(code) if code.module else _module_of(code)
    for part in code.name.split("."):
        found = getattr(found, part)
    return found


def _imported(code: Code) -> ModuleType:
    """The module of a package, from the file whose hash is known and no other."""
    levels = code.module.count(".") + (code.file.name == "__init__.py")
    _look_in(code.file.resolve().parents[levels])
    module = import_module(code.module)
    file = Path(module.__file__ or "").resolve()
    if file != code.file.resolve():
        raise ImportError(f"{code.module} is {file} here, and not {code.file}: rename one of them")
    return module


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _module_of(code: Code) -> ModuleType:
    name = f"hpo_code_{code.file.stem}_{code.sha256[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    _look_in(code.file.parent.resolve())
    spec = spec_from_file_location(name, code.file, loader=_Source(name, str(code.file)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
