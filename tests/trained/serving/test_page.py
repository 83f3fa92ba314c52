"""The page to try a model."""

from __future__ import annotations

from html.parser import HTMLParser

from hpo.trained.serving.page import PAGE


def test_the_page_is_whole_and_loads_nothing_from_elsewhere() -> None:
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            opened.append(tag)
            assert not {name for name, _ in attrs} & {"src", "href"}

    Reader().feed(PAGE.decode())
    assert {"textarea", "button", "label", "script"} <= {*opened}
    assert b"innerHTML" not in PAGE
