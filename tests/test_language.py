"""What people read is plain English: no quaint words, no sentence over 30 words.

Names and comments of tests are read for quaint words, too. Their texts hold specs and outputs, so
that the length of a sentence says nothing there.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checkout import ROOT, files

MOST_WORDS = 30
# Each has a plain word that everybody knows: "again" for "anew", "estimated" for "foretold".
BANNED = (
    "amid",
    "anew",
    "be told of",
    "befall",
    "bring forth",
    "brings forth",
    "brought forth",
    "by heart",
    "comes to naught",
    "for want of",
    "foretell",
    "foretells",
    "foretold",
    "heed",
    "hence",
    "in silence",
    "in vain",
    "is told of",
    "kin",
    "lest",
    "mend",
    "naught",
    "nothing of it",
    "put right",
    "of its own accord",
    "seek",
    "seeks",
    "so many",
    "spared",
    "spelt",
    "stops nobody",
    "tell apart",
    "tells apart",
    "thereof",
    "told apart",
    "turn on",
    "turns on",
    "upon",
    "what nobody",
    "whence",
    "whoever",
    "whose turn",
    "whosoever",
)
# This file holds the list itself.
EXEMPT = ("tests/test_language.py",)


class Passage(NamedTuple):
    """A piece of text that is read as one, and the line where it begins."""

    line: int
    text: str


def markdown_passages(text: str) -> Iterator[Passage]:
    """Paragraphs, list items, headings and cells of tables; no code."""
    text = re.sub(r"^```.*?^```", lambda code: "\n" * code[0].count("\n"), text, flags=re.S | re.M)
    start, lines = 1, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        begins = not line.strip() or re.match(r"\s*([-*#|>]|\d+\.)\s?", line)
        if begins and lines:
            yield Passage(start, " ".join(lines))
            lines = []
        if line.startswith("|"):
            yield from (Passage(number, cell) for cell in line.strip("|").split("|"))
        elif line.strip():
            start = start if lines else number
            lines.append(re.sub(r"^\s*([-*#>]+|\d+\.)\s+", "", line).strip())


def comment_passages(text: str) -> Iterator[Passage]:
    """The comments of a YAML file; lines that belong together are one passage."""
    start, lines = 1, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        comment = re.match(r"#\s?(\S.*)", line)
        if comment and not comment[1].startswith("yaml-language-server"):
            start = start if lines else number
            lines.append(comment[1])
            continue
        if lines:
            yield Passage(start, " ".join(lines))
            lines = []
        if beside := re.search(r"\s#\s+(.*)", line):
            yield Passage(number, beside[1])


def python_passages(text: str) -> Iterator[Passage]:
    """Docstrings, comments, strings of several words, and names of tests."""
    nodes = list(ast.walk(ast.parse(text)))
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield Passage(node.lineno, "".join(str(part) for part in parts))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Passage(node.lineno, node.name.replace("_", " "))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from paragraphs(node.lineno, node.value)
    comment: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, is_beside_code = token.start[0], not token.line.lstrip().startswith("#")
        if comment and (row != last + 1 or is_beside_code):
            yield Passage(start, " ".join(comment))
            comment = []
        if is_beside_code:
            yield Passage(row, token.string.lstrip("#: "))
            continue
        start, last = (start if comment else row), row
        comment.append(token.string.lstrip("#: "))
    if comment:
        yield Passage(start, " ".join(comment))


def paragraphs(line: int, text: str) -> Iterator[Passage]:
    """The paragraphs and list items of a docstring or a message; sources are left out."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*[-*] )", text):
        # A source is cited as it is titled.
        if not re.match(r"\s*(Source|Sources|Example):", paragraph):
            yield Passage(line, paragraph)


def sentences(text: str) -> list[str]:
    """The sentences of a passage, with code and links as single words."""
    text = re.sub(r"`[^`]*`", "Code", " ".join(text.split()))
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\b(e\.g|i\.e|et al|vs|etc)\.", r"\1", text)
    return re.split(r"(?<=[.!?])[)\"*]*\s+(?=[A-Z`\"(*\d{])|\b(?:Raises|Returns):", text)


def words(sentence: str) -> int:
    """How many words a sentence has; figures and names count, signs do not."""
    return sum(bool(re.search(r"[A-Za-z0-9]", word)) for word in sentence.split())


@cache
def passages(path: Path) -> tuple[Passage, ...]:
    """What people read of a file."""
    text = (ROOT / path).read_text()
    if path.name == "CHANGELOG.md":
        text = newest_part(text)
    read = {".md": markdown_passages, ".py": python_passages, ".yaml": comment_passages}
    return tuple(read[path.suffix](text))


def newest_part(changelog: str) -> str:
    """The changelog up to its second version; what is released is history."""
    heads = [found.start() for found in re.finditer(r"^## ", changelog, re.MULTILINE)]
    return changelog[: heads[1]]


def read_by_people(path: Path) -> bool:
    """Whether a file's text is checked here."""
    name = path.as_posix()
    if name in EXEMPT:
        return False
    kinds = {".md", ".py"} | ({".yaml"} if path.parts[0] in ("configs", "search_spaces") else set())
    return path.suffix in kinds and path.parts[0] != ".ci"


READ = [path for path in files() if read_by_people(path)]
TEXTS = [path for path in READ if path.parts[0] != "tests"]


# One test for all files: a test for each would take longer to start than to read its file.
def test_no_page_or_message_uses_a_quaint_word():
    pattern = re.compile(rf"\b({'|'.join(BANNED)})\b", re.IGNORECASE)
    found = [
        f"{path}:{line}: {word}"
        for path in READ
        for line, text in passages(path)
        for word in pattern.findall(text)
    ]
    assert found == []


def test_no_sentence_is_longer_than_30_words():
    found = [
        f"{path}:{line}: {words(sentence)} words: {sentence}"
        for path in TEXTS
        for line, text in passages(path)
        for sentence in sentences(text)
        if words(sentence) > MOST_WORDS
    ]
    assert found == []


@pytest.mark.parametrize(
    ("passage", "counts"),
    [
        ("One two. Three four five.", [2, 3]),
        ("See `a b c` and [the page](x.md): it is there.", [8]),
        ("By Li et al. 2018 it is 0.5 of it.", [10]),
    ],
)
def test_sentences_are_counted_as_a_reader_counts_them(passage, counts):
    assert [words(sentence) for sentence in sentences(passage)] == counts


def test_a_quaint_word_and_a_long_sentence_are_found_wherever_they_stand():
    text = f'x = 1  # lest it\n\ndef f():\n    """In vain."""\n    raise E(f"{"w " * 31}{{x}}")\n'
    found = [passage.text for passage in python_passages(text)]

    assert any("lest" in one for one in found)
    assert any("In vain" in one for one in found)
    assert max(words(one) for one in found) == 31
