"""Where a language model is wrong: the worst passages of a text, and the tokens answered badly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from hpo.data.dataset import Split
from hpo.engine.devices import available_bytes
from hpo.spec.sections.data import TextFile
from hpo.trained.explain.findings import BadToken, Explanation, How, Passage, check_unshuffled
from hpo.trained.explain.judging import position_losses, worst_rows
from hpo.trained.explain.positions import judged_positions
from hpo.trained.kinds.text import token_bytes
from hpo.trained.model import Model
from hpo.trained.predict import NewData, rows_at_once

_UNKNOWN = "\ufffd".encode()


def explained_text(model: Model, new: NewData, how: How) -> Explanation:
    """Explain a language model by the passages of a text, each a row of its training.

    Raises:
        HpoError: for a metric or a number of shuffles, or a text that is unfit or too short.
    """
    check_unshuffled(how)
    splits = [model.split(member, new.source) for member in model.members]
    x, y = [one.x for one in splits], splits[0].y
    tokens, weight = _Tokens(model.description.outputs), np.ones(len(y), np.float32)
    split = Split({"y": y, "weight": weight})
    told = judged_positions(model, split, lambda rows: x[0][rows], _pieces(model, x), tokens.add)
    spec = model.training.data.dataset
    assert isinstance(spec, TextFile)
    names = token_bytes(model, spec)
    texts = [_text(name) for name in names]
    places = worst_rows(told.losses, how.worst)
    return Explanation(
        len(y),
        told.metrics,
        "loss",
        (),
        (),
        calibration=told.calibration,
        errors=told.errors,
        passages=tuple(_passages(model, x, y, places, told.losses, names)),
        tokens=tuple(tokens.worst(how.worst, texts)),
        noun="passage",
        judged="token",
    )


def _pieces(model: Model, x: list[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
    """The chances of the tokens of some rows after the other, float64 `[n, length, K]`."""
    block = model.blocks.rows
    size = max(block, rows_at_once(model, available_bytes()) // block * block)
    for first in range(0, len(x[0]), size):
        rows = slice(first, min(first + size, len(x[0])))
        yield rows, model.mean_of([one[rows] for one in x])


def _passages(
    model: Model,
    x: list[np.ndarray],
    y: np.ndarray,
    places: np.ndarray,
    losses: np.ndarray,
    names: list[bytes],
) -> Iterator[Passage]:
    """The passages at some places, with the loss of each of their tokens."""
    texts = [_text(name) for name in names]
    for rows, chances in _pieces(model, [one[places] for one in x]):
        some = places[rows]
        of_tokens = position_losses(chances, y[some])
        for place, own, found, answers in zip(
            some, y[some], of_tokens, chances.argmax(-1), strict=True
        ):
            whole = b"".join(names[token] or _UNKNOWN for token in own)
            yield Passage(
                row=int(place) + 1,
                loss=float(losses[place]),
                text=whole.decode("utf-8", "replace"),
                tokens=tuple(texts[token] for token in own),
                losses=tuple(found.tolist()),
                answers=tuple(texts[token] for token in answers),
            )


class _Tokens:
    """How often each token stands in a text, and how often another one is the likeliest there."""

    def __init__(self, count: int) -> None:
        self._all, self._wrong = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._losses = np.zeros(count)
        self._answers: Counter[tuple[int, int]] = Counter()

    def add(self, y: np.ndarray, chances: np.ndarray) -> None:
        """Count tokens `[M]` with their chances `[M, K]`."""
        count, found = len(self._all), chances.argmax(1)
        is_wrong = found != y
        self._all += np.bincount(y, minlength=count)
        self._wrong += np.bincount(y[is_wrong], minlength=count)
        self._losses += np.bincount(y, position_losses(chances, y), minlength=count)
        pairs, times = np.unique(
            np.stack([y[is_wrong], found[is_wrong]]), axis=1, return_counts=True
        )
        for token, answer, number in zip(*pairs.tolist(), times.tolist(), strict=True):
            self._answers[token, answer] += number

    def worst(self, count: int, names: list[str]) -> Iterator[BadToken]:
        """The tokens that are answered badly most often, and their most frequent wrong answers."""
        instead: dict[int, int] = {}
        for (token, answer), _ in self._answers.most_common():
            instead.setdefault(token, answer)
        for token in np.argsort(-self._wrong, kind="stable")[:count].tolist():
            if self._wrong[token]:
                yield BadToken(
                    token=names[token],
                    times=int(self._all[token]),
                    wrong=int(self._wrong[token]),
                    loss=float(self._losses[token] / self._all[token]),
                    instead=names[instead[token]],
                )


def _text(token: bytes) -> str:
    """A token as a text; bytes that are no whole characters as `\\xe2`. Unknown ones are empty."""
    return token.decode("utf-8", "backslashreplace")
