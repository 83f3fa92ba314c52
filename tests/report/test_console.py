"""The console: what it shows of text that another person wrote."""

from io import StringIO

import pytest
import rich.text
from rich.live import Live
from rich.table import Table

from hpo.report.console import Text, console_for


def printed(monkeypatch, view):
    """What a terminal with colours gets."""
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = StringIO()
    monkeypatch.setattr("sys.stdout", out)
    console = console_for()
    console.print(view)
    return out.getvalue()


def table(*cells):
    made = Table.grid()
    made.add_row(*cells)
    return made


@pytest.mark.parametrize(
    "wrap",
    [
        Text,
        str,
        rich.text.Text,
        table,
        lambda text: table(Text(text)),
        lambda text: Text.assemble(("", "dim"), text),
        lambda text: Text("").append(text, "dim"),
    ],
)
def test_an_escape_in_a_view_is_shown_and_not_sent(monkeypatch, wrap):
    out = printed(monkeypatch, wrap("a\x1b]0;x\x9b2J\u202eb"))

    assert r"a\x1b]0;x\x9b2J\u202eb" in out
    assert "\x1b]" not in out


def test_colours_still_reach_the_terminal(monkeypatch):
    assert printed(monkeypatch, Text("red", "red")) == "\x1b[31mred\x1b[0m\n"


def test_brackets_are_text_and_no_markup(monkeypatch):
    text = "[red]a[/] [link=http://x]b :smile: [/nothing]"
    assert printed(monkeypatch, table(text)).rstrip() == text


def test_a_live_display_shows_escapes_too(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = StringIO()
    monkeypatch.setattr("sys.stderr", out)
    with Live(console=console_for(is_stderr=True), get_renderable=lambda: Text("a\x1b[2Jb")):
        pass

    assert r"a\x1b[2Jb" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
