"""The study, the model and the files that faults are tried on: made once, and copied."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from tests.campaign.forked import Child, Ended, hpo, trouble
from tests.campaign.kills import Events, decisions, events_of, spec

# Another user, for a campaign that root runs: permissions do not hold root back.
OTHER_USER = 12345
IS_ROOT = os.geteuid() == 0

TABLE = "a,b,y\n" + "".join(
    f"{i % 7},{i % 5 / 2},{'red' if i % 3 else 'blue'}\n" for i in range(60)
)


def documents() -> dict[str, dict[str, Any]]:
    """The specs of a folder: a search, a table to check, and one configuration to train."""
    search = spec("random", "successive_halving")
    single = {key: search[key] for key in ("data", "model", "optimizer", "train")}
    table = {"dataset": {"csv": "table.csv", "target": "y"}, "batch_size": 8}
    return {
        "spec.yaml": search,
        "single.yaml": {"name": "single", **single},
        "table.yaml": {"name": "table", **single, "data": table},
    }


def write_inputs(place: Path) -> None:
    """Write the specs and the table into a folder."""
    for name, document in documents().items():
        (place / name).write_text(yaml.safe_dump(document, sort_keys=False))
    (place / "table.csv").write_text(TABLE)


@cache
def finished(root: Path) -> Path:
    """A folder with a finished study and a trained model; copy it, and leave it as it is."""
    place = root / "finished"
    place.mkdir()
    write_inputs(place)
    for command in (("search", "spec.yaml", "--quiet"), ("train", "single.yaml", "-o", "model")):
        if wrong := trouble(hpo(place, *command), codes=(0,)):
            raise SystemExit(f"hpo {' '.join(command)} fails without a fault: {wrong}")
    if not results(place):
        raise SystemExit("the finished study has no results to compare with")
    for file in place.glob(".out-*"):
        file.unlink()
    return place


def copy_finished(place: Path) -> None:
    """Fill a folder with a copy of the finished study and model."""
    shutil.copytree(finished(place.parent), place, dirs_exist_ok=True)


def results(place: Path) -> Events:
    """What the study in a folder has come to."""
    return decisions(events_of(place / "hpo.db"))


def model_results(model: Path) -> list[Any]:
    """What a trained model has come to: its metrics, its curve and the bits of its weights."""
    if not (model / "metrics.json").is_file():
        return ["there is no model"]
    document = json.loads((model / "metrics.json").read_text())
    read = Child(model.parent, partial(_print_weights, model.resolve())).wait()
    if read.code:
        return [f"the weights in {model} cannot be read: {read.err.strip()[-200:]}"]
    return [document["metrics"], document["curve"], read.out]


def _print_weights(model: Path) -> None:
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    weights = ocp.StandardCheckpointer().restore(model / "weights")
    for path, leaf in jax.tree_util.tree_leaves_with_path(weights):
        print(jax.tree_util.keystr(path), leaf.dtype, leaf.shape, np.asarray(leaf).tobytes().hex())


def exported(place: Path, command: tuple[str, ...], ended: Ended) -> str:
    """What `hpo export` gave, without the lines that say when and where."""
    file = place / "best.yaml"
    text = file.read_text() if "-o" in command else ended.out
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


@cache
def calm_export(root: Path) -> str:
    """What `hpo export` gives of the finished study."""
    ended = hpo(finished(root), "export", "flowers")
    if wrong := trouble(ended, codes=(0,)):
        raise SystemExit(f"hpo export fails without a fault: {wrong}")
    return exported(root, (), ended)


def give_away(place: Path, user: int = OTHER_USER) -> None:
    """Let all files of a folder belong to another user."""
    for path in (place, *place.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
