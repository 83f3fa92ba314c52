"""What compression costs in accuracy: models of the digits by each section, with 5 seeds.

    .venv/bin/python -m benchmarks.compression

Prints the mean accuracy on test with an interval of 95 % by Student's t, and the mean shares of
zeros among weights and among activations on validation.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hpo
from benchmarks.recipes import interval

SPEC: dict[str, Any] = {
    "name": "small",
    "data": {"dataset": "digits", "validation": 0.2, "test": 0.3, "batch_size": 32},
    "model": {"name": "mlp", "widths": [64]},
    "optimizer": {"name": "adamw", "learning_rate": 0.003, "schedule": {"name": "cosine"}},
    "train": {"epochs": 30, "seeds": 5, "metrics": ["activation_sparsity", "sparsity"]},
}
_PRUNED = {"name": "magnitude", "share": 0.9, "begin": 0.2, "end": 0.5}
SECTIONS: list[dict[str, Any]] = [
    {},
    *({"activations": {"bits": bits}} for bits in (8, 4, 3, 2)),
    *({"activations": {"name": "learned", "bits": bits}} for bits in (8, 4, 3, 2)),
    *({"activations": {"top": top}} for top in (0.5, 0.25, 0.1)),
    *({"activations": {"l1": l1}} for l1 in (0.001, 0.01, 0.1)),
    *({"weights": {"name": "integer", "bits": bits}} for bits in (4, 3, 2)),
    *({"weights": {"name": "learned", "bits": bits}} for bits in (4, 3, 2)),
    {"sparsity": _PRUNED},
    *({"sparsity": {**_PRUNED, "rewind": rewind}} for rewind in (0.0, 0.1, 0.3)),
]


# Sections that are tried with a convolutional network, too.
CNN: dict[str, Any] = {"name": "cnn", "filters": [8, 16], "dense": 32, "norm": "batch"}
OF_CNN: list[dict[str, Any]] = [
    {},
    *(
        {"activations": {"name": name, "bits": bits}}
        for bits in (4, 2)
        for name in ("integer", "learned")
    ),
]


def measured(
    section: dict[str, Any], folder: Path, model: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The accuracy and the zeros of models with a section `compression`."""
    spec = {**SPEC, "compression": section, "model": model or SPEC["model"]}
    if section.get("weights", {}).get("name") == "learned":
        spec["updates"] = {"rates": {"step_sizes*": 0.1}}
    hpo.train(spec, folder, quiet=True)
    seeds = json.loads((folder / "metrics.json").read_text())["seeds"].values()
    zeros = {
        name: round(sum(run["validation"][name] for run in seeds) / len(seeds), 3)
        for name in SPEC["train"]["metrics"]
    }
    return {"accuracy": interval([run["test"]["accuracy"] for run in seeds]), **zeros}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for number, section in enumerate([*SECTIONS, *OF_CNN]):
            model = CNN if number >= len(SECTIONS) else SPEC["model"]
            found = measured(section, Path(name) / str(number), model)
            line = {"model": model["name"], "compression": section, **found}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
