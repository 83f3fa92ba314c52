"""One model of the mean weights of the best trials: `hpo ensemble --soup`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.ensemble import metrics_on
from hpo.errors import HpoError
from hpo.spec.code.own_model import OwnModel
from hpo.spec.experiment import Experiment, Training
from hpo.spec.marks import with_leaves
from hpo.spec.sections.goal import Objective
from hpo.spec.sections.models.pretrained import FROM, folder_of
from hpo.study.backends.pretrained import weights_of
from hpo.study.ensembles.rows import Candidate, Rows
from hpo.trained.calibration import calibrated
from hpo.trained.card import card_of
from hpo.trained.description import Description
from hpo.trained.ensembles.soup import greedy_soup, mean_weights
from hpo.trained.ensembles.write import Ensembled
from hpo.trained.model import Model
from hpo.trained.save import CARD_FILE, MODEL_FILE, SplitMetrics, Trained, save_trained

# Parts of `model` that change its training, or the first weights that it would draw.
_CHANCES = ("dropout", "stochastic_depth")
_OF_TRAINING = (*_CHANCES, "norm_momentum", "remat", "init", "init_scale", "init_gain")


def check_soup(candidates: Sequence[Candidate]) -> None:
    """Refuse trials whose weights have no useful mean, before any is trained.

    Raises:
        HpoError: for trials that do not start from the same weights, or have others than one run.
    """
    starts = []
    for candidate in candidates:
        number, experiment = candidate.number, candidate.experiment
        training = experiment.training
        where, folder = f"--soup: trial {number}", folder_of(training.model)
        if folder is None:
            raise HpoError(
                f"{where} draws its first weights, and only models that start from the same ones "
                "have a mean: search with model: {from: FOLDER}, or leave --soup out."
            )
        if training.compression.packs:
            raise HpoError(
                f"{where} has compressed weights; their mean would not be compressed: leave "
                "--soup out."
            )
        if training.train.seeds > 1 or training.data.folds:
            raise HpoError(f"{where} has several seeds or folds: leave --soup out.")
        starts.append((number, weights_of(experiment)[folder], _structure(training)))
    first = starts[0]
    for number, start, structure in starts:
        if start != first[1]:
            text = "starts from other weights"
        elif structure != first[2]:
            text = "has another model"
        else:
            continue
        raise HpoError(
            f"--soup: trial {number} {text} than trial {first[0]}: give a smaller --top, or a "
            "study whose space leaves the model alone."
        )


def _structure(training: Training) -> dict[str, Any]:
    """What decides the function of a model beside its weights."""
    model = with_leaves(training.model, {FROM.partition(".")[2]: None})
    plain = model.model_dump(mode="json")
    if not isinstance(model, OwnModel):  # in which any name may mean anything
        plain = {name: value for name, value in plain.items() if name not in _OF_TRAINING}
    activations = training.compression.activations
    return {**plain, "activations": (activations.name, activations.bits, activations.top)}


def souped(
    candidates: Sequence[Candidate],
    models: Sequence[Model],
    objective: Objective,
    rows: Rows,
    *,
    is_plain: bool,
) -> tuple[Ensembled, Any]:
    """The soup of the candidates' models, beside the winner alone, and its weights."""
    numbers = [one.number for one in candidates]
    judge, members = models[0], [jax.device_get(one.members[0].weights) for one in models]

    def judged(places: Sequence[int], split: Split) -> dict[str, float]:
        weights = mean_weights([members[place] for place in places])
        return metrics_on(judge.program, judge.training, weights, rows.data, split)

    def loss_of(places: Sequence[int]) -> float:
        found, metric = judged(places, rows.splits["validation"]), objective.metric
        return objective.loss(found[metric]) if metric in found else found["loss"]

    soups = {
        f"trial {numbers[0]}": [0],
        "mean of weights": [*range(len(members))],
        "greedy soup": greedy_soup(len(members), loss_of),
    }
    compared: dict[str, SplitMetrics] = {
        name: {split: judged(places, own) for split, own in rows.splits.items()}
        for name, places in soups.items()
    }
    kept = "mean of weights" if is_plain else "greedy soup"
    weights = mean_weights([members[place] for place in soups[kept]])
    found = calibrated(judge.program, judge.training, [weights], rows.data)
    shares = {
        number: (place in soups[kept]) / len(soups[kept]) for place, number in enumerate(numbers)
    }
    made = Ensembled(candidates[0].experiment.name, shares, compared, kept)
    if found is not None:
        made = replace(made, temperature=found.temperature, calibration=found.errors)
    return made, weights


def check_features(numbers: Sequence[int], datas: Sequence[DataSet]) -> None:
    """Refuse trials, by their numbers, whose data sets make their features in other ways.

    Raises:
        HpoError: for such trials.
    """
    fits = [one.transform.to_arrays() for one in datas]
    for number, fit in zip(numbers, fits, strict=True):
        if fit.keys() != fits[0].keys() or not all(
            np.array_equal(fit[name], fits[0][name]) for name in fit
        ):
            raise HpoError(
                f"--soup: trial {number} makes its features otherwise than trial {numbers[0]}: "
                "give a smaller --top, or leave --soup out."
            )


def save_soup(
    folder: Path,
    made: Ensembled,
    weights: Mapping[str, Any],
    experiment: Experiment,
    rows: Rows,
    provenance: Mapping[str, Any],
) -> None:
    """Write the folder of a soup, as that of a single model with the spec of the winner.

    `souped` in its provenance has the numbers of the trials.
    """
    data, description = rows.data, Description.of(rows.data)
    trained = Trained(
        made.metrics,
        (),
        made.seconds,
        classes=data.classes,
        temperature=made.temperature,
        calibration=made.calibration,
    )
    texts = {
        MODEL_FILE: json.dumps(description.to_plain()) + "\n",
        CARD_FILE: card_of(made.name, description, trained, data.fingerprint),
    }
    save_trained(
        folder,
        experiment,
        {experiment.training.train.seed: weights},
        trained,
        {**provenance, "souped": [*made.members]},
        {"all": data.transform.to_arrays()},
        texts,
    )
