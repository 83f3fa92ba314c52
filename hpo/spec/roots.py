"""The spec class of a document's training: another class where code of the user's is named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import create_model

from hpo.spec.experiment import FileSections, SpecFile, Training
from hpo.spec.marks import Spec
from hpo.spec.schema import variants_of

# A training's spec class. Its leaves may vary; `train` says how long a trial trains.
Root: TypeAlias = type[Spec]


def root_of(values: Any, folder: Path) -> Root:
    """The class of the training that a document describes; relative paths start at `folder`.

    No code of the user's runs.
    """
    if not isinstance(values, Mapping):
        return Training
    return Training


@cache
def file_of(root: Root) -> type[Any]:
    """The class of a whole spec file with such a training."""
    if root is Training:
        return SpecFile
    return create_model("SpecFile", __base__=(FileSections, root), __doc__=SpecFile.__doc__)


def train_of(root: Root) -> Root:
    """The class of its section `train`, which has at least epochs, seed, seeds and stream."""
    variants = variants_of(root, "train")
    assert variants is not None, "every training has a section train"
    return next(iter(variants.specs.values()))
