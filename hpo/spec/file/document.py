"""YAML text to plain values, each with the place where it was written.

The rules are those of YAML 1.2 where YAML 1.1 surprises. `1e-3` is a number, and only `true` and
`false` are booleans. `010` is ten; `12:30` and dates are text. A repeated key is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml.events import Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hpo.errors import SpecError, cut, one_line

KeyPath: TypeAlias = tuple[str | int, ...]

# Enough for any spec and far too few for a bomb to hurt, written out or made of aliases.
_MOST_VALUES = 50_000


class Mistake(NamedTuple):
    """What is wrong with the value at a path, and what to do."""

    path: KeyPath
    text: str


@dataclass(frozen=True)
class Place:
    """Where a value was written: `configs/digits.yaml:14`, or `--set model.dropout=2`.

    `root` is the path that `where` itself names, so that a message need not repeat it. `hidden`
    counts the leading keys that an included file does not have.
    """

    where: str
    line: int = 0
    root: KeyPath | None = None
    hidden: int = 0


@dataclass(frozen=True)
class Document:
    """The plain values of a YAML text, the place of each by its path, and duplicate keys.

    `written` has the paths that the user wrote, by those that they were moved to.
    """

    values: Any
    places: dict[KeyPath, Place]
    mistakes: tuple[Mistake, ...] = ()
    written: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def lines(self, mistakes: Iterable[Mistake]) -> list[str]:
        """Each mistake once, as one line (the place, the path, the text), in the file's order."""
        placed = [(self.place(mistake.path), mistake) for mistake in dict.fromkeys(mistakes)]
        placed.sort(key=lambda one: (one[0].root is not None, one[0].hidden, one[0].line))
        return [
            one_line(": ".join(part for part in (place.where, shown, text) if part))
            for place, (path, text) in placed
            for shown in [_shown(self._as_written(path), place)]
        ]

    def moved(self, values: Any, to: Callable[[KeyPath], KeyPath]) -> Document:
        """The document with other values, each place at the path that `to` gives its own."""
        places = {to(path): at for path, at in self.places.items()}
        written = {to(path): self._as_written(path) for path in self._keys() if to(path) != path}
        return replace(self, values=values, places=places, written=self.written | written)

    def _keys(self) -> Iterator[KeyPath]:
        """The paths of sections and of their keys, which have no places where no file has them."""
        for name, section in self.values.items():
            yield (name,)
            if isinstance(section, Mapping):
                yield from ((name, key) for key in section)

    def _as_written(self, path: KeyPath) -> KeyPath:
        ends = (end for end in range(len(path), 0, -1) if path[:end] in self.written)
        end = next(ends, 0)
        return (*self.written[path[:end]], *path[end:]) if end else path

    def place(self, path: KeyPath) -> Place:
        """Where the value at a path, or the nearest around it, was written."""
        ends = range(len(path), -1, -1)
        return next(self.places[path[:end]] for end in ends if path[:end] in self.places)


def dotted(path: KeyPath) -> str:
    """A path as users write it: `model.widths[0]`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{cut(key)}" for key in path)
    return cut("".join(parts).removeprefix("."), 200)


def parse_yaml(text: str, where: str) -> Document:
    """The values of a YAML text and the line of each; `where` names its file in the places.

    Raises:
        SpecError: unless the text is one YAML document of plain values with names as keys.
    """
    return _parse(text, lambda line: Place(f"{where}:{line}", line))


def parse_value(text: str, place: Place) -> Any:
    """One YAML value, as `--set` takes it.

    Raises:
        SpecError: unless the text is one plain value.
    """
    document = _parse(text, lambda _line: place)
    if document.mistakes:
        raise SpecError(document.lines(document.mistakes))
    return document.values


def reads_as_text(plain: str) -> bool:
    """Whether an unquoted scalar of letters, digits and signs is text rather than a number."""
    resolvers = _Loader.yaml_implicit_resolvers.get(plain[:1], [])
    return plain != "---" and not any(pattern.match(plain) for _tag, pattern in resolvers)


def _shown(path: KeyPath, place: Place) -> str:
    return "" if path == place.root else dotted(path[place.hidden :])


class _Loader(yaml.SafeLoader):
    """Composes nodes with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """The next node; a text with too many of them is refused before it is read whole."""
        self._count += 1
        if self._count > _MOST_VALUES:
            event: Event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _TooManyError(event.start_mark.line + 1 if event.start_mark else 1)
        node: Node | None = super().compose_node(parent, index)
        return node


class _TooManyError(Exception):
    """A text with more values than a spec may have, and the line where they are too many."""


_TAG = "tag:yaml.org,2002:"
_DIGITS = list("-+0123456789")
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", _DIGITS),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*_DIGITS, "."],
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)

_CURES = (
    (r"'\\t'", "indent with spaces"),
    ("mapping values are not allowed", "quote text that holds a colon"),
    ("undefined alias", "define it with & before, or quote text that starts with *"),
    ("another document", "keep one document and delete the line ---"),
    ("expected <block end>", "check the indentation and the brackets above"),
    ("", "check the indentation, brackets and quotes there"),
)


def _parse(text: str, place: Callable[[int], Place]) -> Document:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise _at(place(1), "is empty: write at least name, data, model, optimizer and train")
        reading = _Reading(place, {(): place(1)})
        values = reading.value(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = error.problem or error.context or "unreadable"
        cure = next(cure for pattern, cure in _CURES if re.search(pattern, problem))
        raise _at(place(line), f"is not YAML ({problem}): {cure}") from None
    except _TooManyError as error:
        text = f"has more than {_MOST_VALUES:,} values up to here: write fewer"
        raise _at(place(error.args[0]), text) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = f"U+{ord(text[error.position]):04X}"
        raise _at(place(line), f"holds the unprintable character {code}: delete it") from None
    except RecursionError:
        raise _at(place(1), "is nested too deeply: write fewer levels") from None
    return Document(values, reading.places, tuple(reading.mistakes))


@dataclass
class _Reading:
    """One walk over the nodes of a document."""

    place: Callable[[int], Place]
    places: dict[KeyPath, Place]
    mistakes: list[Mistake] = field(default_factory=list)
    count: int = 0
    open: set[int] = field(default_factory=set)

    def value(self, node: Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES:
            text = f"aliases expand to more than {_MOST_VALUES:,} values: write fewer"
            raise _at(self.place(node.start_mark.line + 1), text)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self.open:
            raise _at(self.place(node.start_mark.line + 1), "holds itself by an alias: remove it")
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise self._unknown_tag(node)
        self.open.add(id(node))
        mapping = self._mapping(node, path) if isinstance(node, MappingNode) else None
        values = list(self._items(node, path)) if isinstance(node, SequenceNode) else mapping
        self.open.discard(id(node))
        return values

    def _items(self, node: SequenceNode, path: KeyPath) -> Iterator[Any]:
        for index, item in enumerate(node.value):
            self.places[*path, index] = self.place(item.start_mark.line + 1)
            yield self.value(item, (*path, index))

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node)
            below = (*path, key)
            if key in values:
                before = first_lines[key]
                lines = f"on lines {before} and {line}" if before != line else f"on line {line}"
                self.mistakes.append(Mistake(below, f"is given twice, {lines}: remove one"))
                continue
            first_lines[key] = line
            self.places[below] = self.place(line)
            values[key] = self.value(value_node, below)
        return values

    def _key(self, node: Node) -> str:
        place = self.place(node.start_mark.line + 1)
        if not isinstance(node, ScalarNode):
            raise _at(place, "a list or mapping cannot be a key: write a name")
        if node.value == "<<" and node.style is None:
            raise _at(place, "merge keys (<<) are not read: write the values out")
        if node.tag == f"{_TAG}int":
            return str(node.value)  # classes and columns may be numbers
        key = self._scalar(node)
        if not isinstance(key, str):
            shown = cut(str(node.value))
            raise _at(place, f"the key {shown} is not a name: write a name or quote it")
        return key

    def _scalar(self, node: ScalarNode) -> Any:
        tag, text = node.tag.removeprefix(_TAG), str(node.value)
        try:
            if tag == "str":
                return text
            if tag == "null":
                return None
            if tag == "bool":
                return {"true": True, "false": False}[text.lower()]
            if tag == "int":
                return int(text)
            if tag == "float":
                return float(re.sub(r"(?i)\.(inf|nan)", r"\1", text))
        except (ValueError, KeyError):
            raise _at(
                self.place(node.start_mark.line + 1),
                f"cannot read {text[:20]}... as a number: write a smaller one"
                if tag == "int" and len(text) > 20
                else f"cannot read '{text[:40]}' as {tag}: write it without a tag",
            ) from None
        raise self._unknown_tag(node)

    def _unknown_tag(self, node: Node) -> SpecError:
        tag = cut(node.tag.replace(_TAG, "!!"))
        return _at(
            self.place(node.start_mark.line + 1), f"unknown tag {tag}: write a plain value instead"
        )


def _at(place: Place, text: str) -> SpecError:
    return SpecError([one_line(f"{place.where}: {text}")])
