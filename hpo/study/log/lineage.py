"""What the weights of a trial went through: its own training, or that of trials it copied."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from hpo.trial import HParams


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of training: by `trial`, after its first `after` epochs, with these `hparams`."""

    trial: int
    after: int
    hparams: HParams


# From the start to where the trial stands. A copy takes the whole lane with it, the random stream
# of its first trial included, so that one stream and one program serve the whole line.
Lineage: TypeAlias = tuple[Segment, ...]


def trained_by(lineage: Lineage, epoch: int) -> int:
    """The trial that trained that epoch (1 is the first) of a line."""
    return next(segment.trial for segment in reversed(lineage) if segment.after < epoch)


def changes(lineage: Lineage) -> list[tuple[int, dict[str, Any]]]:
    """The hparams that are others after so many epochs than they were before."""
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
