"""A trained model in memory: its members' weights and fits, ready to answer.

A folder holds arrays, JSON and YAML. Nothing in it is run, but for code of the user's own that its
spec names, and that only when asked.
"""

from __future__ import annotations

import math
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.data.files import check_unpacked
from hpo.data.sequences.series import series_of
from hpo.data.source import Source
from hpo.data.transforms.checking import check_fit, check_tokens, width_of
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.devices import local_devices
from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import Program, split
from hpo.engine.programs.memory import bytes_of_row
from hpo.engine.training.compression.inputs import without_added
from hpo.engine.training.compression.packing import leaves
from hpo.engine.training.ensemble import answering, mean_on_test, metrics_on
from hpo.engine.training.targets.sums import targets_of
from hpo.errors import HpoError
from hpo.registry import METRICS
from hpo.spec.code.own_code import code_sections
from hpo.spec.code.own_functions import OwnLoss
from hpo.spec.experiment import Training
from hpo.spec.fill import with_rows
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import with_leaves
from hpo.spec.sections.compression.quantisation import Weights
from hpo.spec.sections.data import DataSpec, TableFile, TextFile
from hpo.spec.words import shown
from hpo.trained.blocks import JUDGING, Blocks, rows_that_fit, told_where_exhausted
from hpo.trained.description import Description
from hpo.trained.kinds.series import judged, pasts
from hpo.trained.kinds.tokens import token_rows
from hpo.trained.load import TrainedModel, check_no_export, metrics_document, read_spec
from hpo.trained.save import (
    CODE_FOLDER,
    ENSEMBLE_FILE,
    MEMBERS_FOLDER,
    METRICS_FILE,
    SPEC_FILE,
    TRANSFORMS_FOLDER,
    WEIGHTS_FOLDER,
)
from hpo.trained.weights import holds_weights, restored_like

# Sections of a spec that say how a model was found, how examples changed in training, and how its
# weights became as they are.
_UNREAD = ("space", "search", "study", "augment", "sampling", "compression")
# Of compression.activations, what answers depend on.
_ANSWERING = ("name", "bits", "top")
_UNROUNDED = Weights()
# What arrays and numbers raise that hpo has not written.
_UNREADABLE = (ValueError, TypeError, IndexError, KeyError, AssertionError, OverflowError)
_MOST_TEMPERATURE = sys.float_info.max  # which a whole number of JSON may be above
# Rows that go through a model at once in the evaluation of a training, whose metrics are told.
JUDGED_ROWS = 512


class Member(NamedTuple):
    """One model of several, or the only one: its weights, its data set without rows, thresholds."""

    weights: Mapping[str, Any]
    data: DataSet
    thresholds: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model; the answers of several members are the mean of theirs.

    `temperature` is the one of its chances; 1 where none was fitted. `levels` are those that its
    weights have, as its training said: its `training` leaves them out, because nobody rounds again.
    """

    folder: Path
    training: Training
    description: Description
    members: tuple[Member, ...]
    program: Program
    temperature: float = 1.0
    levels: Weights = _UNROUNDED

    @cached_property
    def data(self) -> DataSet:
        """The data set without rows, by whose scale answers are told."""
        own = self.members[self.description.fold or 0].data
        return replace(own, folds=tuple(member.data for member in self.members))

    @property
    def series(self) -> TableFile | None:
        """The table of the series that it forecasts; None for other models."""
        return series_of(self.training.data)

    @property
    def thresholds(self) -> np.ndarray | None:
        """The chances above which labels are found: the mean of the members'; None without."""
        found = [one.thresholds for one in self.members if one.thresholds is not None]
        return np.mean(found, axis=0) if found else None

    def features(self, member: Member, source: Source) -> np.ndarray:
        """The features of some examples, as a member takes them.

        Those of a series are its windows, and those of a text its pieces.
        """
        if isinstance(self.training.data.dataset, TextFile):
            return self.split(member, source).arrays["x"]
        if self.series is not None:
            x = pasts(source, member.data.transform, self.series)
        else:
            x = member.data.transform.apply(source)
        shape = self.description.shape
        if x.shape[1:] == shape:
            return x
        # A fold whose training rows lack a text has fewer columns: zeros fill the last ones.
        if x.ndim != 2 or len(shape) != 1 or x.shape[1] > shape[0]:
            raise HpoError(
                f"{source.target}: an example has the shape {list(x.shape[1:])}, and the model "
                f"takes {list(shape)}: give data like those that it was trained on."
            )
        return np.pad(x, [(0, 0), (0, shape[0] - x.shape[1])])

    def predictions(self, source: Source, rows: int | None = None) -> np.ndarray:
        """Probabilities, or values in the targets' units, float64 `[N, ..., K]`.

        `rows` go through the model at once, by default as many as fit: see `blocks`. Probabilities
        are those of the network, without the temperature.
        """
        return self.mean_of(self.features_of(source), rows)

    def features_of(self, source: Source) -> list[np.ndarray]:
        """The features of some examples, as each of the members takes them."""
        return [self.features(member, source) for member in self.members]

    def mean_of(self, features: Sequence[np.ndarray], rows: int | None = None) -> np.ndarray:
        """The predictions for features, of each member its own; see `predictions`."""
        kind = targets_of(self.description.task, self.description.outputs)
        total: Any = 0.0
        for member, x in zip(self.members, features, strict=True):
            outputs = self.outputs(member, x, rows).astype(np.float64)
            total = total + kind.predictions(outputs, member.data)
        found: np.ndarray = total / len(self.members)
        return found

    def score(self, source: Source) -> dict[str, float]:
        """The metrics of the answers for examples with targets.

        Those of one model are evaluated as in training, to the bit on the same rows.

        Raises:
            DeviceError: where the memory is too small for that.
        """
        with told_where_exhausted(self.folder, JUDGING):
            return self._score(source)

    def _score(self, source: Source) -> dict[str, float]:
        datas = [replace(member.data, test=self.split(member, source)) for member in self.members]
        if len(self.members) == 1:
            (member,), (data,) = self.members, datas
            assert data.test is not None
            return self.metrics_on(member, data.test)
        own = replace(datas[self.description.fold or 0], folds=tuple(datas))
        weights = [member.weights for member in self.members]
        found = mean_on_test(self.program, self.training, weights, datas, own)
        if found is None:
            raise HpoError(f"{self.folder}: its members have no mean answer: train one model.")
        return found

    def metrics_on(self, member: Member, split: Split) -> dict[str, float]:
        """The metrics of one member on rows, evaluated as in training.

        Raises:
            DeviceError: where the memory is too small for that.
        """
        judged = self.program, self.training, member.weights, member.data, split
        with told_where_exhausted(self.folder, JUDGING):
            return metrics_on(*judged, member.thresholds)

    def split(self, member: Member, source: Source) -> Split:
        """Examples with targets, as a member takes them."""
        text = self.training.data.dataset
        if isinstance(text, TextFile):
            return token_rows(source, text, member.data.transform, self.description.outputs)
        if self.series is not None:
            x, y = judged(source, member.data.transform, self.series)
        else:
            x, y = self.features(member, source), member.data.transform.apply_target(source)
        return Split({"x": x, "y": y, **self._weight(source)})

    def judged(self, source: Source) -> Split:
        """The targets of examples, on the scale of `data`, and their weights.

        Features stand beside them where these take no memory, as those of a series or a text, and
        where a loss of the user's own may read them.
        """
        member = self.members[self.description.fold or 0]
        is_row = self.series is None and self.description.task != "language"
        if is_row and not isinstance(self.training.loss, OwnLoss):
            y = member.data.transform.apply_target(source)
            return Split({"y": y, **self._weight(source)})
        return self.split(member, source)

    def _weight(self, source: Source) -> dict[str, np.ndarray]:
        """The weights of examples on the scale of the training, by name; none without them."""
        if source.weight is None:
            return {}
        mean = self.description.features.weight_mean
        return {"weight": (source.weight / mean).astype(np.float32)}

    @cached_property
    def outputs_of(self) -> Any:
        """The compiled function from a member's weights and a batch of examples to outputs."""
        return answering(self.program, self.training)

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks in which rows go through the model; see `hpo.trained.blocks`."""
        rows = rows_that_fit(self.row_bytes, self.program.platform)
        return Blocks(self.outputs_of, rows, self.folder)

    @cached_property
    def row_bytes(self) -> int:
        """The bytes that a row takes in the widest layer; see `bytes_of_row`."""
        description, weights = self.description, self.members[0].weights
        return bytes_of_row(self.outputs_of, weights, description.shape, description.type)

    @cached_property
    def next_chances(self) -> Any:
        """The compiled function from a member's weights, a row of tokens `[1, T]` and a place in it
        to the chances of the next token.
        """
        outputs_of = self.outputs_of

        @jax.jit
        def chances(weights: Any, row: Any, place: Any) -> Any:
            # What follows a place changes nothing there, so a short prompt needs no row of its own.
            return jax.nn.softmax(outputs_of(weights, row)[0, place].astype(np.float32))

        return chances

    def outputs(self, member: Member, x: np.ndarray, rows: int | None = None) -> np.ndarray:
        """The outputs of a member for its features `[N, ...]`, float32 `[N, ..., K]`.

        Raises:
            DeviceError: where the memory is too small for a single row.
        """
        return self.blocks.outputs(member.weights, x, rows)


def load_model(folder: Path, device: str | None = None, *, is_trusted: bool = False) -> Model:
    """The model in a folder that `hpo train` wrote.

    Raises:
        HpoError: for another folder, one that is damaged, or code of the user's own in its spec
            unless `is_trusted`.
    """
    if (folder / ENSEMBLE_FILE).is_file():
        raise HpoError(
            f"{folder}: holds an ensemble: give the folder of one of its models, below "
            f"{folder / MEMBERS_FOLDER}."
        )
    check_no_export(folder)
    description = Description.read(folder)
    training = _training(folder, is_trusted=is_trusted)
    fits = {name: _fit(folder, name, training, description) for name in _fit_names(folder)}
    runs = _run_names(folder)
    datas = {name: description.data_of(fits[name]) for name in fits}
    of_runs = [datas.get(name) or datas.get("all") for name in runs]
    if not runs or None in of_runs or (description.fold or 0) >= len(runs):
        raise HpoError(f"{folder}: lacks files of its members: train the model again.")
    members = [one for one in of_runs if one is not None]
    whole = members[0] if len(fits) == 1 else of_folds(members)
    place = local_devices(device)[0]
    try:
        program, _ = split(training, whole, place.platform)
        shapes = abstract_model(program.of_its_own(training))
    except _UNREADABLE as error:
        raise _damaged(folder, error) from None
    expected = {"params": without_added(shapes.params), "variables": shapes.variables}
    thresholds = _thresholds(folder, runs, description)
    found = []
    for name, data in zip(runs, members, strict=True):
        checkpoint = folder / WEIGHTS_FOLDER / name if len(runs) > 1 else folder / WEIGHTS_FOLDER
        try:
            weights = restored_like(checkpoint, expected)
            _check_finite(weights)
        except (OSError, AttributeError, *_UNREADABLE) as error:
            raise _damaged(checkpoint, error) from None
        weights = jax.device_put(weights, place)
        found.append(Member(weights, data, thresholds.get(name)))
    more = temperature_of(folder), _levels(folder)
    return Model(folder, training, description, tuple(found), program, *more)


def _levels(folder: Path) -> Weights:
    """The levels of weights, as the spec of a folder says."""
    said = _part(_part(read_spec(folder), "compression"), "weights")
    try:
        return Weights.model_validate(said)
    except ValueError as error:
        raise _damaged(folder / SPEC_FILE, error) from None


def data_of_training(model: Model, *, is_trusted: bool) -> DataSpec:
    """The data section by which the rows of a model's training are read.

    Raises:
        HpoError: for rows from a function of the user's own, unless it `is_trusted`.
    """
    own = _part(_part(read_spec(model.folder), "data"), "dataset").get("python")
    if own is None:
        return model.training.data
    if not is_trusted:
        raise HpoError(
            f"{model.folder}: the rows of its training come from {own}, code of your own: give "
            f"rows in a file, or read {model.folder / CODE_FOLDER} and add --trust-code."
        )
    return _training(model.folder, is_trusted=True, reads_rows=True).data


def _training(folder: Path, *, is_trusted: bool, reads_rows: bool = False) -> Training:
    """The training of a model's spec, without what predicting does not read."""
    file = folder / SPEC_FILE
    values = read_spec(folder)
    if not isinstance(values.get("data"), Mapping):
        raise HpoError(f"{file}: is no spec of a model: give a folder that hpo train wrote.")
    kept = {name: value for name, value in values.items() if name not in _UNREAD}
    if isinstance(kept.get("model"), Mapping):
        kept["model"] = {name: one for name, one in kept["model"].items() if name != "from"}
    activations = _part(_part(values, "compression"), "activations")
    own_answers = {name: activations[name] for name in _ANSWERING if name in activations}
    kept |= {"compression": {"activations": own_answers}} if own_answers else {}
    if isinstance(kept.get("train"), Mapping):  # metrics of one's own are not computed again
        kept["train"] = {name: one for name, one in kept["train"].items() if name != "metrics"}
    own = kept["data"].get("dataset")
    if isinstance(own, Mapping) and "python" in own and not reads_rows:
        kept["data"] = {**kept["data"], "dataset": {"npz": "rows.npz"}}
    experiment = experiment_from_document(kept, folder / CODE_FOLDER, str(file))
    training = experiment.training
    if not isinstance(training, Training):
        raise HpoError(f"{file}: is no spec of a model: give a folder that hpo train wrote.")
    named = [section.python for _, section in code_sections(training)]
    if named and not is_trusted:
        raise HpoError(
            f"{folder}: its spec runs {named[0]}, code of your own: read it in "
            f"{folder / CODE_FOLDER}, then add --trust-code."
        )
    return with_leaves(with_rows(training, 1), {"train.metrics": _metric_names(folder)})


def _part(values: Any, name: str) -> Any:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _metric_names(folder: Path) -> tuple[str, ...]:
    """The metrics of hpo that training reported because its spec, or its search, named them."""
    validation = TrainedModel.read(folder).metrics.get("validation") or {}
    return tuple(name for name in sorted(validation) if name in METRICS and METRICS[name].is_named)


def _fit_names(folder: Path) -> list[str]:
    place = folder / TRANSFORMS_FOLDER
    found = sorted(place.glob("*.npz")) if place.is_dir() else []
    return [file.stem for file in found]


def _run_names(folder: Path) -> list[str]:
    """The names of the members' weights; one of its own if there is a single one."""
    place = folder / WEIGHTS_FOLDER
    if not place.is_dir():
        return []
    runs = [path.name for path in place.iterdir() if holds_weights(path)]
    # `fold-10` comes after `fold-9`.
    return sorted(runs, key=lambda name: [int(n) for n in re.findall(r"\d+", name)]) or ["all"]


def _fit(folder: Path, name: str, training: Training, description: Description) -> FittedTransform:
    """The fit in a file of arrays, which fits the examples of the description."""
    file = folder / TRANSFORMS_FOLDER / f"{name}.npz"
    try:
        with zipfile.ZipFile(file) as archive:
            check_unpacked(file, sum(one.file_size for one in archive.infolist()))
        with np.load(file, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
        if description.task == "language":  # whose texts have no columns
            return check_tokens(held, description.outputs)
        fit = check_fit(held, description.features, math.prod(description.shape))
        if series_of(training.data) is None:  # a window holds the features of several rows
            found = width_of(fit, description.features)
            if found != description.shape:
                raise ValueError(f"makes {list(found)} features, not {list(description.shape)}")
        return fit
    except (OSError, *_UNREADABLE, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(file, error) from None


def _check_finite(weights: Any) -> None:
    for name, array in leaves(weights):
        if jnp.issubdtype(array.dtype, jnp.inexact) and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite, as a diverged training's")


def _thresholds(
    folder: Path, runs: Sequence[str], description: Description
) -> dict[str, np.ndarray]:
    """What `train.threshold` chose for each run, by the name of its files."""
    found = metrics_document(folder).get("thresholds", {})
    count = description.outputs if description.task == "multilabel" else 1
    try:
        named = {
            (f"seed-{key}" if key.isdecimal() else key): np.array([*own], np.float64)
            for key, own in found.items()
        }
        named = named if len(named) != 1 else {"all": next(iter(named.values()))}
        if named and named.keys() != {*runs}:
            raise ValueError("has thresholds of other runs")
        for own in named.values():
            if own.shape != (count,) or not ((own >= 0) & (own <= 1)).all():
                raise ValueError(f"has the thresholds {own.tolist()}")
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder / METRICS_FILE, error) from None
    return named


def temperature_of(folder: Path) -> float:
    """The temperature that was fitted; 1 without."""
    found = metrics_document(folder).get("temperature", 1.0)
    is_number = isinstance(found, float | int) and not isinstance(found, bool)
    if not is_number or not 0 < found <= _MOST_TEMPERATURE:
        wrong = ValueError(f"has the temperature {shown(found)}")
        raise _damaged(folder / METRICS_FILE, wrong)
    return float(found)


def _damaged(place: Path, error: Exception) -> HpoError:
    why = " ".join(str(error).split()) or type(error).__name__
    return HpoError(f"{place}: is damaged ({why:.200}): train the model again.")
