"""What an explanation holds: the values that `hpo explain` shows and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.spec.words import unknown_name
from hpo.trained.explain.attribution import Attribution
from hpo.trained.explain.importance import Importance
from hpo.trained.explain.judging import Bin
from hpo.trained.explain.tokens import WordParts


class Wrong(NamedTuple):
    """A row that is answered badly; `row` counts from 1, `file` is that of an image."""

    row: int
    file: str | None
    loss: float
    truth: str
    answer: str


class Window(NamedTuple):
    """A window of a series whose forecast is bad, in the unit of the target.

    `row` counts from 1 in the order of time, and is the last row of the window. `time` is its time,
    after which the forecast begins. `error` is the mean absolute error of the values ahead.
    """

    row: int
    time: str
    error: float
    truth: tuple[float, ...]
    forecast: tuple[float, ...]


class Passage(NamedTuple):
    """A row of tokens of a text: the loss of each in nats, and the likeliest token at its place.

    `row` counts from 1, and `loss` is the mean. Tokens are texts, of which `text` is made; what is
    no character stands in it as \ufffd.
    """

    row: int
    loss: float
    text: str
    tokens: tuple[str, ...]
    losses: tuple[float, ...]
    answers: tuple[str, ...]


class BadToken(NamedTuple):
    """A token that is often not the likeliest one at its places: `wrong` of `times`.

    `loss` is its mean one in nats, and `instead` the token that is likeliest most often then.
    """

    token: str
    times: int
    wrong: int
    loss: float
    instead: str


@dataclass(frozen=True)
class Explanation:
    """What is known of a model's answers for some examples with targets, each a `noun`.

    What has a class is `judged`: a row, a pixel of an image, or a token of a text.

    `importance` says by how much `metric` gets worse; it is empty for images. `confusion`,
    `calibration` and `errors`, the calibration error `raw` and `tempered`, are of classes alone.
    `attribution` has the parts of the columns of a table in the answers for `places`, or is None.
    `pictures` are pixels by the number of the row that they show, of the worst images. `words` are
    those of texts, in the worst rows and in the first ones. Forecasts have `windows` in the place
    of `worst`, and the parts of these. Masks have the `overlaps` of classes, the intersection over
    union of each. Texts of language models have `passages`, the worst first, and bad `tokens`.
    """

    rows: int
    metrics: Mapping[str, float]
    metric: str
    importance: tuple[Importance, ...]
    worst: tuple[Wrong, ...]
    classes: tuple[str, ...] = ()
    confusion: np.ndarray | None = None
    calibration: tuple[Bin, ...] = ()
    errors: Mapping[str, float] | None = None
    attribution: Attribution | None = None
    places: np.ndarray | None = None
    pictures: Mapping[int, np.ndarray] = field(default_factory=dict)
    words: tuple[WordParts, ...] = ()
    windows: tuple[Window, ...] = ()
    overlaps: tuple[float, ...] = ()
    passages: tuple[Passage, ...] = ()
    tokens: tuple[BadToken, ...] = ()
    noun: str = "row"
    judged: str = "row"


class How(NamedTuple):
    """How a model is explained: the metric that shuffles make worse, and how often they do.

    Without a `metric` it is the usual one of the model's kind. `rows` is how many are shuffled at
    most, and `worst` how many of the worst are told. Pictures of images are only drawn if the
    explanation `has_pictures`.
    """

    metric: str | None = None
    repeats: int | None = None
    rows: int = 5000
    worst: int = 10
    seed: int = 0
    has_pictures: bool = True

    @property
    def shuffles(self) -> int:
        """The shuffles of each column."""
        return self.repeats or 10


def check_unshuffled(how: How) -> None:
    """Refuse what is asked of shuffles, for a model whose columns are not shuffled.

    Raises:
        HpoError: for the first that is given.
    """
    for option, value in (("--metric", how.metric), ("--repeats", how.repeats)):
        if value is not None:
            raise HpoError(
                f"{option}: is for models of columns, which are shuffled: leave it out for images, "
                "masks and texts of a language model."
            )


def some_places(count: int, how: How) -> np.ndarray:
    """The places of some examples, in order; of all, where there are not too many."""
    if count <= how.rows:
        return np.arange(count)
    rng = np.random.default_rng(how.seed)
    return np.sort(rng.choice(count, how.rows, replace=False))


def some_rows(source: Source, how: How) -> Source:
    """The examples at these places; all of them without a copy."""
    return source if len(source) <= how.rows else source.take(some_places(len(source), how))


def chosen_metric(how: How, usual: str, metrics: Mapping[str, float]) -> str:
    """The metric that is asked for, or the usual one.

    Raises:
        HpoError: for one that the answers do not have, with those that there are.
    """
    name = how.metric or usual
    if name not in metrics:
        raise HpoError(f"--metric: {unknown_name(name, metrics)}")
    return name


def row_text(values: Iterable[Any]) -> str:
    """Classes or values of one row, as people read them."""
    return ", ".join(one if isinstance(one, str) else f"{one:.6g}" for one in values)
