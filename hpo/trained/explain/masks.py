"""Where masks are wrong: overlaps and calibration of pixels, and pictures of the worst images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hpo.data.dataset import Split
from hpo.data.new.arrays import FILE
from hpo.data.source import Source
from hpo.trained.ensembles.ensemble import Answering, models_of
from hpo.trained.explain.attribution import COARSE, attributed
from hpo.trained.explain.findings import (
    Explanation,
    How,
    Wrong,
    check_unshuffled,
    row_text,
    some_rows,
)
from hpo.trained.explain.judging import confusion, overlaps, worst_rows
from hpo.trained.explain.pictures import masks_beside
from hpo.trained.explain.positions import judged_positions
from hpo.trained.predict import NewData, prediction_pieces

# Classes of an image that have a map, and those whose share of the pixels is told.
_MOST_MAPS, _MOST_SHARES = 4, 3


def explained_masks(model: Answering, new: NewData, how: How) -> Explanation:
    """Explain a class for each pixel by images with masks; no list of all pixels is kept.

    Raises:
        HpoError: for a metric or a number of shuffles.
    """
    check_unshuffled(how)
    source, classes = new.source, model.description.classes
    weight = np.ones(len(source)) if source.weight is None else source.weight
    split = Split({"y": source.y, "weight": weight.astype(np.float32)})
    table = np.zeros((len(classes), len(classes)), np.int64)

    def count(y: np.ndarray, chances: np.ndarray) -> None:
        table[:] += confusion(y, chances.argmax(1), len(classes))

    def features(rows: slice) -> np.ndarray:
        (one, *_), (member, *_) = models_of(model), model.members
        return one.features(member, source.take(rows))

    pieces = prediction_pieces(model, source)
    told = judged_positions(model, split, features, pieces, count)
    losses = told.losses
    places = worst_rows(losses, how.worst)
    worst = source.take(places)
    answers = [chances.argmax(-1) for _, chances in prediction_pieces(model, worst)]
    masks = np.concatenate(answers) if answers else worst.y
    return Explanation(
        len(source),
        told.metrics,
        "loss",
        (),
        tuple(
            Wrong(
                int(place) + 1,
                str(new.beside[FILE][place]) if FILE in new.beside else None,
                float(losses[place]),
                _shares(truth, classes),
                _shares(mask, classes),
            )
            for place, truth, mask in zip(places, worst.y, masks, strict=True)
        ),
        classes=classes,
        confusion=table,
        calibration=told.calibration,
        errors=told.errors,
        pictures=dict(
            zip(
                (places + 1).tolist(),
                _pictures(model, worst, masks, some_rows(source, how)),
                strict=True,
            )
        )
        if how.has_pictures and len(places)
        else {},
        overlaps=tuple(overlaps(table).tolist()),
        noun="image",
        judged="pixel",
    )


def _shares(mask: np.ndarray, classes: Sequence[str]) -> str:
    """The classes with the most pixels of a mask, as people read them: `0: 92%, 3: 8%`."""
    counts = np.bincount(mask.ravel(), minlength=len(classes))
    most = np.argsort(-counts, kind="stable")[:_MOST_SHARES]
    told = [(classes[one], counts[one] / mask.size) for one in most if counts[one]]
    return row_text(
        f"{name}: {share:.0%}" if share >= 0.005 else f"{name}: <1%" for name, share in told
    )


def _pictures(
    model: Answering, images: Source, masks: np.ndarray, usual: Source
) -> list[np.ndarray]:
    """Each image beside its masks, and a map of each class with the most pixels that is found.

    A single image is the mean itself, from which parts start, and has no map.
    """
    maps: list[dict[int, np.ndarray]] = [{} for _ in masks]
    for row, number, part in _maps(model, images, masks, usual) if len(usual) > 1 else ():
        maps[row][number] = part
    return [masks_beside(*one) for one in zip(images.x, images.y, masks, maps, strict=True)]


def _maps(
    model: Answering, images: Source, masks: np.ndarray, usual: Source
) -> Iterator[tuple[int, int, np.ndarray]]:
    """The place of an image, a class that is found in it, and the parts of pixels in its odds."""
    found: list[list[int]] = []
    for mask in masks:
        counts = np.bincount(mask.ravel())
        most = np.argsort(-counts, kind="stable")[:_MOST_MAPS]
        found.append([int(one) for one in most if counts[one]])
    rows = np.repeat(np.arange(len(masks)), [len(own) for own in found])
    numbers = np.concatenate(found)
    alone = np.where(masks[rows] == numbers[:, None, None], masks[rows], -1).astype(np.int32)
    parts = attributed(model, images.take(rows), usual, alone, {}, COARSE)
    assert parts is not None
    yield from zip(rows.tolist(), numbers.tolist(), parts.parts, strict=True)
