"""The training that makes a trained model smaller: its own spec, from its weights, compressed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hpo import registry
from hpo.data.head import inspect_data
from hpo.data.remote import url_of
from hpo.engine.models.abstract import build, is_kernel, shapes_of
from hpo.engine.training.compression.packing import leaves
from hpo.errors import HpoError, SpecError
from hpo.spec.code.own_code import code_sections
from hpo.spec.experiment import Experiment, Training
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.spec.words import shown
from hpo.trained.load import TrainedModel, data_fingerprint, metrics_document, read_spec
from hpo.trained.model import load_model
from hpo.trained.save import CODE_FOLDER, ENSEMBLE_FILE, SplitMetrics
from hpo.trained.weights import read_weights, weight_bytes

# How many bits a weight has that is not rounded.
WHOLE = 32
_MOST_BITS = 8
# Parts of `train` that span or judge the epochs of the first training, or say how its study ran it.
_LEFT_OUT = ("until", "keep", "early_stop", "schedules", "changes", "varying", "merged")


class Wanted(NamedTuple):
    """How small a model is made, and how it trains for that.

    `sparsity` is the share of its weights that are cut, one by one or by `unit`. A model that has
    as many zeros keeps these. The others have
    `bits` bits, and what its layers read has `activation_bits`. With `has_teacher` it learns the
    answers that it gave before, too. `epochs`, `learning_rate`, `activation_bits` and the `rank` of
    hidden layers are those of its first training where they are None. With 0 epochs no weight
    learns: the rows of the training are read once, for the ranges of what layers read.
    """

    sparsity: float
    unit: str
    bits: int
    has_teacher: bool
    epochs: int | None
    learning_rate: float | None
    rank: int | None = None
    activation_bits: int | None = None


class Compressed(NamedTuple):
    """A model before and after: the bytes of its weights, and its metrics by split.

    `is_comparable` says whether both were judged on the same rows. `model` is the smaller one.
    """

    bytes_before: int
    bytes_after: int
    before: SplitMetrics
    after: SplitMetrics
    is_comparable: bool
    model: TrainedModel

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        from hpo.trained.save import plain_splits

        return {
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
            "metrics": {"before": plain_splits(self.before), "after": plain_splits(self.after)},
            "same_rows": self.is_comparable,
        }


def compressing(
    folder: Path,
    wanted: Wanted,
    home: Path | None,
    device: str | None = None,
    *,
    is_trusted: bool = False,
) -> Experiment:
    """The training that makes the model in a folder smaller.

    Its data are looked for in the working folder, beside the model, and in the downloads of `home`.

    Raises:
        HpoError: for a folder without such a model, and for data that are not there.
    """
    document = smaller_document(folder, wanted)
    why: list[str] = []
    wrong: list[SpecError] = []
    for start in (starts := (Path(), folder.parent, folder / CODE_FOLDER)):
        path = url_of(folder) or os.path.relpath(folder, start)
        named = _named(document, path, has_teacher=wanted.has_teacher)
        try:
            experiment = load_document(named, start)
        except SpecError as error:
            why.append(str(error.mistakes[0]))
            wrong.append(error)
            continue
        training: Any = experiment.training
        if not isinstance(training, Training):
            raise _without_a_model(folder)
        if (codes := [one.python for _, one in code_sections(training)]) and not is_trusted:
            raise HpoError(
                f"{folder}: its spec runs {codes[0]}, code of your own: add --trust-code."
            )
        mistakes = inspect_data(training.data, start, home).mistakes
        if not mistakes:
            if wanted.rank is not None:
                _check_rank(folder, wanted.rank, device, is_trusted=is_trusted)
            return replace(experiment, is_stored=True)
        why.append(mistakes[0].text)
    # Mistakes that are the same wherever the data are looked for are not about the data.
    if len(wrong) == len(starts) and len({str(error) for error in wrong}) == 1:
        raise wrong[0]
    raise HpoError(
        f"{folder}: cannot train as its spec says ({why[0]:.200}): run this in the folder where "
        "its data are."
    )


def smaller_document(folder: Path, wanted: Wanted) -> dict[str, Any]:
    """The spec of a model's folder as plain values, with what makes the model smaller.

    Neither the folder to start from nor that of a teacher is named yet.

    Raises:
        HpoError: for a folder without a model that can be trained further.
    """
    bits = wanted.bits
    if not (2 <= bits <= _MOST_BITS or bits == WHOLE):
        raise HpoError(
            f"--bits {bits}: a weight has 2 to {_MOST_BITS} bits, or {WHOLE}: give another."
        )
    if (folder / ENSEMBLE_FILE).is_file():
        raise HpoError(f"{folder}: holds an ensemble: compress each of its models.")
    values = read_spec(folder)
    if not isinstance(values.get("model"), Mapping):
        raise _without_a_model(folder)
    data, train, optimizer = (_section(values, name) for name in ("data", "train", "optimizer"))
    if data.get("folds") and "refit_epochs" in metrics_document(folder):
        raise HpoError(
            f"{folder}: was trained with --refit, so it has seen all rows that would validate: "
            "train it without, or train it compressed, with the section compression."
        )
    if values.get("privacy"):
        raise HpoError(
            f"{folder}: was trained with privacy, of which another training spends more: train it "
            "compressed instead, with the section compression."
        )
    train = {name: value for name, value in train.items() if name not in _LEFT_OUT}
    if optimizer.get("name") != _WITHOUT_SCHEDULE:
        optimizer["schedule"] = {"name": "cosine"}
    if wanted.learning_rate is not None:
        optimizer["learning_rate"] = wanted.learning_rate
    model = dict(values["model"])
    if wanted.epochs is not None:
        train["epochs"] = wanted.epochs
    if wanted.epochs == 0:
        _check_at_rest(wanted)
        values = {name: value for name, value in values.items() if name not in _OF_LEARNING}
        values["updates"] = {"freeze": ["*"]}
        optimizer = {"name": "sgd", "learning_rate": 1.0}
        train = {name: train[name] for name in _OF_ANSWERS if name in train} | {"epochs": 1}
        for name in ("dropout", "stochastic_depth"):
            model.pop(name, None)
    if wanted.rank is not None:
        name, known = model.get("name", "model of your own"), _models_with_a_rank()
        if name not in known:
            have = f"{', '.join(known[:-1])} and {known[-1]}"
            raise HpoError(
                f"--rank {wanted.rank}: {have} have a rank, not {shown(name)}: leave it out."
            )
        model["rank"] = wanted.rank
    return {
        **values,
        "model": model,
        "optimizer": optimizer,
        "compression": _compression(folder, values, wanted),
        "train": train,
    }


def _check_rank(folder: Path, rank: int, device: str | None, *, is_trusted: bool) -> None:
    """Refuse a rank by which the layers of a model have no fewer weights.

    Raises:
        HpoError: for such a rank.
    """
    model = load_model(folder, device, is_trusted=is_trusted)
    own, shapes = model.training.model, shapes_of(model.program)

    def kernels_of(spec: Any) -> dict[str, int]:
        params = leaves(build(spec, shapes).params)
        return {name: one.size for name, one in params if is_kernel(name, one)}

    kernels = [kernels_of(spec) for spec in (own, with_leaves(own, {"rank": rank}))]
    products = {name.removesuffix(_LEFT) for sizes in kernels for name in sizes if _LEFT in name}
    before, after = (
        sum(size for name, size in sizes.items() if _FACTOR.sub("", name) in products)
        for sizes in kernels
    )
    if after < before:
        return
    if products:
        text = (
            f"the hidden layers would have {after:,} weights, and have {before:,}: give a smaller"
        )
        raise HpoError(f"--rank {rank}: {text} rank, or leave it out.")
    least = kernels_of(with_leaves(own, {"rank": 1}))
    if any(_LEFT in name for name in least):
        raise HpoError(f"--rank {rank}: gives no layer fewer weights: give a smaller rank.")
    raise HpoError(
        f"--rank {rank}: no rank gives a layer of this model fewer weights: leave it out."
    )


def _models_with_a_rank() -> list[str]:
    """The models of hpo whose layers may be products of two arrays."""
    entries = {name: entry for name, entry in registry.MODELS.items() if not entry.is_own}
    return sorted(
        name for name, entry in entries.items() if "rank" in registry.load(entry.spec).model_fields
    )


def _without_a_model(folder: Path) -> HpoError:
    return HpoError(
        f"{folder}: its spec has no section model, as that of a task of your own has none: give "
        "the folder of another model."
    )


# Its average is judged, so its rate may not fall.
_WITHOUT_SCHEDULE = "schedule_free"
# Sections that change examples or weights while a model learns.
_OF_LEARNING = ("augment", "sampling", "attack", "updates")
# Parts of `train` that say how answers are computed and judged.
_OF_ANSWERS = ("seed", "seeds", "judged_by", "stream", "precision", "metrics", "threshold")
# What follows the name of a layer in those of its arrays; of a product of two, the first factor's.
_FACTOR, _LEFT = re.compile(r"(/left|/right)?/kernel$"), "/left/kernel"


def _check_at_rest(wanted: Wanted) -> None:
    """Refuse what needs weights that learn.

    Raises:
        HpoError: which names it.
    """
    if wanted.sparsity:
        raise HpoError(
            "--epochs 0: where weights are cut, the others have to learn again: give --sparsity 0, "
            "or leave out --epochs."
        )
    if wanted.has_teacher:
        raise HpoError("--epochs 0: without an epoch nothing learns from --teacher: leave it out.")
    if wanted.learning_rate is not None:
        raise HpoError("--epochs 0: without an epoch there is no --learning-rate: leave it out.")


_PARAMS = "params/"


def _has_as_many(folder: Path, values: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether weights of a model are cut already, as many as are wanted in each run."""
    sparsity = _section(_section(values, "compression"), "sparsity")
    model = values["model"]
    if sparsity.get("name", "none") == "none" or wanted.rank not in (None, model.get("rank")):
        return False
    # Single zeros are no units that are cut.
    if wanted.sparsity and wanted.unit == "unit" != sparsity.get("unit"):
        return False
    kernels = [
        [
            one
            for name, one in arrays.items()
            if name.startswith(_PARAMS) and is_kernel(name.removeprefix(_PARAMS), one)
        ]
        for arrays in read_weights(folder, str(folder)).runs.values()
    ]
    shares = [
        sum(int((one == 0).sum()) for one in run) / sum(one.size for one in run) for run in kernels
    ]
    return 0 < min(shares) >= wanted.sparsity


def _compression(folder: Path, values: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The section of this name; what the layers of the model have learnt to read stays."""
    found: dict[str, Any] = {}
    activations = _section(_section(values, "compression"), "activations")
    if wanted.activation_bits is not None:
        activations["bits"] = wanted.activation_bits
    if activations:
        found["activations"] = activations
    if _has_as_many(folder, values, wanted):
        found["sparsity"] = {"name": "kept"}
    elif wanted.sparsity:
        found["sparsity"] = {"name": "magnitude", "share": wanted.sparsity, "unit": wanted.unit}
    if wanted.bits != WHOLE:
        found["weights"] = {"name": "integer", "bits": wanted.bits, "scales": "channel"}
    return found


def _named(document: Mapping[str, Any], path: str, *, has_teacher: bool) -> dict[str, Any]:
    """A spec whose model starts from the folder of that path, and learns its answers."""
    compression = document["compression"]
    if has_teacher:
        compression = {**compression, "teacher": {"from": path}}
    return {
        **document,
        "model": {**document["model"], "from": path},
        "compression": compression,
    }


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def before_and_after(before: Path, after: Path, *, trusts_code: bool = False) -> Compressed:
    """The models in two folders, of which the second is the first one compressed."""
    models = TrainedModel.read(before), TrainedModel.read(after)
    return Compressed(
        weight_bytes(before),
        weight_bytes(after),
        models[0].metrics,
        models[1].metrics,
        data_fingerprint(before) == data_fingerprint(after),
        replace(models[1], trusts_code=trusts_code),
    )
