"""Errors of a user's own code, shown with the lines of that code."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hpo
from hpo.errors import HpoError, cut, one_line
from hpo.spec.code.reference import Code
from hpo.spec.words import shown

_OURS = Path(hpo.__file__).parent
# Where Python and its packages are installed.
_INSTALLED = tuple(Path(path) for path in {*sysconfig.get_paths().values()})
_LONGEST = 300


class CodeError(HpoError):
    """An error of a user's own code: a sentence, then a line for each frame of the user's."""

    def __init__(self, sentence: str, frames: tuple[str, ...] = ()) -> None:
        self.sentence, self.frames = one_line(sentence), tuple(map(one_line, frames))
        Exception.__init__(self, "\n".join([self.sentence, *(f"  {f}" for f in self.frames)]))


@contextmanager
def telling(code: Code, where: str, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Errors of the user's own code within this block become a `CodeError`.

    `where` is the part of the spec that names the code, or the trial; `values` are the code's own.

    Raises:
        CodeError: for any error, also of an import. A stop of the process passes through.
    """
    try:
        yield
    except HpoError:
        raise
    except (Exception, SystemExit) as error:
        given = ", ".join(f"{name} = {shown(value)}" for name, value in (values or {}).items())
        message = f"{where}: {code.text} raised {_text_of(error)}"
        # Without a cause: the frames that matter are told.
        raise CodeError(
            f"{message} ({given})" if given else message, _frames(error, code)
        ) from None


def _text_of(error: BaseException) -> str:
    """The kind of an error and the first paragraph of its text, cut short."""
    text = " ".join(str(error).strip().partition("\n\n")[0].split())
    return f"{type(error).__name__}: {cut(text, _LONGEST)}" if text else type(error).__name__


def _frames(error: BaseException, code: Code) -> tuple[str, ...]:
    """The user's own frames of an error, the innermost last: `nets.py:14, in __init__: ...`."""
    if isinstance(error, SyntaxError) and error.filename:
        return (f"{Path(error.filename).name}:{error.lineno}: {(error.text or '').strip()}",)
    return tuple(
        f"{Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_own(Path(frame.filename), code.file.parent.resolve())
    )


def _is_own(file: Path, folder: Path) -> bool:
    """Whether a file is the user's: not ours, and neither Python's nor another package's."""
    if file.is_relative_to(_OURS) or not file.is_file():
        return False
    return file.resolve().is_relative_to(folder) or not any(
        file.is_relative_to(path) for path in _INSTALLED
    )
