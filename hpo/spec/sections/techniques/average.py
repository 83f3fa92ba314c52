"""The average of a spec: which weights judge a trial and are saved instead of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from hpo.spec.marks import Knob, ReadWhere, Share, Spec, Static


class Average(Spec):
    """The average of weights that is evaluated and saved; the last weights by default."""

    name: Static[Literal["none", "ema", "polyak", "swa"]] = "none"
    """`ema`: a moving average. `polyak`: the mean after each update. `swa`: the mean after each
    epoch."""
    decay: Annotated[Knob[Share | None], ReadWhere("name", ("ema",))] = None
    """The share of the average that each update keeps; 0.999 if left out."""
    start: Annotated[Knob[Share | None], ReadWhere("name", ("polyak", "swa"))] = None
    """The share of training after which the mean starts; if left out 0, and 0.75 for `swa`."""


def average_mistakes(average: Average) -> Iterator[tuple[tuple[str, ...], str]]:
    """Numbers that this average does not have, as (key path, sentence)."""
    for leaf, names in (("decay", ("ema",)), ("start", ("polyak", "swa"))):
        if getattr(average, leaf) is not None and average.name not in names:
            named = " and ".join(names)
            text = f"is a number of {named}, and the average is {average.name}: remove it"
            yield ("train", "average", leaf), text
