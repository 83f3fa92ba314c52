"""Tiny commands for tests, and the settings and orders of those that run them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.study.executors.processes import Launch
from hpo.study.executors.seat import Settings

# Epochs from its checkpoint on; it waits for a file `go` where it is told to.
TRAINS = """
e=$(cat "$HPO_CHECKPOINT_DIR/e" 2>/dev/null || echo 0)
while [ $e -lt $HPO_EPOCHS ]; do
  e=$((e+1)); echo "epoch=$e loss=0.$e"
  echo $e > "$HPO_CHECKPOINT_DIR/new"; mv "$HPO_CHECKPOINT_DIR/new" "$HPO_CHECKPOINT_DIR/e"
done
"""


def settings(folder: Path, **parts: Any) -> Settings:
    return Settings(
        **{
            "folder": str(folder),
            "metrics": ["loss"],
            "grace": 5.0,
            "log_limit": 10**6,
            **parts,
        }
    )


def launch(folder: Path, script: str, epochs: int, **env: str) -> Launch:
    """A shell that runs a script in `folder`."""
    return launch_words(folder, ["sh", "-c", script], epochs, env)


def launch_words(folder: Path, argv: list[str], epochs: int, env: Mapping[str, str]) -> Launch:
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "HPO_FOLDER": str(folder),
        "HPO_CHECKPOINT_DIR": str(folder / "checkpoint"),
        "HPO_EPOCHS": str(epochs),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return Launch(
        argv=argv,
        env={**own, **env},
        cwd=str(folder),
        folder=str(folder),
        checkpoint=str(folder / "checkpoint"),
        files=[str(folder / "reported.jsonl")],
        epochs=epochs,
        shown="the script",
    )
