"""The examples in a file of the user's own, with targets, as those of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpo.data.dataset import DataSet
from hpo.data.new.arrays import TARGET, new_arrays
from hpo.data.new.reading import new_table
from hpo.data.new.table import new_examples, with_targets
from hpo.data.sequences.windows import Windows
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec


def labelled(where: str, file: str, folder: Path, data: DataSet, spec: DataSpec) -> Source:
    """The examples in a file that the leaf `where` names, read as the training rows were.

    A table has the columns of the training data; an NPZ file has arrays `x` and `y`; a folder of
    images has a folder for each class.

    Raises:
        DataError: for a file that is missing, broken or unfit, and for series and the like.
    """
    features, path = data.features, folder / Path(file).expanduser()
    has_one = features.is_table or (features.shape and data.train.y.ndim == 1)
    if isinstance(data.train.shared, Windows) or not has_one:
        raise DataError(
            f"{where}: is for rows of a table, and for images and arrays with one target each: "
            "remove it."
        )
    if features.is_table:
        table = new_table(path, spec, [column.name for column in features.texts])
        source = new_examples(table, features)
    else:
        is_resized = getattr(spec.dataset, "size", None) is not None
        source, table = new_arrays(path, features, is_resized=is_resized)
        features = replace(features, targets=(TARGET,))
    if not features.targets:
        raise DataError(f"{where}: the target of this data set has no name: remove it.")
    return with_targets(source, table, features, data.classes, data.task)
