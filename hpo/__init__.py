"""Hyperparameter tuning for JAX: many trials train as lanes of one XLA program.

`search` runs a study and gives back a `Study`; `Study` also opens one that exists:

    study = hpo.search("configs/digits.yaml", trials=30)
    study.best.value, study.best.hparams
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo import registry
    from hpo.api.functions.decorator import Choice, Float, Int, objective
    from hpo.api.models.compressing import compress
    from hpo.api.models.exporting import bench, export_model
    from hpo.api.reporting import report
    from hpo.api.searching import resume, search
    from hpo.api.study import Study, studies
    from hpo.api.training import train
    from hpo.errors import DataError, DeviceError, HpoError, SpecError, StudyError
    from hpo.trained.load import TrainedModel, load

__version__ = "0.3.0"

__all__ = [
    "Choice",
    "DataError",
    "DeviceError",
    "Float",
    "HpoError",
    "Int",
    "SpecError",
    "Study",
    "StudyError",
    "TrainedModel",
    "bench",
    "compress",
    "export_model",
    "load",
    "objective",
    "registry",
    "report",
    "resume",
    "search",
    "studies",
    "train",
]

# The module that defines each name, or is it; it is imported when the name is first used.
_HOMES = {
    **dict.fromkeys(("objective", "Float", "Int", "Choice"), "hpo.api.functions.decorator"),
    **dict.fromkeys(("search", "resume"), "hpo.api.searching"),
    **dict.fromkeys(("Study", "studies"), "hpo.api.study"),
    "report": "hpo.api.reporting",
    "train": "hpo.api.training",
    "compress": "hpo.api.models.compressing",
    **dict.fromkeys(("bench", "export_model"), "hpo.api.models.exporting"),
    **dict.fromkeys(("TrainedModel", "load"), "hpo.trained.load"),
    "registry": "hpo.registry",
    **dict.fromkeys(
        ("DataError", "DeviceError", "HpoError", "SpecError", "StudyError"), "hpo.errors"
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute '{name}'")
    module = import_module(_HOMES[name])
    value = globals()[name] = getattr(module, name, module)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Door(ModuleType):
    """Keeps `hpo.search` the function, although there is a package of that name.

    Import from that package as `from hpo.search.auto import picked`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets a package as an attribute of the one that it lies in.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
