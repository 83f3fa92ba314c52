"""The rows that validate a model, as they are read: neither encoded nor scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpo.data.load import fold_rows, parted, read_source
from hpo.data.sequences.language import text_parts
from hpo.data.sequences.series import in_time_order, series_of
from hpo.data.source import Source
from hpo.spec.sections.data import DataSpec


def validation_rows(spec: DataSpec, folder: Path, home: Path | None) -> Source:
    """The examples of the validation split, or those of all folds.

    Those of a series are in the order of their times.

    Raises:
        DataError: if the data are missing, broken or unfit.
    """
    source, series = read_source(spec, folder, home), series_of(spec)
    if series is not None:
        source = in_time_order(source, series)
    if source.is_text:
        return source.take(text_parts(spec, source)[1])
    if spec.folds:
        return source.take(np.sort(fold_rows(spec, source).rows))
    return parted(spec, source)[1]
