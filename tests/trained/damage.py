"""One wrong value somewhere in the folder of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

Draw = st.DrawFn
_PLAIN = (None, True, 0, -1, 7, 0.5, float("nan"), 1e300, 10**30, "", "x", "../x", [], {}, [1])
_NUMBERS = (np.nan, np.inf, 0, -1, 1, 7, 1e300, 1e-300, 2**31 - 1)


@st.composite
def damages(draw: Draw, folder: Path) -> tuple[str, bytes]:
    """A file of the folder by its path, and its bytes with one value changed."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md"]
    file = draw(st.sampled_from(sorted(files)))
    if file.suffix == ".npz":
        found = _of_arrays(draw, file)
    elif file.suffix in (".json", ".yaml"):
        found = _of_values(draw, file)
    else:
        found = _of_bytes(draw, file)
    return str(file.relative_to(folder)), found


def _of_arrays(draw: Draw, file: Path) -> bytes:
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = draw(st.sampled_from(sorted(name for name in arrays if arrays[name].size)))
    changed = arrays[name].reshape(-1).copy()
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.array(draw(st.sampled_from(_NUMBERS))).astype(changed.dtype)
    changed[draw(st.integers(0, changed.size - 1))] = value
    out = file.with_suffix(".new.npz")
    np.savez(out, **{**arrays, name: changed.reshape(arrays[name].shape)})
    found = out.read_bytes()
    out.unlink()
    return found


def _of_values(draw: Draw, file: Path) -> bytes:
    text = file.read_text()
    document = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    *outer, last = draw(st.sampled_from([*_paths(document)]))
    holder = document
    for key in outer:
        holder = holder[key]
    how = draw(st.sampled_from(["set", "set", "remove", "repeat"]))
    if how == "remove":
        del holder[last]
    elif how == "repeat" and isinstance(holder, list):
        holder.append(holder[last])
    else:
        holder[last] = draw(st.sampled_from(_PLAIN))
    text = json.dumps(document) if file.suffix == ".json" else yaml.safe_dump(document)
    return text.encode()


def _paths(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner: Any = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


def _of_bytes(draw: Draw, file: Path) -> bytes:
    data = bytearray(file.read_bytes())
    if data:
        place = draw(st.integers(0, len(data) - 1))
        if draw(st.booleans()):
            return bytes(data[:place])
        data[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)
