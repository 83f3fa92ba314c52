"""A text as a data set: rows are pieces of it, whose targets are one token later."""

from __future__ import annotations

import hashlib
from itertools import accumulate, pairwise

import numpy as np

from hpo.data.dataset import SPLITS, DataSet, Split
from hpo.data.sequences.windows import Part, Windows
from hpo.data.source import Source
from hpo.data.split import split_sizes
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TextFile
from hpo.spec.words import count_text

_BYTES = np.arange(256, dtype=np.int32)


def text_data(spec: DataSpec, source: Source) -> DataSet:
    """The data set of a text: the first part trains, the next validates, the last is the test.

    Tokens are numbered as the training part has them. A row is `length` tokens, and the next row
    begins where it ends, so each token of a split is a target once, but for those at its end.

    Raises:
        DataError: for a text that is too short, or whose training part has one token alone.
    """
    text = spec.dataset
    assert isinstance(text, TextFile)
    sizes = split_sizes(spec, len(source), has_own_test=False, classes=0)
    ends = [*accumulate((sizes.left_out, sizes.train, sizes.validation, sizes.test))]
    parts = [source.y[start:end] for start, end in pairwise(ends) if end > start]
    known = _BYTES if text.tokens == "bytes" else np.unique(parts[0]).astype(np.int32)
    if len(known) < 2:
        raise DataError(
            f"{source.target}: has no two different {text.tokens} to train on: give another text."
        )
    tokens, new = _numbered(np.concatenate(parts), known)
    windows, counts = _pieces(tokens, [*map(len, parts)], text.length, source.target)
    rows = [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]
    splits = [Split(windows, one) for one in rows]
    classes = tuple(map(chr, known)) if text.tokens == "characters" else ()
    return DataSet(
        task="language",
        train=splits[0],
        validation=splits[1],
        test=splits[2] if len(splits) > 2 else None,
        outputs=len(known) + bool(new),
        fingerprint=_fingerprint(text, parts),
        classes=(*classes, "") if new else classes,
        notes=_told(text, new),
        transform=FittedTransform(
            more={"token_code": known, "token_bytes": _byte_lengths(text, known, new)}
        ),
    )


def _numbered(codes: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The number of each token, and the codes that are not known, which all have the last one."""
    numbers = np.searchsorted(known, codes)
    is_new = known[np.minimum(numbers, len(known) - 1)] != codes
    numbers[is_new] = len(known)
    return numbers.astype(np.int32), codes[is_new].tolist()


def _pieces(
    tokens: np.ndarray, lengths: list[int], length: int, name: str
) -> tuple[Windows, list[int]]:
    """The rows of all splits, one after the other, and how many each split has."""
    starts, counts, first = [], [], 0
    for split, size in zip(SPLITS, lengths, strict=False):
        # The last token of a split is a target alone.
        own = np.arange(first, first + size - length, length, dtype=np.int32)
        if not len(own):
            raise DataError(
                f"{name}: the {split} split has {count_text(size, 'token')}, too few for a row of "
                f"{length} and the one after it: make data.dataset.length or the other splits "
                "smaller."
            )
        starts.append(own)
        counts.append(len(own))
        first += size
    parts = (Part("x", 0, length), Part("y", 1, length))
    return Windows(tokens, np.concatenate(starts), parts), counts


def _byte_lengths(text: TextFile, known: np.ndarray, new: list[int]) -> np.ndarray:
    """The bytes of each token in UTF-8; those that are not known have their mean."""
    if text.tokens == "bytes":
        return np.ones(len(known))
    lengths = [_utf8_lengths(known)]
    if new:
        lengths.append(_utf8_lengths(np.array(new)).mean(keepdims=True))
    return np.concatenate(lengths)


def _utf8_lengths(codes: np.ndarray) -> np.ndarray:
    return 1.0 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)


def _told(text: TextFile, new: list[int]) -> tuple[str, ...]:
    if not new:
        return ()
    different = count_text(len({*new}), "character")
    return (
        f"{text.text}: {different} of validation and test do not occur in the training part: "
        f"they are one token, at {count_text(len(new), 'place')}.",
    )


def _fingerprint(text: TextFile, parts: list[np.ndarray]) -> str:
    digest = hashlib.sha256(repr((text.tokens, text.length)).encode())
    for part in parts:
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
