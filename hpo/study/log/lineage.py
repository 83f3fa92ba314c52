"""The training that led to a trial's weights: its own, and that of trials it copied."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from hpo.trial import HParams


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of training: by `trial`, from epoch `after` + 1 on, with these `hparams`."""

    trial: int
    after: int
    hparams: HParams


# The segments from the first epoch to the latest. A copy takes over the whole lane, including the
# random stream of the first trial, so that one stream and one program serve the whole lineage.
Lineage: TypeAlias = tuple[Segment, ...]


def trained_by(lineage: Lineage, epoch: int) -> int:
    """The trial that trained an epoch (1 is the first) of a lineage."""
    return next(segment.trial for segment in reversed(lineage) if segment.after < epoch)


def changes(lineage: Lineage) -> list[tuple[int, dict[str, Any]]]:
    """The hparams that change during a lineage, each with the epoch after which it changes."""
    found = []
    for before, segment in pairwise(lineage):
        changed = {
            path: value
            for path, value in segment.hparams.items()
            if before.hparams.get(path) != value
        }
        if changed:
            found.append((segment.after, changed))
    return found
