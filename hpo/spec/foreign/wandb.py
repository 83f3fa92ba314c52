"""A sweep of W&B as a spec that runs the same script."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo.errors import HpoError
from hpo.spec.foreign.translation import Translation
from hpo.spec.words import shown

_SAMPLERS = {"random": "random", "grid": "grid", "bayes": "auto"}
_TRIALS, _EPOCHS = 50, 27
_READ = {
    *("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap"),
    *("name", "description"),
}
# Where its values are in a command of W&B, as one word or as several.
_ARGUMENTS = {
    "${args}": "--{path}={{{name}}}",
    "${args_no_boolean_flags}": "--{path}={{{name}}}",
    "${args_no_hyphens}": "{path}={{{name}}}",
}
_WORDS = {"${interpreter}": "python", "${args_json_file}": "{config}", "${args_json}": "{config}"}


def from_wandb(sweep: Mapping[str, Any]) -> Translation:
    """The spec of a sweep.

    Raises:
        HpoError: for a sweep without parameters.
    """
    found = Translation()
    if not isinstance(sweep.get("parameters"), Mapping) or not sweep["parameters"]:
        raise HpoError("--from: has no parameters, so it is no sweep of W&B: give its YAML file.")
    values: dict[str, Any] = {}
    space: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for path, entry in _parameters(sweep["parameters"], ""):
        name = re.sub(r"\W", "_", path, flags=re.ASCII).lstrip("_0123456789") or "value"
        while name in paths:
            name += "_"
        paths[name] = path
        _put(found, name, path, entry, values, space)
    command: dict[str, Any] = {"run": _command(found, sweep, paths)}
    if values:
        command["values"] = values
    found.document = {"name": _name(sweep), "command": command}
    search = _search(found, sweep)
    if not space:
        found.lost.append("parameters: none varies, so there is nothing to search")
    found.document |= {"space": space, "search": search}
    for key in sweep.keys() - _READ:
        found.lost.append(f"{key}: has no place in a spec")
    return found


def _name(sweep: Mapping[str, Any]) -> str:
    name = str(sweep.get("name") or "sweep")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "sweep"


def _parameters(entries: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parameters by their paths; those of a group have its name before theirs."""
    for name, entry in entries.items():
        path = f"{prefix}{name}"
        if not isinstance(entry, Mapping):
            raise HpoError(
                f"--from: parameters.{path}: is {shown(entry)}: write value: or values:."
            )
        if isinstance(entry.get("parameters"), Mapping):
            yield from _parameters(entry["parameters"], f"{path}.")
        else:
            yield path, entry


def _put(
    found: Translation,
    name: str,
    path: str,
    entry: Mapping[str, Any],
    values: dict[str, Any],
    space: dict[str, Any],
) -> None:
    """Put a parameter among the values or into the space."""
    if "value" in entry:
        values[name] = entry["value"]
        return
    if "values" in entry:
        if "probabilities" in entry:
            found.lost.append(f"parameters.{path}.probabilities: all values are equally likely")
        space[name] = {"choice": list(entry["values"])}
        return
    try:
        space[name] = _range(found, path, entry)
    except (KeyError, TypeError, ValueError, OverflowError):
        text = f"parameters.{path}: {shown(dict(entry))}: no range of hpo says this"
        found.lost.append(f"{text}; it is left out")


def _range(found: Translation, path: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A range of numbers; raises for one that none of ours says."""
    kind = entry.get("distribution") or (
        "int_uniform" if _are_whole(entry["min"], entry["max"]) else "uniform"
    )
    is_quantized, plain = kind.startswith("q_"), kind.removeprefix("q_")
    if plain in ("normal", "log_normal"):
        mean, spread = float(entry.get("mu", 0)), float(entry.get("sigma", 1))
        low, high = mean - 2 * spread, mean + 2 * spread
        found.lost.append(f"parameters.{path}: {kind}: a range of two deviations stands for it")
        if plain == "log_normal":
            low, high = math.exp(low), math.exp(high)
    elif plain == "log_uniform":  # its ends are exponents of e
        low, high = math.exp(entry["min"]), math.exp(entry["max"])
    elif plain in ("uniform", "int_uniform", "log_uniform_values"):
        low, high = entry["min"], entry["max"]
    else:
        raise ValueError(kind)
    is_log = plain.startswith("log")
    if plain == "int_uniform":
        return {"int": [int(low), int(high)]}
    ends: dict[str, Any] = {"float": [float(low), float(high)]}
    if is_log:
        ends["log"] = True
    if is_quantized:
        step = entry.get("q", 1)
        if is_log:
            found.lost.append(f"parameters.{path}.q: a range of a logarithm has no steps")
        elif _are_whole(step, low, high) and (high - low) % step == 0:
            return {"int": [int(low), int(high)], "step": int(step)}
        else:
            steps = math.floor((float(high) - float(low)) / float(step) + 1e-9)
            return {"float": [float(low), float(low) + steps * float(step)], "step": float(step)}
    return ends


def _are_whole(*numbers: Any) -> bool:
    return all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)


def _command(found: Translation, sweep: Mapping[str, Any], paths: Mapping[str, str]) -> list[str]:
    """The words of the command, in which `{name}` stands for a value."""
    written = sweep.get("command", ["${interpreter}", "${program}", "${args}"])
    words: Sequence[Any] = shlex.split(written) if isinstance(written, str) else written
    program = sweep.get("program")
    if program is None and "${program}" in words:
        found.lost.append("program: is missing: correct train.py in command.run")
    run: list[str] = []
    for word in map(str, words):
        if word == "${env}":
            continue
        if word == "${program}":
            run.append(str(program or "train.py"))
        elif word in _ARGUMENTS:
            run += [_ARGUMENTS[word].format(path=path, name=name) for name, path in paths.items()]
        elif word.startswith("${") and word not in _WORDS:
            found.lost.append(f"command: {word}: has no place in a spec")
        else:
            run.append(_WORDS.get(word, word))
        if word == "${args_json}":
            found.lost.append("command: ${args_json}: the script gets the name of a JSON file")
    return run


def _search(found: Translation, sweep: Mapping[str, Any]) -> dict[str, Any]:
    """The section `search`, and the epochs that it needs."""
    method = str(sweep.get("method", "random"))
    if method not in _SAMPLERS:
        found.lost.append(f"method: {method}: hpo picks a sampler")
    metric = sweep.get("metric") or {}
    if "name" not in metric:
        found.lost.append("metric: is missing: correct loss in search.objective")
    goal = "maximize" if metric.get("goal") == "maximize" else "minimize"
    search: dict[str, Any] = {
        "sampler": {"name": _SAMPLERS.get(method, "auto")},
        "objective": {goal: str(metric.get("name", "loss"))},
        "trials": int(sweep.get("run_cap") or _TRIALS),
    }
    found.comments["search.objective"] = "the script prints it, as in epoch=3 loss=0.31"
    if not sweep.get("run_cap"):
        found.comments["search.trials"] = "the sweep has no run_cap"
    if "target" in metric:
        search["stop"] = {"target": float(metric["target"])}
    early = sweep.get("early_terminate")
    if not isinstance(early, Mapping):
        search["scheduler"] = {"name": "none"}
        return search
    eta = max(2, int(early.get("eta", 3)))
    least = int(early.get("min_iter", 1))
    epochs = int(early.get("max_iter", 0))
    search["scheduler"] = {"name": "hyperband", "min_epochs": least, "eta": eta}
    if not epochs:
        epochs = max(_EPOCHS, least * eta**2)
        found.comments["train.epochs"] = "the sweep does not say it: how many results a run reports"
    found.document["train"] = {"epochs": epochs}
    for key in early.keys() - {"type", "min_iter", "max_iter", "eta"}:
        found.lost.append(f"early_terminate.{key}: has no place in a spec")
    return search
