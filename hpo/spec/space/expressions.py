"""The small language of space rules: conditions that forbid, sums that derive.

    optimizer.name == sgd and not (optimizer.learning_rate <= 0.5)
    model.activation in [relu, gelu] or model.norm != none
    optimizer.learning_rate * 0.1

A word with a dot is the path of a leaf, `model` and its like are whole parts; any other word, and
anything in quotes, is text. Nothing is ever called, so that a spec can do no more than compare.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from hpo.errors import cut
from hpo.space import same_value
from hpo.trial import HParam

# A leaf's value in a trial; raises KeyError where the trial does not have that leaf.
Lookup: TypeAlias = Callable[[str], HParam]

_PARTS = frozenset({"data", "model", "optimizer", "train"})
_CONSTANTS: dict[str, HParam] = {"true": True, "false": False, "null": None}
_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_DEEPEST = 30
_MOST_TOKENS = 400
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\.?[0-9][0-9a-zA-Z_.]*(?:(?<=[eE])[-+][0-9]+)?)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<word>[A-Za-z_][\w.]*(?<!\.))"
    r"|(?P<sign>==|!=|<=|>=|[<>()\[\],+*/=-]))"
)


@dataclass(frozen=True)
class Literal:
    """A value that stands in the text itself."""

    value: HParam


@dataclass(frozen=True)
class Path:
    """The value of a leaf in the trial."""

    path: str


@dataclass(frozen=True)
class Comparison:
    """Two values and a sign, or `in` and a list; false where the trial lacks a leaf of it."""

    sign: str
    left: Literal | Path
    right: Literal | Path


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    inner: Condition


@dataclass(frozen=True)
class Either:
    """`or` over conditions, or `and` over them where `is_all`."""

    parts: tuple[Condition, ...]
    is_all: bool


@dataclass(frozen=True)
class Arithmetic:
    """One of `+ - * /` between two numbers."""

    sign: str
    left: Sum
    right: Sum


Condition: TypeAlias = Comparison | Not | Either
Sum: TypeAlias = Literal | Path | Arithmetic


def parse_condition(text: str) -> Condition:
    """The condition that a text states.

    Raises:
        ValueError: for a text that states none; it says what is wrong and what to write.
    """
    parser = _Parser(text)
    condition = parser.condition()
    parser.end()
    return condition


def parse_sum(text: str) -> Sum:
    """The arithmetic over leaves that a text states.

    Raises:
        ValueError: for a text that states none; it says what is wrong and what to write.
    """
    parser = _Parser(text)
    result = parser.sum()
    parser.end()
    return result


def holds(condition: Condition, lookup: Lookup) -> bool:
    """Whether a condition holds in a trial."""
    match condition:
        case Not(inner):
            return not holds(inner, lookup)
        case Either(parts, is_all):
            return (all if is_all else any)(holds(part, lookup) for part in parts)
        case Comparison(sign, left, right):
            try:
                return _compare(sign, _value(left, lookup), _value(right, lookup))
            except KeyError:
                return False


def evaluate(term: Sum, lookup: Lookup) -> HParam:
    """The value of a sum in a trial.

    Raises:
        KeyError: where the trial lacks a leaf of it.
        ValueError: for what is no number, or no finite result.
    """
    if not isinstance(term, Arithmetic):
        return _value(term, lookup)
    left, right = evaluate(term.left, lookup), evaluate(term.right, lookup)
    for value in (left, right):
        if not _is_number(value):
            raise ValueError(f"{cut(repr(value))} is not a number")
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    try:
        result = _ARITHMETIC[term.sign](left, right)
    except (ZeroDivisionError, OverflowError):
        raise ValueError(f"{left} {term.sign} {right} has no value") from None
    if not math.isfinite(result):
        raise ValueError(f"{left} {term.sign} {right} is not finite")
    return result


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every comparison of a condition, in the order of the text."""
    match condition:
        case Comparison():
            yield condition
        case Not(inner):
            yield from comparisons(inner)
        case Either(parts):
            for part in parts:
                yield from comparisons(part)


def paths_of(expression: Condition | Sum) -> tuple[str, ...]:
    """Every path that an expression looks at, once, in the order of the text."""
    return tuple(dict.fromkeys(_paths(expression)))


def is_ordering(comparison: Comparison) -> bool:
    """Whether a comparison asks which of two numbers is larger."""
    return comparison.sign in _ORDERINGS


def _paths(expression: Condition | Sum) -> Iterator[str]:
    match expression:
        case Path(path):
            yield path
        case Comparison(left=left, right=right) | Arithmetic(left=left, right=right):
            yield from _paths(left)
            yield from _paths(right)
        case Not(inner):
            yield from _paths(inner)
        case Either(parts):
            for part in parts:
                yield from _paths(part)


def _value(operand: Literal | Path, lookup: Lookup) -> HParam:
    return operand.value if isinstance(operand, Literal) else lookup(operand.path)


def _compare(sign: str, left: HParam, right: HParam) -> bool:
    if sign in ("in", "not in"):
        assert isinstance(right, list)
        return any(same_value(left, value) for value in right) == (sign == "in")
    if sign in ("==", "!="):
        return same_value(left, right) == (sign == "==")
    if not _is_number(left) or not _is_number(right):
        return False
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    return _ORDERINGS[sign](left, right)


def _is_number(value: HParam) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        if len(self._tokens) > _MOST_TOKENS:
            raise ValueError(f"has {len(self._tokens)} words: write several rules instead")
        self._next = 0
        self._depth = 0

    def condition(self) -> Condition:
        return self._joined("or", lambda: self._joined("and", self._negation))

    def sum(self) -> Sum:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), self._factor))

    def end(self) -> None:
        if self._peek() is not None:
            raise ValueError(f"has {self._shown()} too many: remove it, or join with and, or")

    def _joined(self, word: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Either(tuple(parts), is_all=word == "and")

    def _negation(self) -> Condition:
        self._deeper()
        if self._take("not"):
            found: Condition = Not(self._negation())
        elif self._take("("):
            found = self.condition()
            self._expect(")")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Comparison:
        left = self._operand()
        if self._take("in"):
            return Comparison("in", left, self._list())
        if self._take("not"):
            self._expect("in")
            return Comparison("not in", left, self._list())
        for sign in ("==", "!=", *_ORDERINGS):
            if self._take(sign):
                return Comparison(sign, left, self._operand())
        if self._peek() == ("sign", "="):
            raise ValueError("has a single =: write == to compare")
        raise ValueError(
            f"has {self._shown()} where a comparison belongs: write ==, !=, <, <=, >, >= or in"
        )

    def _operand(self) -> Literal | Path:
        if self._peek() == ("sign", "["):
            return self._list()
        is_negative = self._take("-")
        kind, text = self._peek() or ("", "")
        if kind == "number":
            self._next += 1
            value = _number(text)
            return Literal(-value if is_negative else value)
        if kind in ("text", "word") and not is_negative and text not in ("and", "or", "not", "in"):
            self._next += 1
            if kind == "text":
                return Literal(text[1:-1])
            if "." in text or text in _PARTS:
                return Path(text)
            return Literal(_CONSTANTS.get(text, text))
        raise ValueError(
            f"has {self._shown()} where a value belongs: write a path such as optimizer.name, a"
            " number or a name"
        )

    def _list(self) -> Literal:
        if not self._take("["):
            raise ValueError("has no list after in: write in [relu, gelu]")
        values: list[HParam] = []
        while not self._take("]"):
            self._deeper()
            operand = self._operand()
            self._depth -= 1
            if isinstance(operand, Path):
                raise ValueError(
                    f"has the path {cut(operand.path)} in a list: compare with == instead"
                )
            values.append(operand.value)
            if self._peek() != ("sign", "]"):
                self._expect(",")
        return Literal(values)

    def _chain(self, signs: tuple[str, str], part: Callable[[], Sum]) -> Sum:
        found = part()
        while (token := self._peek()) is not None and token[1] in signs:
            self._next += 1
            found = Arithmetic(token[1], found, part())
        return found

    def _factor(self) -> Sum:
        self._deeper()
        if self._take("("):
            found = self.sum()
            self._expect(")")
        elif self._peek() == ("sign", "-") and (*self._tokens, ("", ""))[self._next + 1][0] != (
            "number"
        ):
            self._next += 1
            found = Arithmetic("-", Literal(0), self._factor())
        else:
            operand = self._operand()
            if isinstance(operand, Literal) and not _is_number(operand.value):
                value = cut(repr(operand.value))
                raise ValueError(f"has {value} where a number belongs: write a path or a number")
            found = operand
        self._depth -= 1
        return found

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} deep: write fewer brackets")

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, wanted: str) -> bool:
        token = self._peek()
        if token is None or token[0] == "text" or token[1] != wanted:
            return False
        self._next += 1
        return True

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise ValueError(f"has {self._shown()} where {wanted} belongs: add it")

    def _shown(self) -> str:
        token = self._peek()
        return "the end" if token is None else cut(token[1])


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    end = len(text.rstrip())
    position = 0
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            rest = text[position:].strip()
            raise ValueError(f"has {rest[:20]} which is unknown here: compare paths and values")
        yield found.lastgroup, found[found.lastgroup]
        position = found.end()


def _number(text: str) -> int | float:
    try:
        value = int(text) if text.isdigit() else float(text)
        if math.isfinite(value):
            return value
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"has {text[:20]} which is not a number: write it as 0.5 or 1.0e-3")
