"""What a trained model looks at, where it is wrong, and how sure it is: `hpo explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hpo.data.new.arrays import FILE
from hpo.data.source import Source
from hpo.engine.training.ensemble import metrics_of
from hpo.engine.training.metrics.classes import calibration_error
from hpo.engine.training.metrics.temperature import tempered
from hpo.engine.training.targets.regression import in_own_unit
from hpo.trained.answers import answer_columns
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.explain.attribution import attributed, is_attributable
from hpo.trained.explain.findings import (
    Explanation,
    How,
    Wrong,
    check_unshuffled,
    chosen_metric,
    row_text,
    some_places,
    some_rows,
)
from hpo.trained.explain.forecasts import explained_forecasts
from hpo.trained.explain.importance import (
    Importance,
    columns_of,
    loss_by,
    permutation_importances,
    with_column,
)
from hpo.trained.explain.judging import (
    calibration_bins,
    calibration_sums,
    confusion,
    row_losses,
    worst_rows,
)
from hpo.trained.explain.masks import explained_masks
from hpo.trained.explain.passages import explained_text
from hpo.trained.explain.pictures import beside
from hpo.trained.explain.tokens import WordParts, text_columns, word_parts
from hpo.trained.kinds.text import language_model
from hpo.trained.predict import NewData, predictions_of

# Rows whose words are told beside those of the worst ones.
_FIRST_ROWS = 3
_LEAST = 1e-12


def explained(
    model: Answering, new: NewData, how: How, watch: Callable[[int], None] = lambda _: None
) -> Explanation:
    """Explain a model by examples with targets; `watch` gets the number of columns that are done.

    Raises:
        HpoError: for a metric that the model does not have, and for any, or a number of shuffles,
            where no columns are shuffled.
    """
    if model.series is not None:
        return explained_forecasts(model, model.series, new, how, watch)
    if model.description.task == "language":
        return explained_text(language_model(model, model.folder), new, how)
    if model.description.task == "segmentation":
        return explained_masks(model, new, how)
    source, told = new.source, model.description
    if not columns_of(told.features):
        check_unshuffled(how)
    predictions, split = predictions_of(model, source), model.judged(source)
    metrics = metrics_of(predictions, model.training, model.data, split, model.thresholds)
    metric = chosen_metric(how, "loss", metrics)
    chances = tempered(predictions, model.temperature) if told.classes else predictions
    y = in_own_unit(split.y, model.data)
    answers = answer_columns(predictions, told, model.thresholds, model.temperature)
    found = Explanation(
        len(source),
        metrics,
        metric,
        _importance(model, source, metric, how, watch),
        _worst(model, new, how.worst, chances, y, answers),
    )
    classes = _found(told.classes, answers)
    if is_attributable(model):
        found = _attributed(model, source, how, classes, found)
    if (bool(told.classes) or told.outputs == 1) and (texts := text_columns(told.features)):
        found = replace(found, words=_words(model, source, how, classes, found.worst, texts))
    if not told.classes:
        return found
    kinds = {"raw": predictions, "tempered": chances}
    return replace(
        found,
        classes=told.classes,
        confusion=confusion(y, classes, len(told.classes)),
        calibration=tuple(calibration_bins(calibration_sums(chances, y))),
        errors={name: calibration_error(one, y, split.row_weight) for name, one in kinds.items()},
    )


def _found(names: Sequence[str], answers: Mapping[str, np.ndarray]) -> np.ndarray:
    """The number of the class that is found for each row; 0 without classes."""
    first = next(iter(answers.values()))
    of_class = {name: place for place, name in enumerate(names)}
    return np.array([of_class[name] if of_class else 0 for name in first], np.int32)


def _attributed(
    model: Answering, source: Source, how: How, classes: np.ndarray, found: Explanation
) -> Explanation:
    """The explanation with the parts of columns, or with pictures of the worst images."""
    if len(source) < 2:
        return found  # it is the mean itself, from which parts start
    columns = columns_of(model.description.features)
    places = some_places(len(source), how)
    usual = some_rows(source, how)
    if columns:
        parts = attributed(model, usual, usual, classes[places], columns)
        return replace(found, attribution=parts, places=places)
    rows = [one.row for one in found.worst] if how.has_pictures else []
    if not rows or source.x.dtype != np.uint8 or source.x.ndim != 4:
        return found
    at = np.array(rows) - 1
    parts = attributed(model, source.take(at), usual, classes[at], {})
    assert parts is not None
    images = source.x[at]
    pictures = map(beside, images, parts.parts)
    return replace(found, pictures=dict(zip(rows, pictures, strict=True)))


def _words(
    model: Answering,
    source: Source,
    how: How,
    classes: np.ndarray,
    worst: Sequence[Wrong],
    columns: dict[str, int],
) -> tuple[WordParts, ...]:
    """The parts of the words of texts, in the worst rows and in the first ones."""

    def answers(changed: Source, rows: np.ndarray) -> np.ndarray:
        chances = predictions_of(model, changed).reshape(len(rows), -1)
        if not model.description.classes:
            return chances[:, 0]
        own = np.clip(chances[np.arange(len(rows)), classes[rows]], _LEAST, 1 - _LEAST)
        odds: np.ndarray = np.log(own) - np.log1p(-own)
        return odds

    first = range(min(_FIRST_ROWS, len(source))) if how.worst else ()
    rows = dict.fromkeys([*(one.row - 1 for one in worst), *first])
    return tuple(word_parts(source, [*rows], columns, answers))


def _importance(
    model: Answering, source: Source, metric: str, how: How, watch: Callable[[int], None]
) -> tuple[Importance, ...]:
    """The importance of the columns, by some of the rows where there are many."""
    columns = columns_of(model.description.features)
    if not columns:
        return ()
    some = some_rows(source, how)
    loss = loss_by(metric, model, model.judged(some))

    def loss_of(name: str | None, order: np.ndarray) -> float:
        shuffled = some if name is None else with_column(some, columns[name], some, order)
        return loss(predictions_of(model, shuffled))

    names, count = [*columns], len(some)
    return tuple(permutation_importances(names, count, loss_of, how.shuffles, how.seed, watch))


def _worst(
    model: Answering,
    new: NewData,
    count: int,
    chances: np.ndarray,
    y: np.ndarray,
    answers: Mapping[str, np.ndarray],
) -> tuple[Wrong, ...]:
    """The rows that are answered worst, the worst one first."""
    told = model.description
    losses = row_losses(told.task, chances, y)
    names = [*answers][: 1 if told.classes else told.outputs]
    truth = np.array(told.classes, object)[y] if told.classes else y.reshape(len(y), -1)
    return tuple(
        Wrong(
            int(place) + 1,
            str(new.beside[FILE][place]) if FILE in new.beside else None,
            float(losses[place]),
            row_text(np.atleast_1d(truth[place])),
            row_text([answers[name][place] for name in names]),
        )
        for place in worst_rows(losses, count)
    )
