"""A look at a data set that a spec can name."""

from __future__ import annotations

from pathlib import Path

from hpo.data.download import DOWNLOADS
from hpo.data.overview.arrays import source_overview
from hpo.data.overview.formats.images import images_overview, look_at_idx
from hpo.data.overview.overview import Overview
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.registry import DATASETS, function
from hpo.spec.words import unknown_name


def look_at_named(name: str, home: Path | None) -> Overview:
    """What a data set of `hpo data list` holds.

    Raises:
        DataError: for an unknown name, or a data set that is not on this machine.
    """
    if name not in DATASETS:
        raise DataError(unknown_name(name, DATASETS, "data set"))
    if DATASETS[name].files:
        found = None if home is None else look_at_idx(home / name, name)
        if found is None:
            raise DataError(f"{name}: is not on this machine: run `hpo data get {name}`.")
        return images_overview(name, name, found.shape, dict(found.target.classes), has_test=True)
    source: Source = function("dataset", name)()
    return source_overview(name, name, source)


def downloaded(name: str, home: Path | None) -> str:
    """The first file of a download, as a path below HPO_DATA.

    Raises:
        DataError: for a data set that is not on this machine.
    """
    if home is None or not (home / name).is_dir():
        raise DataError(f"{name}: is not on this machine: run `hpo data get {name}`.")
    return f"{name}/{DOWNLOADS[name].files[0].name}"
