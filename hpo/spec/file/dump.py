"""A document as YAML that people like to read: short parts on one line, the rest in blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo.errors import visible
from hpo.spec.file.document import reads_as_text

# With the indentation; a comment may reach beyond.
_WIDTH = 88
_PLAIN = re.compile(r"[A-Za-z0-9_/.](?:[A-Za-z0-9_./+-]|:(?=[A-Za-z0-9_./]))*")


def dump_spec(
    document: Mapping[str, Any], comments: Mapping[str, str] | None = None, header: str = ""
) -> str:
    """YAML that loads back to equal values, in the order of the document.

    `comments` go behind the values at their dotted paths (`model.dropout`), `header` above it all;
    both without the `#`. Their control characters are shown, because YAML allows none.
    """
    lines = [f"# {visible(line)}".rstrip() for line in header.splitlines()]
    lines += _block(document, "", "", comments or {})
    return "\n".join(lines) + "\n"


def value_text(value: Any) -> str:
    """One value as YAML on one line: `[64, 64]`, `1.0e-3`."""
    return _flow(value)


def _block(
    mapping: Mapping[str, Any], indent: str, prefix: str, comments: Mapping[str, str]
) -> Iterator[str]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        comment = f"  # {visible(' '.join(comments[path].split()))}" if path in comments else ""
        start = f"{indent}{_scalar(key)}:"
        flow = f"{start} {_flow(value)}"
        is_commented = any(inner.startswith(f"{path}.") for inner in comments)
        fits = len(flow) <= _WIDTH and _depth(value) <= 2 and not is_commented
        if not value or fits or not isinstance(value, (Mapping, list, tuple)):
            yield flow + comment
        elif isinstance(value, Mapping):
            yield start + comment
            yield from _block(value, f"{indent}  ", f"{path}.", comments)
        else:
            yield start + comment
            yield from (f"{indent}  - {_flow(item)}" for item in value)


def _depth(value: Any) -> int:
    """How many mappings deep a value is."""
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    return max(map(_depth, value), default=0) if isinstance(value, (list, tuple)) else 0


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = (f"{_scalar(key)}: {_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and reads_as_text(text):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _float(value: float) -> str:
    """A float as YAML has it: `0.1`, `1.0e-3`, `.inf`."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    text = repr(value)
    if value == 0 or (1e-2 <= abs(value) < 1e6 and "e" not in text):
        return text
    digits = next(n for n in range(1, 18) if float(f"{value:.{n}e}") == value)
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    # The byte order mark is printable to Python and not to YAML.
    if character.isprintable() and character != "\ufeff":
        return character
    return f"\\U{ord(character):08X}"
