"""`hpo.train`: one configuration trained in full, in a process of its own, kept in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.api.asking import SpecLike, experiment_of, override_texts, plain_spec
from hpo.api.stream import Stream, wait_for
from hpo.spec.load import require_single
from hpo.trained.load import TrainedModel, load

if TYPE_CHECKING:
    from hpo.study.kept.files import KeptTrial  # imports the database


def train(
    spec: SpecLike,
    folder: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    force: bool = False,
    refit: bool = False,
    quiet: bool = False,
    trust_code: bool = False,
) -> TrainedModel:
    """Train one configuration in full; keep weights, metrics and spec in `folder`, or at a URL.

    The training has a process of its own, so that this one may use JAX. Progress goes to
    stderr unless `quiet` is set. `force` replaces a model that the folder holds, or a stopped
    training of something else. `trust_code` runs code that has changed since the spec was exported.
    With `data.folds`, `refit` keeps one model of all rows. Ctrl-C stops the training, and no folder
    is written; the same call goes on from there.

    Raises:
        SpecError: for mistakes in the spec; its text has a line for each.
        HpoError: for a spec in which something varies, and anything else that the user can fix.
    """
    return trained(
        spec,
        folder,
        override_texts(overrides),
        device=device,
        force=force,
        refit=refit,
        quiet=quiet,
        trust_code=trust_code,
    )


def trained(
    spec: SpecLike,
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    device: str | None,
    force: bool,
    refit: bool,
    quiet: bool,
    trust_code: bool,
    kept: KeptTrial | None = None,
) -> TrainedModel:
    """The model that a child process trains as asked, or takes from the trial that was kept."""
    experiment = experiment_of(plain_spec(spec), overrides)
    require_single(experiment)
    request = {
        "command": "train",
        "spec": plain_spec(spec),
        "overrides": [*overrides],
        "folder": str(folder),
        "device": device,
        "force": force,
        "refit": refit,
        "quiet": quiet,
        "trust_code": trust_code,
        "kept": kept,
    }
    wait_for(Stream(request, experiment.name, None))
    return load(folder, trust_code=True)
