"""The rows that validate a model, as they are read: neither encoded nor scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpo.data.load import fold_rows, parted, read_source
from hpo.data.source import Source
from hpo.spec.sections.data import DataSpec


def validation_rows(spec: DataSpec, folder: Path, home: Path | None) -> Source:
    """The examples of the validation split, or those of all folds.

    Raises:
        DataError: if the data are missing, broken or unfit.
    """
    source = read_source(spec, folder, home)
    if spec.folds:
        return source.take(np.sort(fold_rows(spec, source).rows))
    return parted(spec, source)[1]
