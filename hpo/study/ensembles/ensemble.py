"""Trains the best trials of a study again and keeps their mean in a folder: `hpo ensemble`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.devices import describe, local_devices
from hpo.engine.training.ensemble import metrics_of
from hpo.errors import HpoError
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment, Training
from hpo.spec.marks import with_leaves
from hpo.spec.sections.goal import Objective
from hpo.study.ensembles.members import Displays, Sources, trained_members
from hpo.study.ensembles.rows import Candidate, Predictions, Rows, judged_answers, same_rows
from hpo.study.ensembles.soup import check_features, check_soup, save_soup, souped
from hpo.study.signals import StopRequest
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.surroundings import Surroundings
from hpo.trained.calibration import calibration_of
from hpo.trained.description import Description
from hpo.trained.ensembles.greedy import greedy_shares
from hpo.trained.ensembles.write import Ensembled, save_ensemble
from hpo.trained.load import metrics_document
from hpo.trained.model import load_model
from hpo.trained.predict import other_answers
from hpo.trained.save import (
    SplitMetrics,
    check_free,
)


def ensemble_to_folder(
    candidates: Sequence[Candidate],
    objective: Objective,
    folder: Path,
    around: Surroundings,
    displays: Displays,
    say: Callable[[str], None],
    stop: StopRequest,
    *,
    is_replaced: bool = False,
    is_plain: bool = False,
    is_soup: bool = False,
) -> Ensembled:
    """Train the candidates, of which the first is the winner, and save their mean in `folder`.

    The shares in the mean are chosen by the objective on the validation rows, or equal if the mean
    is to be plain. With folds, each row is answered by the members that have not trained on it. A
    candidate that a run before this one has trained is not trained again. With `is_soup` the
    weights are averaged instead of the answers, and the folder holds one model.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for a folder in the way, and candidates that have no mean.
    """
    check_free(folder, is_replaced)
    start = time.monotonic()
    sources = Sources(around)
    datas = [_data_of(one.experiment, sources) for one in candidates]
    numbers = [one.number for one in candidates]
    rows = same_rows(numbers, datas)
    if is_soup:
        check_soup(candidates)
        check_features(numbers, datas)
    stop.begin()
    members = trained_members(
        candidates, datas, folder, around, sources, displays, say, stop, is_replaced=is_replaced
    )
    models = [load_model(one.folder, around.device, is_trusted=True) for one in members]
    device = describe([local_devices(around.device)[0]])
    provenance = Provenance(library_versions(), device, rows.data.fingerprint).to_document()
    if is_soup:
        made, weights = souped(candidates, models, objective, rows, is_plain=is_plain)
    else:
        found = [
            judged_answers(model, data, one.validated)
            for model, data, one in zip(models, datas, members, strict=True)
        ]
        made = _made(candidates, models[0].training, objective, rows, found, is_plain=is_plain)
    stop.end()  # the model is saved whole
    epochs = sum(metrics_document(model.folder)["epochs"] for model in models)
    made = replace(made, seconds=time.monotonic() - start, epochs=epochs)
    if is_soup:
        save_soup(folder, made, weights, candidates[0].experiment, rows, provenance)
    else:
        save_ensemble(folder, made, Description.of(rows.data), provenance)
    return made


def _data_of(experiment: Experiment, sources: Sources) -> DataSet:
    """The data set of a candidate.

    Raises:
        HpoError: for a training whose answers have no mean for each row.
    """
    training, kind = experiment.training, None
    if experiment.are_processes or isinstance(training, TaskTraining):
        kind = "trains by code of its own"
    elif training.train.threshold is not None:
        kind = "decides by train.threshold"
    else:
        data = sources.plain(experiment).load(training.data)
        kind = other_answers(data.task, training.data.dataset)
        if kind is None:
            return data
    raise HpoError(f"{experiment.name}: {kind}, and an ensemble needs one answer for each row.")


def _made(
    candidates: Sequence[Candidate],
    judge: Training,
    objective: Objective,
    rows: Rows,
    found: Sequence[Predictions],
    *,
    is_plain: bool,
) -> Ensembled:
    """The ensemble of candidates with these predictions, beside the winner alone."""
    count, winner = len(candidates), f"trial {candidates[0].number}"
    validated = [one["validation"] for one in found]
    shares = {
        winner: (np.arange(count) == 0).astype(float),
        "mean": np.full(count, 1 / count),
        "greedy": greedy_shares(validated, _loss_of(objective, judge, rows)),
    }
    means = {
        name: {
            split: np.tensordot(own, [one[split] for one in found], axes=1) for split in rows.splits
        }
        for name, own in shares.items()
    }
    compared: dict[str, SplitMetrics] = {
        name: {
            split: metrics_of(mean, judge, rows.data, rows.splits[split])
            for split, mean in own.items()
        }
        for name, own in means.items()
    }
    kept, calibration = "mean" if is_plain else "greedy", None
    if rows.data.task == "classification" and not rows.data.folds:
        validation, test = rows.splits["validation"], rows.splits.get("test")
        own = means[kept]
        calibration = calibration_of(own["validation"], validation, own.get("test"), test)
    return Ensembled(
        candidates[0].experiment.name,
        {one.number: float(share) for one, share in zip(candidates, shares[kept], strict=True)},
        compared,
        kept,
        temperature=calibration and calibration.temperature,
        calibration=calibration.errors if calibration else {},
    )


def _loss_of(objective: Objective, judge: Training, rows: Rows) -> Callable[[np.ndarray], float]:
    """The loss of mean predictions for the validation rows: the objective's, where it has one."""
    metric = objective.metric
    own = tuple(name for name in judge.train.metrics if name == metric)
    alone = with_leaves(judge, {"train.metrics": own})

    def loss_of(predictions: np.ndarray) -> float:
        found = metrics_of(predictions, alone, rows.data, rows.splits["validation"])
        return objective.loss(found[metric]) if metric in found else found["loss"]

    return loss_of
