"""The privacy section of a spec: training that keeps a single row from showing in the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpo.registry import SCHEDULERS
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Knob, Positive, Spec
from hpo.spec.registered import needs_of

if TYPE_CHECKING:
    from hpo.space import SearchSpace
    from hpo.spec.experiment import Training
    from hpo.spec.sections.search import SearchSpec

_Chance = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class Privacy(Spec):
    """Clipped gradients of single rows and noise (DP-SGD), which bound what weights tell of a row.

    Off by default; it needs both `clip` and `noise`.
    """

    clip: Knob[Positive | None] = None
    """Clip the gradient of each row to this Euclidean norm."""
    noise: Knob[Positive | None] = None
    """The standard deviation of the noise added to the sum of a batch, in units of `clip`."""
    delta: _Chance = 1.0e-5
    """The chance with which the bound `epsilon` may fail; well below 1 / rows."""

    @property
    def is_on(self) -> bool:
        """Whether a training is private."""
        return self.clip is not None and self.noise is not None


def privacy_mistakes(training: Training) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a private training does not go with, as (key path, sentence)."""
    privacy, updates = training.privacy, training.updates
    for leaf, other in (("clip", "noise"), ("noise", "clip")):
        if getattr(privacy, leaf) is None and getattr(privacy, other) is not None:
            yield ("privacy", leaf), f"is missing beside {other}: write both, or neither"
    if not privacy.is_on:
        return
    scheme = training.sampling
    refused = {
        ("model", "norm"): (
            getattr(training.model, "norm", None) == "batch",
            "batch mixes the rows of a batch, whose gradients must be apart: write layer or none",
        ),
        ("optimizer", "name"): (
            "gradient" in needs_of("optimizer", training.optimizer),
            f"{training.optimizer.name} reads losses or further gradients, which have no noise: "
            "use another optimizer",
        ),
        ("updates", "sam_radius"): (
            updates.sam_radius != 0,
            "takes two gradients a step, of which privacy counts one: remove it",
        ),
        ("sampling", "name"): (
            scheme.name != "uniform" or scheme.share < 1,
            "chooses rows, and privacy draws each row by itself: remove sampling",
        ),
        ("data", "folds"): (
            training.data.folds is not None,
            "is not counted by epsilon: remove it, or remove privacy",
        ),
        ("augment",): (
            getattr(training.augment, "reads_batches", False),
            "mixes rows, whose gradients must be apart: remove swap_noise and same_class",
        ),
        ("train", "precision"): (
            training.train.precision == "float16",
            "float16 skips steps by what rows say: write float32 or bfloat16",
        ),
        ("train", "changes"): (
            bool(training.train.changes),
            "is not counted by epsilon: remove it, or remove privacy",
        ),
    }
    for path, (is_wrong, text) in refused.items():
        if is_wrong:
            yield path, text


def private_search_mistakes(
    training: Training, search: SearchSpec, space: SearchSpace
) -> Iterator[Mistake]:
    """Schedulers whose trainings have a privacy that `epsilon` does not count."""
    varies = any(dimension.path.startswith("privacy.") for dimension in space.dimensions)
    name = search.scheduler.name
    if SCHEDULERS[name].changes_hparams and (varies or training.privacy.is_on):
        text = f"{name} copies weights between trials, which epsilon does not count"
        yield Mistake(("search", "scheduler", "name"), f"{text}: use another, or remove privacy")
