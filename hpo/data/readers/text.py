"""One text, from which a model learns to say what comes next: its characters or its bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpo.data.files import opened, read_bytes
from hpo.data.head import Head
from hpo.data.readers.encodings import text_in
from hpo.data.source import Source
from hpo.spec.sections.data import DataSpec, TextFile

if TYPE_CHECKING:
    import numpy as np

_HEAD_BYTES = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"


def read_text(path: Path, section: DataSpec) -> Source:
    """The code points of a text, or its bytes, in order.

    Raises:
        DataError: for a file that cannot be read, or that is of another encoding.
    """
    import numpy as np  # `hpo check` spares it

    spec = section.dataset
    assert isinstance(spec, TextFile)
    data = read_bytes(path)
    if spec.tokens == "bytes":
        codes: np.ndarray = np.frombuffer(data, np.uint8)
    else:
        text = _decoded(path, data, spec, is_whole=True)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return Source(x=codes, y=codes, target=str(path), is_text=True)


def head(path: Path, section: DataSpec) -> Head:
    """What `hpo check` tells of a text.

    Raises:
        DataError: for a file that cannot be read, or that is of another encoding.
    """
    spec = section.dataset
    assert isinstance(spec, TextFile)
    with opened(path) as stream:
        data = stream.read(_HEAD_BYTES + 1)
    is_whole, data = len(data) <= _HEAD_BYTES, data[:_HEAD_BYTES]
    count, kind = len(data), "bytes"
    if spec.tokens != "bytes":
        count, kind = len(_decoded(path, data, spec, is_whole=is_whole)), "characters"
    rest = "" if is_whole else ", the first MiB of the file; the rest was not read"
    return Head(seen=f"{spec.text}: a text of {count:,} {kind}{rest}")


def _decoded(path: Path, data: bytes, spec: TextFile, *, is_whole: bool) -> str:
    cure = ", or write tokens: bytes"
    text = text_in(path, data, spec.encoding, is_whole=is_whole, cure=cure)
    return text.removeprefix(_BYTE_ORDER_MARK)
