"""The effort of a function on any machine: the lines of Python that it runs, and its calls of C."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def effort(function: Callable[[], Any]) -> int:
    """The number of lines that a function runs and calls that it makes."""
    count = 0

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    def call(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace()
    sys.setprofile(call)
    sys.settrace(line)
    try:
        function()
    finally:
        sys.settrace(before)
        sys.setprofile(None)
    return count
