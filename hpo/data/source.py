"""Examples as a reader gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from hpo.data.transforms.features import Part


@dataclass(frozen=True, eq=False)
class Source:
    """Examples as read, before they are split, encoded and scaled.

    `x` is uint8 `[N, height, width, channels]` for images. For tables it holds the numeric columns,
    float64 `[N, features]` with NaN in empty cells. `categories` holds the text columns of a table:
    the index of each value, int32 `[N, columns]`, with -1 in empty cells.
    `y` is an index into `classes`, int32, or a float64 target where there are no classes. Several
    targets are columns of it: quantities, or labels of 0 and 1 in float32. Masks `[N, height,
    width]` hold the index of each pixel.
    `target` names `y` in messages: the file, and the column where there are columns.
    `weight` is float64 `[N]`, a weight of 0 or more for each example, or None.
    `split_by` is what the column of `data.split` says of each example, `[N]`: the number of its
    group, its time (float64 or datetime64), or the place of its split in `SPLITS`.
    """

    x: np.ndarray
    y: np.ndarray
    target: str
    classes: tuple[str, ...] = ()
    categories: np.ndarray | None = None
    names: tuple[str, ...] = ()  # of the columns of `x`, where they have names
    text_names: tuple[str, ...] = ()  # of the columns of `categories`
    values: tuple[Sequence[str], ...] = ()  # the texts of each of these, by their indices
    weight: np.ndarray | None = None
    split_by: np.ndarray | None = None
    is_count: bool = False  # a target of counts, which is not standardised
    is_multilabel: bool = False  # several targets of 0 and 1, which are not either
    is_text: bool = False  # `x` and `y` are the code points or bytes of one text, [N], in order
    test: Source | None = None  # from test files of its own
    validation: Source | None = None  # from a reader that gives splits
    notes: tuple[str, ...] = ()  # what the reader did that the user should know
    parts: tuple[Part, ...] = ()  # what the columns of `names` are read from; by default numbers

    @property
    def labels(self) -> np.ndarray | None:
        """The class of each example, where it has one."""
        return self.y if self.classes and self.y.ndim == 1 else None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray | slice) -> Source:
        """The examples in these rows, alone; a slice copies nothing."""
        from hpo.data.mapped import taken  # imports NumPy, which `hpo check` spares

        return replace(
            self,
            x=taken(self.x, rows),
            y=taken(self.y, rows),
            categories=None if self.categories is None else taken(self.categories, rows),
            weight=None if self.weight is None else taken(self.weight, rows),
            split_by=None if self.split_by is None else taken(self.split_by, rows),
            test=None,
            validation=None,
        )


def fingerprint_of(parts: Sequence[Source], scaling: Any, *, with_texts: bool) -> str:
    """A hash of splits before scaling, and of `scaling`, which says how they are scaled.

    The last bits of a mean may differ between machines; the examples as read do not. Images are
    also four times smaller before scaling.
    """
    import numpy as np  # which `hpo check` spares

    from hpo.data.transforms.by_column import pieces_of

    digest = hashlib.sha256(repr((scaling, parts[0].classes)).encode())
    if with_texts:
        digest.update(repr(parts[0].values).encode("utf-8", "surrogatepass"))
    for part in parts:
        for array in (part.x, part.y, part.categories, part.weight):
            if array is not None:
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                for rows in pieces_of(array):
                    digest.update(np.ascontiguousarray(array[rows]).tobytes())
    return digest.hexdigest()
