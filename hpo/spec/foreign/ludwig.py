"""A config of Ludwig as parts of a spec for a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from hpo.errors import HpoError
from hpo.registry import OPTIMIZERS
from hpo.spec.foreign.translation import Translation
from hpo.spec.sections.models.parts import Activation, Norm
from hpo.spec.words import shown

_TYPES: dict[str, dict[str, Any]] = {
    "number": {},
    "numerical": {},
    "category": {"type": "category"},
    "binary": {},
    "text": {"type": "text"},
    "date": {"type": "date"},
}
_TASKS = {
    "category": "classification",
    "binary": "classification",
    "number": "regression",
    "numerical": "regression",
}
_METRICS = {
    "accuracy": "accuracy",
    "loss": "loss",
    "roc_auc": "auroc",
    "root_mean_squared_error": "rmse",
    "mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "r2": "r2",
}
_LEAVES = {
    "trainer.learning_rate": "optimizer.learning_rate",
    "trainer.batch_size": "data.batch_size",
    "trainer.optimizer.type": "optimizer.name",
    "trainer.optimizer.weight_decay": "optimizer.weight_decay",
    "trainer.optimizer.momentum": "optimizer.momentum",
    "combiner.dropout": "model.dropout",
    "combiner.activation": "model.activation",
}
_SCHEDULERS = {
    "async_hyperband": "asha",
    "asynchyperband": "asha",
    "hyperband": "hyperband",
    "median_stopping_rule": "median",
    "fifo": "none",
}
_SAMPLERS = {
    "variant_generator": "random",
    "random": "random",
    "hyperopt": "tpe",
    "optuna": "tpe",
    "skopt": "gp",
}
_READ = {
    *("input_features", "output_features", "trainer", "training", "combiner", "preprocessing"),
    *("hyperopt", "model_type"),
}


def from_ludwig(config: Mapping[str, Any]) -> Translation:
    """The parts of a spec that a config says: targets, columns, training and search.

    Raises:
        HpoError: for a config without output features.
    """
    found = Translation()
    outputs = config.get("output_features") or []
    if not outputs:
        raise HpoError("--from: has no output_features, so it is no config of Ludwig.")
    for feature in outputs:
        found.targets.append(str(feature["name"]))
        if feature.get("type") not in _TASKS:
            found.lost.append(f"output_features.{feature['name']}: {feature.get('type')}: no task")
    if len(outputs) == 1 and outputs[0].get("type") in _TASKS:
        found.document["task"] = _TASKS[outputs[0]["type"]]
    for feature in config.get("input_features") or ():
        _feature(found, feature)
    _trainer(found, config.get("trainer") or config.get("training") or {})
    _combiner(found, config.get("combiner") or {})
    _split(found, (config.get("preprocessing") or {}))
    if config.get("hyperopt"):
        _hyperopt(found, config["hyperopt"])
    for key in config.keys() - _READ:
        found.lost.append(f"{key}: has no place in a spec")
    return found


def _feature(found: Translation, feature: Mapping[str, Any]) -> None:
    name, kind = str(feature["name"]), str(feature.get("type"))
    if kind not in _TYPES:
        found.lost.append(f"input_features.{name}: {kind}: no type of a column; it is left out")
        return
    found.features.append(name)
    if _TYPES[kind]:
        found.types[name] = _TYPES[kind]
    for key in feature.keys() - {"name", "type", "column"}:
        found.lost.append(f"input_features.{name}.{key}: has no place in a spec")


def _trainer(found: Translation, trainer: Mapping[str, Any]) -> None:
    for key, value in trainer.items():
        if key == "epochs":
            found.document.setdefault("train", {})["epochs"] = int(value)
        elif key == "learning_rate" and isinstance(value, int | float):
            found.document.setdefault("optimizer", {})["learning_rate"] = float(value)
        elif key == "batch_size" and isinstance(value, int):
            found.document.setdefault("data", {})["batch_size"] = value
        elif key == "optimizer" and isinstance(value, Mapping) and value.get("type") in OPTIMIZERS:
            found.document.setdefault("optimizer", {})["name"] = value["type"]
        else:
            found.lost.append(f"trainer.{key}: {shown(value)}: has no place in a spec")


def _combiner(found: Translation, combiner: Mapping[str, Any]) -> None:
    model: dict[str, Any] = {}
    layers = combiner.get("fc_layers")
    if isinstance(layers, list):
        model["widths"] = [int(layer.get("output_size", 256)) for layer in layers]
    elif "num_fc_layers" in combiner:
        model["widths"] = [int(combiner.get("output_size", 256))] * int(combiner["num_fc_layers"])
    for key, value in combiner.items():
        if key == "type" and value != "concat":
            found.lost.append(f"combiner.type: {value}: an mlp stands for it")
        elif key == "dropout":
            model["dropout"] = float(value)
        elif (key == "activation" and value in get_args(Activation)) or (
            key == "norm" and value in get_args(Norm)
        ):
            model[key] = value
        elif key not in ("type", "fc_layers", "num_fc_layers", "output_size"):
            found.lost.append(f"combiner.{key}: {shown(value)}: has no place in a spec")
    if model:
        found.document["model"] = model


def _split(found: Translation, preprocessing: Mapping[str, Any]) -> None:
    split = preprocessing.get("split") or {}
    data = found.document.setdefault("data", {})
    shares = split.get("probabilities") or preprocessing.get("split_probabilities")
    if shares:
        data["validation"], data["test"] = float(shares[1]), float(shares[2])
    match split.get("type", "random"):
        case "datetime":
            data["split"] = {"time": str(split["column"])}
        case "random" | "stratify":
            pass  # a random split keeps the shares of classes
        case other:
            found.lost.append(f"preprocessing.split.type: {other}: rows are drawn at random")
    for key in preprocessing.keys() - {"split", "split_probabilities"}:
        found.lost.append(f"preprocessing.{key}: has no place in a spec")


def _hyperopt(found: Translation, hyperopt: Mapping[str, Any]) -> None:
    space: dict[str, Any] = {}
    for path, entry in (hyperopt.get("parameters") or {}).items():
        leaf = _LEAVES.get(path.removeprefix("training.") if path not in _LEAVES else path)
        range_ = _range(entry) if leaf is not None else None
        if leaf is None or range_ is None:
            found.lost.append(
                f"hyperopt.parameters.{path}: {shown(entry)}: no leaf or range of hpo"
            )
        else:
            space[leaf] = range_
    if space:
        found.document["space"] = space
    search: dict[str, Any] = {}
    metric = str(hyperopt.get("metric", "loss"))
    if metric in _METRICS:
        goal = "maximize" if hyperopt.get("goal") == "maximize" else "minimize"
        search["objective"] = {goal: _METRICS[metric]}
    else:
        found.lost.append(f"hyperopt.metric: {metric}: no metric of hpo")
    executor = hyperopt.get("executor") or {}
    if "num_samples" in executor:
        search["trials"] = int(executor["num_samples"])
    if "time_budget_s" in executor:
        search["timeout"] = float(executor["time_budget_s"])
    for name, known, written in (
        ("scheduler", _SCHEDULERS, executor.get("scheduler")),
        ("sampler", _SAMPLERS, hyperopt.get("search_alg")),
    ):
        kind = written.get("type") if isinstance(written, Mapping) else None
        if kind in known:
            search[name] = {"name": known[kind]}
        elif kind is not None:
            found.lost.append(f"hyperopt {name}: {kind}: hpo picks one")
    found.document["search"] = search


def _range(entry: Any) -> dict[str, Any] | None:
    """A range in the words of a spec; None for one that it cannot say."""
    kind = entry.get("space") if isinstance(entry, Mapping) else None
    if kind in ("choice", "grid_search"):
        values = entry.get("categories", entry.get("values"))
        return {"choice": list(values)} if values else None
    if kind not in ("uniform", "loguniform", "randint", "quniform", "qrandint"):
        return None
    low, high = entry["lower"], entry["upper"]
    match kind:
        case "uniform":
            return {"float": [float(low), float(high)]}
        case "loguniform":
            return {"float": [float(low), float(high)], "log": True}
        case "randint":
            return {"int": [int(low), int(high) - 1]}  # the upper end is not drawn
        case "qrandint":
            return {"int": [int(low), int(high)], "step": int(entry.get("q", 1))}
    return {"float": [float(low), float(high)], "step": float(entry.get("q", 1))}
