"""Text in colours, and the console that it is printed on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

import rich.text
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hpo.errors import visible

_WIDE = 1_000


class Text(rich.text.Text):
    """Text of a view; its control characters are shown, and take their places in a table."""

    def __init__(self, text: str = "", style: str = "", **options: Any) -> None:
        super().__init__(visible(text), style, **options)

    def append(self, text: rich.text.Text | str, style: Any = None) -> rich.text.Text:
        """Add text in a style of its own."""
        return super().append(visible(text) if isinstance(text, str) else text, style)


def console_for(*, is_stderr: bool = False, file: IO[str] | None = None) -> Console:
    """A console for stdout, stderr or another file; lines are wide where there is no terminal."""
    console = _VisibleConsole(
        stderr=is_stderr,
        file=file,
        force_terminal=None if file is None else False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    if not console.is_terminal:
        console.width = _WIDE
    return console


class _VisibleConsole(Console):
    """A console that shows control characters instead of sending them to the terminal."""

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """Plain text of a view, such as a cell of a table."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a view, through which all of it passes, also what rich itself writes."""
        for segment in super().render(renderable, options):
            # Colours and moves of the cursor are no text.
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
