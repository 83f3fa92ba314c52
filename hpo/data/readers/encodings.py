"""The text of a file: its encoding as a spec names it, and UTF-16 where it names another."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from hpo.errors import DataError

_LOOKED_AT = 1 << 12
# The share of zeros among the upper bytes of characters, which no other text has.
_LEAST_ZEROS = 0.1
# They are in files of whole numbers, which have such zeros, too.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")


def text_in(
    path: Path, data: bytes, encoding: str, *, is_whole: bool = True, cure: str = ""
) -> str:
    """The text of a file; a last character that is cut off is left out unless the data are whole.

    `cure` is what the user can do beside writing another encoding.

    Raises:
        DataError: for data of another encoding, with the line where it is known.
    """
    check_utf_16(path, data, encoding, cure)
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, is_whole)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = data[:start].decode(encoding, "ignore").count("\n") + 1
        raise DataError(
            f"{path}:{line}: is not {encoding}: correct data.dataset.encoding{cure}."
        ) from None


def check_utf_16(path: Path, data: bytes | memoryview, encoding: str, cure: str = "") -> None:
    """Refuse UTF-16 that a spec names otherwise: read as UTF-8, it would be text between zeros.

    Raises:
        DataError: for such data.
    """
    found = utf_16_of(bytes(data[:_LOOKED_AT]))
    if found is not None and not codecs.lookup(encoding).name.startswith(found):
        raise DataError(f"{path}: looks like {found}: write data.dataset.encoding: {found}{cure}.")


def utf_16_of(data: bytes) -> str | None:
    """The kind of UTF-16 that the first bytes of a file look like; None for other text.

    It is `utf-16` with a byte order mark, and else `utf-16-le` or `utf-16-be`.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None if data.startswith(codecs.BOM_UTF32_LE) else "utf-16"
    first, second = data[:_LOOKED_AT:2], data[1:_LOOKED_AT:2]
    zeros = {"utf-16-be": first.count(0), "utf-16-le": second.count(0)}
    likely = max(zeros, key=lambda name: zeros[name])
    # Some characters, such as one of the most frequent in Chinese, end in a byte of zeros.
    is_clear = 3 * min(zeros.values()) <= zeros[likely] > _LEAST_ZEROS * len(first)
    is_text = is_clear and not _CONTROLS.search(data[:_LOOKED_AT].decode(likely, "ignore"))
    return likely if is_text else None
