"""Where a command's output goes: what cannot be written is dropped, and never ends a run."""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

from hpo.errors import HpoError, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# What a terminal shows whose encoding does not have a character; for others, a question mark.
_PLAIN = {
    **dict(zip("▁▂▃▄▅▆▇█", "_..:-=+#", strict=True)),
    **dict(zip("▏▎▍▌▋▊▉", "...-==#", strict=True)),
    **dict(zip("●·│└─━╸╺µ±…", "o.|+----u~~", strict=True)),
}
_PLAIN_ERRORS = "hpo-plain"


class OutputError(HpoError):
    """A result that could not be written to stdout."""


class _Descriptor(io.FileIO):
    """A file descriptor to write to; what cannot be written is dropped, and the error kept."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        with suppress(BlockingIOError):
            try:
                return super().write(data) or len(data)
            except OSError as error:
                self.error = self.error or error
        return len(data)


_stdout: _Descriptor | None = None


@contextmanager
def own_prints_apart() -> Iterator[None]:
    """Let code of the user's own print to stderr: its lines are no part of a command's output."""
    with redirect_stdout(sys.stderr):
        yield


def open_streams() -> None:
    """Make stdout and stderr streams that never fail, unless a caller has replaced them.

    A descriptor that was closed is opened, or the next file, such as the database, would take its
    number, and libraries would write their messages into it.
    """
    global _stdout
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest free number, and refuses writes
    codecs.register_error(_PLAIN_ERRORS, _plain)
    if sys.stdout is sys.__stdout__:
        sys.stdout, _stdout = _stream(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr, _ = _stream(2, sys.stderr)


def check_written() -> None:
    """Refuse to end well if part of the result could not be written.

    Raises:
        BrokenPipeError: if the reader of a pipe has gone.
        OutputError: for any other reason.
    """
    error = _lost()
    if isinstance(error, BrokenPipeError):
        raise error
    if error is not None:
        raise OutputError(f"stdout: cannot be written ({error.strerror}): give it another place.")


def print_ending(view: RenderableType) -> None:
    """Print how a run has ended; if this cannot be written, the run counts all the same."""
    print_view(view)
    error = _lost()
    if error is not None and error.errno not in (errno.EPIPE, errno.EBADF):
        reason = error.strerror
        print_line(f"stdout: cannot be written ({reason}); the run is saved.", is_stderr=True)
    if _stdout is not None:
        _stdout.error = None


def print_line(text: str, *, is_stderr: bool = False) -> None:
    """Print a text and a line break; its control characters are shown."""
    print(visible(text), file=sys.stderr if is_stderr else sys.stdout)


def print_json(document: Any) -> None:
    """Print plain values to stdout."""
    print_line(json.dumps(document, indent=2))


def print_text(text: str) -> None:
    """Print a file's contents to stdout: in UTF-8, unless a terminal shows it."""
    text = visible(text)
    if sys.stdout.isatty():
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def print_view(view: RenderableType) -> None:
    """Print a result to stdout; without a terminal, wide and without trailing spaces."""
    from hpo.report.console import console_for

    console = console_for()
    if console.is_terminal:
        console.print(view)
        return
    with console.capture() as capture:
        console.print(view)
    print_line("\n".join(line.rstrip() for line in capture.get().splitlines()))


def stderr() -> Console:
    """The console for progress and warnings, including those of libraries."""
    from hpo.report.console import console_for

    console = console_for(is_stderr=True)
    logging.basicConfig(level=logging.WARNING, handlers=[_OneLine(console)], force=True)
    return console


def _stream(number: int, old: TextIO | None) -> tuple[TextIO, _Descriptor]:
    raw = _Descriptor(number, "w", closefd=False)
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=old.encoding if old is not None else "utf-8",
        errors=_PLAIN_ERRORS,
        line_buffering=number == 2 or raw.isatty(),
    )
    return stream, raw


def _lost() -> OSError | None:
    """Why part of stdout could not be written; None if all of it was."""
    if _stdout is None:
        return None
    sys.stdout.flush()
    return _stdout.error


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in characters), error.end


class _OneLine(logging.Handler):
    """Prints each record on one line, above a live display if there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        from hpo.report.console import Text

        sentence = " ".join(record.getMessage().split())
        text = Text(f"{record.levelname.lower()}: {sentence}", "yellow")
        self._console.print(text, soft_wrap=True)
