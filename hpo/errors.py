"""Errors that a user can fix: the command line prints them in one line and exits with code 2.

A message has three parts: where, what is wrong with the actual value, what to do.
"""

# The mistakes of a spec that are told before the others are only counted.
MOST_MISTAKES = 20


def one_line(message: str) -> str:
    """A message with line breaks and other unprintable characters written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


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
