"""The weights of a compressed model: arrays one after the other in `packed.bin`.

`index.json` beside it says how each is packed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hpo.spec.sections.compression.section import Compression

PACKED_FILE, _INDEX_FILE = "packed.bin", "index.json"
_MOST_BYTES = 64 << 20  # of the index


def is_packed(folder: Path) -> bool:
    """Whether the weights in a folder are packed."""
    return (folder / PACKED_FILE).is_file()


def write_packed(folder: Path, weights: Mapping[str, Any], compression: Compression) -> None:
    """Write a tree of weights into a new folder.

    Raises:
        OSError: if it cannot be written.
    """
    from hpo.engine.training.compression.packing import leaves, pack, packings, steps_of  # JAX

    arrays = {name: np.asarray(leaf) for name, leaf in leaves(weights)}
    index, data = [], []
    for packing in packings(compression, arrays):
        array = arrays[packing.name]
        try:
            data.append(pack(packing, array, steps_of(packing.name, arrays)))
        except ValueError:  # the weights of a diverged training are no numbers
            packing = replace(packing, bits=0, has_table=False)
            data.append(pack(packing, array))
        index.append(packing.to_plain())
    folder.mkdir(parents=True)
    text = json.dumps(index, indent=1) + "\n"
    (folder / _INDEX_FILE).write_text(text, encoding="utf-8")
    (folder / PACKED_FILE).write_bytes(b"".join(data))


def read_packed(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder by their paths in the tree, such as `params/head/kernel`.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for files that `write_packed` has not written.
        TypeError: likewise.
    """
    from hpo.engine.training.compression.packing import Packing, unpacked

    file = folder / _INDEX_FILE
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{file.name} is larger than {_MOST_BYTES >> 20} MB")
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{file.name} is nested too deeply") from None
    packed = [Packing.from_plain(one) for one in index]
    return dict(unpacked(packed, (folder / PACKED_FILE).read_bytes()))


def with_arrays(tree: Any, arrays: Mapping[str, np.ndarray], path: str = "") -> Any:
    """A tree of mappings with these arrays by the paths of its leaves."""
    if isinstance(tree, Mapping):
        return {
            name: with_arrays(inner, arrays, f"{path}/{name}" if path else str(name))
            for name, inner in tree.items()
        }
    return None if tree is None else arrays[path]
