"""Errors that a user can fix: the command line prints them in one line and exits with code 2.

A message has three parts: where, what is wrong with the actual value, what to do.
"""


class HpoError(Exception):
    """A mistake that the user can fix."""


class SpecError(HpoError):
    """One or more mistakes in a spec; `mistakes` holds a line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class DataError(HpoError):
    """A data set that is missing, broken or unfit for the task."""


class StudyError(HpoError):
    """A study that is missing, held by another driver or at odds with its spec."""


class DeviceError(HpoError):
    """A device that is missing or too small for the work."""
