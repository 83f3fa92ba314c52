"""Trains the best trials of a study again and keeps their mean in a folder: `hpo ensemble`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.engine.devices import describe, local_devices
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.training.ensemble import metrics_of
from hpo.errors import HpoError
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment, Training
from hpo.spec.file.dump import dump_spec
from hpo.spec.marks import with_leaves
from hpo.spec.sections.goal import Objective
from hpo.study.backends.datasets import DataSets
from hpo.study.backends.pretrained import weights_of
from hpo.study.ensembles.rows import Candidate, Predictions, Rows, judged_answers, same_rows
from hpo.study.ensembles.soup import check_features, check_soup, save_soup, souped
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import code_of
from hpo.study.surroundings import Surroundings
from hpo.study.train import train_to_folder
from hpo.trained.calibration import calibration_of
from hpo.trained.description import Description
from hpo.trained.ensembles.greedy import greedy_shares
from hpo.trained.ensembles.write import Ensembled, name_of, save_ensemble
from hpo.trained.load import metrics_document
from hpo.trained.model import load_model
from hpo.trained.predict import other_answers
from hpo.trained.save import (
    MEMBERS_FOLDER,
    SPEC_FILE,
    SplitMetrics,
    check_free,
    partial_of,
)


class Display(Protocol):
    """Shows how a training gets on."""

    def watch(self, report: EpochReport) -> None: ...

    def say(self, sentence: str) -> None: ...


# Gives the display of the training of a candidate.
Show = Callable[[Any], AbstractContextManager[Display]]


def ensemble_to_folder(
    candidates: Sequence[Candidate],
    objective: Objective,
    folder: Path,
    around: Surroundings,
    show: Show,
    say: Callable[[str], None],
    stop: StopRequest,
    *,
    is_replaced: bool = False,
    is_plain: bool = False,
    is_soup: bool = False,
) -> Ensembled:
    """Train the candidates, the winner first, and save their mean in `folder`.

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
    datas = [_data_of(one.experiment, around) for one in candidates]
    numbers = [one.number for one in candidates]
    rows = same_rows(numbers, datas)
    if is_soup:
        check_soup(candidates)
        check_features(numbers, datas)
    stop.begin()
    models = []
    for candidate, data in zip(candidates, datas, strict=True):
        try:
            place = _trained(candidate, data, folder, around, show, say, stop, is_replaced)
        except StoppedError as stopped:
            text = f"stopped: {folder} was not written; the same command goes on."
            raise StoppedError(text, stopped.signal) from None
        models.append(load_model(place, around.device, is_trusted=True))
    device = describe([local_devices(around.device)[0]])
    provenance = Provenance(library_versions(), device, rows.data.fingerprint).to_document()
    if is_soup:
        made, weights = souped(candidates, models, objective, rows, is_plain=is_plain)
    else:
        found = [judged_answers(model, data) for model, data in zip(models, datas, strict=True)]
        made = _made(candidates, models[0].training, objective, rows, found, is_plain=is_plain)
    stop.end()  # the model is saved whole
    epochs = sum(metrics_document(model.folder)["epochs"] for model in models)
    made = replace(made, seconds=time.monotonic() - start, epochs=epochs)
    if is_soup:
        save_soup(folder, made, weights, candidates[0].experiment, rows, provenance)
    else:
        save_ensemble(folder, made, Description.of(rows.data), provenance)
    return made


def _data_of(experiment: Experiment, around: Surroundings) -> DataSet:
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
        datasets = DataSets(experiment.folder, around.data_home, DataCache(around.data_cache))
        data = datasets.load(training.data)
        kind = other_answers(data.task, training.data.dataset)
        if kind is None:
            return data
    raise HpoError(f"{experiment.name}: {kind}, and an ensemble needs one answer for each row.")


def _trained(
    candidate: Candidate,
    data: DataSet,
    folder: Path,
    around: Surroundings,
    show: Show,
    say: Callable[[str], None],
    stop: StopRequest,
    is_replaced: bool,
) -> Path:
    """The folder of a candidate's model, below the partial one of the ensemble."""
    name = f"{MEMBERS_FOLDER}/{name_of(candidate.number)}"
    place = partial_of(folder) / name
    for known in (place, folder / name):
        if _holds(known, candidate.experiment, data):
            say(f"Trial {candidate.number} is trained already.")
            if known != place:
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(known, place)
            return place
    shutil.rmtree(place, ignore_errors=True)
    with show(candidate) as display:
        train_to_folder(
            candidate.experiment,
            place,
            around,
            display.watch,
            display.say,
            stop,
            is_replaced,
            kept=candidate.kept,
        )
    return place


def _holds(place: Path, experiment: Experiment, data: DataSet) -> bool:
    """Whether a folder holds the model of this spec, data and code, trained by this version."""
    try:
        spec = (place / SPEC_FILE).read_text(encoding="utf-8")
        told = dict(metrics_document(place)["provenance"])
    except (HpoError, OSError, UnicodeError, KeyError, TypeError, ValueError):
        return False
    training = experiment.training
    expected = Provenance(
        library_versions(), "", data.fingerprint, code_of(training), weights_of(experiment)
    )
    wanted = {**expected.to_document(), "device": ""}
    return spec == dump_spec(experiment.document) and {**told, "device": ""} == wanted


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
