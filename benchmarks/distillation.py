"""What a teacher gains: small models that learn its answers, beside the same without a teacher.

    .venv/bin/python -m benchmarks.distillation digits
    .venv/bin/python -m benchmarks.distillation self
    .venv/bin/python -m benchmarks.distillation masks

Each side has the same seeds. Prints the mean of each, and the gain of a seed over the same seed
without a teacher, each with an interval of 95 % by Student's t. In `self` a model has the shape of
its teacher. `masks` are those of `configs/segmentation.yaml`. `--set match=both,weight=0.3`
tries other values, and may be repeated; `--epochs` and `--teacher-epochs` train for longer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import hpo
from benchmarks.recipes import interval

ROOT = Path(__file__).resolve().parents[1]


class Case(NamedTuple):
    """A spec, the model of the teacher, that of the students, their metric and their seeds."""

    spec: Mapping[str, Any]
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]
    metric: str
    seeds: int


DIGITS = {
    "data": {"dataset": "digits", "validation": 0.2, "test": 0.3, "batch_size": 32},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "train": {"epochs": 30},
}
SMALL = {"name": "mlp", "widths": [8]}
CASES = {
    "digits": Case(DIGITS, {"name": "cnn", "filters": [16, 32], "dense": 64}, SMALL, "accuracy", 5),
    "self": Case(DIGITS, SMALL, SMALL, "accuracy", 5),
    "masks": Case(
        {
            "data": {
                "dataset": {"python": "shapes.py:draw"},
                "validation": 0.2,
                "test": 0.2,
                "batch_size": 16,
            },
            "optimizer": {
                "name": "adamw",
                "learning_rate": 0.01,
                "schedule": {"name": "cosine"},
            },
            "train": {"epochs": 15},
        },
        {"name": "unet", "filters": 16, "depth": 2, "norm": "batch"},
        {"name": "unet", "filters": 4, "depth": 2, "norm": "batch"},
        "iou",
        3,
    ),
}


def values_of(case: Case, folder: Path, **parts: Any) -> dict[str, list[float]]:
    """The metric of each seed, by split, of a model that is trained in `folder`."""
    hpo.train({"name": folder.name, **case.spec, **parts}, folder, quiet=True)
    document = json.loads((folder / "metrics.json").read_text())
    runs = [*document["seeds"].values()] if "seeds" in document else [document["metrics"]]
    return {split: [run[split][case.metric] for run in runs] for split in ("validation", "test")}


def values_in(text: str) -> dict[str, float | str]:
    """The leaves of a teacher, as `match=both,weight=0.3` names them."""
    pairs = (part.split("=") for part in text.split(",") if part)
    return {name: value if name == "match" else float(value) for name, value in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--set", action="append", type=values_in, dest="settings")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--teacher-epochs", type=int)
    arguments = parser.parse_args()
    case = CASES[arguments.case]
    os.chdir(ROOT / "configs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usual = case.spec["train"]["epochs"]
        longer = {"epochs": arguments.teacher_epochs or usual}
        teacher = values_of(case, folder / "teacher", model=case.teacher, train=longer)
        train = {"epochs": arguments.epochs or usual, "seeds": case.seeds}
        plain = values_of(case, folder / "plain", model=case.student, train=train)
        for place, numbers in enumerate(arguments.settings or [{}]):
            part = {"teacher": {"from": str(folder / "teacher"), **numbers}}
            taught = values_of(
                case,
                folder / f"taught-{place}",
                model=case.student,
                train=train,
                compression=part,
            )
            for split in ("validation", "test"):
                gain = [b - a for a, b in zip(plain[split], taught[split], strict=True)]
                rows = {"plain": plain[split], "taught": taught[split], "gain": gain}
                told = {name: interval(row) for name, row in rows.items()}
                print(json.dumps({**numbers, "split": split, "teacher": teacher[split][0], **told}))


if __name__ == "__main__":
    main()
