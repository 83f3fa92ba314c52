"""Finds the code that a spec names, `nets.py:Net` or `package.module:Name`, without running it."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

_SHAPE = re.compile(r"(?P<module>[^:]+):(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_EXAMPLE = "write a file and a name in it, nets.py:Net, or package.module:Name"
# Far more than any module that people write.
_MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class Code:
    """An object in a source file; `module` is empty where the file itself is named.

    `sha256` is that of the whole file, so that a study notices when its code has changed.
    """

    text: str
    file: Path
    module: str
    name: str
    sha256: str

    def source(self) -> str:
        """The text of the file.

        Raises:
            ValueError: if it is not the one whose hash was taken.
        """
        content = self.file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(f"{self.file} has changed while it was read: start again")
        return content.decode("utf-8")

    def __str__(self) -> str:
        lines = len(self.source().splitlines())
        return f"{self.text} ({lines:,} lines, sha256 {self.sha256[:8]})"


def find_code(text: str, folder: Path) -> Code:
    """The code that a spec in `folder` names. Nothing is imported, parent packages included.

    A file is looked for in `folder`, a module there and then where Python looks for modules.

    Raises:
        ValueError: with what is wrong and what to do, for a text that names no source file.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"names no code: {_EXAMPLE}")
    module, name = match["module"], match["name"]
    if module.endswith(".py"):
        file, module = folder / Path(module).expanduser(), ""
        if not file.is_file():
            raise ValueError(f"there is no file {file}: correct the path, which starts at {folder}")
    elif _MODULE.fullmatch(module):
        file = _file_of(module, folder)
    else:
        raise ValueError(f"names no code: {_EXAMPLE}")
    if file.stat().st_size > _MOST_BYTES:
        most = _MOST_BYTES // 1_000_000
        raise ValueError(f"{file} has more than {most} MB: name a smaller source file")
    content = file.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8: save it as that") from None
    return Code(text, file, module, name, hashlib.sha256(content).hexdigest())


def _file_of(module: str, folder: Path) -> Path:
    """The source file of a dotted module."""
    path, done = [str(folder), *sys.path], ""
    for part in module.split("."):
        done = f"{done}.{part}" if done else part
        # With a path of its own the finder imports no parent package.
        found = PathFinder.find_spec(done, path)
        if found is None:
            raise ValueError(
                f"there is no module {done}: install its package, or name a file, nets.py:Net"
            )
        path = list(found.submodule_search_locations or ())
    assert found is not None
    if found.origin is None or not found.origin.endswith(".py"):
        raise ValueError(f"module {module} has no source file in Python: name one that has")
    return Path(found.origin)
