"""Errors that a user can fix: the command line prints them in one line and exits with code 2.

A message has three parts: where, what is wrong with the actual value, what to do.
"""

import re

# The mistakes of a spec that are told before the others are only counted.
MOST_MISTAKES = 20
# Control characters but for tab and line break, line separators, and what is invisible or turns
# the direction of writing, and what is no character. The two joiners, which many scripts and emoji
# need, are not among them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """`text` as it may be printed: control characters as `\\x1b`, direction marks as `\\u202e`.

    So no text from a database or a file steers the terminal or hides a part of itself.
    """
    return _HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(message: str) -> str:
    """A message as it may be printed, in one line: `\\n` stands for a line break."""
    return visible(message).replace("\n", r"\n").replace("\t", r"\t")


def cut(text: str, longest: int = 60) -> str:
    """A text that a message repeats, on one line and cut short."""
    text = one_line(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


class HpoError(Exception):
    """A mistake that the user can fix, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class SpecError(HpoError):
    """One or more mistakes in a spec; `mistakes` holds a line for each of the first ones."""

    def __init__(self, mistakes: list[str]) -> None:
        lines = [one_line(mistake) for mistake in mistakes[: MOST_MISTAKES + 1]]
        if len(mistakes) > len(lines):
            lines[MOST_MISTAKES:] = [f"and {len(mistakes) - MOST_MISTAKES:,} more mistakes"]
        Exception.__init__(self, "\n".join(lines))
        self.mistakes = lines


class ExportError(HpoError):
    """A model that a format does not hold, or a format whose libraries are not installed."""


class DataError(HpoError):
    """A data set that is missing, broken or unfit for the task."""


class StudyError(HpoError):
    """A study that is missing, held by another driver or at odds with its spec."""


class DamagedError(StudyError):
    """A database that something other than hpo has changed; `what` says where, and how it shows."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"{where} is damaged ({what}): put back a copy or give --storage another file."
        )
        self.what = what


class DeviceError(HpoError):
    """A device that is missing or too small for the work."""
