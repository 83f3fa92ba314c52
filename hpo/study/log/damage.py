"""Turns an error while stored values are read into one that says where they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hpo.errors import DamagedError, HpoError

# What Python raises where a stored value has another type, form or size than expected.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_MOST_CHARACTERS = 120


@contextmanager
def as_damage(where: str, place: str) -> Iterator[None]:
    """Turn an error while stored values are read into a `DamagedError` that names their place.

    Use it only around code that does nothing else: it would hide mistakes of our own.

    Raises:
        DamagedError: for the database `where`, with the `place` in it.
    """
    try:
        yield
    except HpoError:
        raise
    except UNREADABLE as error:
        raise DamagedError(where, f"{place}: {said(error)}") from error


def said(error: Exception | str) -> str:
    """What an error says: one line of printable characters, cut if it is long."""
    text = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    line = " ".join(text[: 4 * _MOST_CHARACTERS].split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}..."
