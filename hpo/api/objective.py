"""Runs a Python function as a trial: `python -m hpo.api.objective train.py:objective FILE`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hpo.api.reporting import report


class TrialStopped(BaseException):
    """The study has stopped the trial; it passes through `except Exception`."""


class Trial:
    """What a function that takes `trial` may ask of it."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.number = int(os.environ["HPO_TRIAL"])
        self.checkpoint_dir = Path(os.environ["HPO_CHECKPOINT_DIR"])
        self.has_reported = self._is_stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def report(self, value: float, epoch: int | None = None) -> None:
        """Report the objective after an epoch.

        Raises:
            TrialStopped: where the study has asked the trial to end.
        """
        self.has_reported = True
        report(value, epoch)
        if self._is_stopped:
            raise TrialStopped

    def should_prune(self) -> bool:
        """Whether the study has asked the trial to end, as in Optuna."""
        return self._is_stopped

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        """The value that the study has chosen, as in Optuna; the space gives its range."""
        return float(self._value(name))

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        """The value that the study has chosen, as in Optuna; the space gives its range."""
        return int(self._value(name))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The value that the study has chosen, as in Optuna; the space gives its choices."""
        return self._value(name)

    def _value(self, name: str) -> Any:
        if name not in self.params:
            raise KeyError(f"{name} is not in the space of the study: add it there")
        return self.params[name]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopped = True


def main() -> None:
    """Call the function that the command line names with the values of its file."""
    text, config = sys.argv[1:3]
    values = json.loads(Path(config).read_text())
    trial = Trial(values)
    try:
        function = _function(text)
        names = inspect.signature(function).parameters
        given = {"trial": trial} if "trial" in names else {}
        is_asked = [*names] == ["trial"]  # it asks for its values, as an objective of Optuna
        value = function(**given, **({} if is_asked else values))
        if value is not None and not trial.has_reported:
            report(value)
    except TrialStopped:
        sys.exit(128 + signal.SIGTERM)
    except BaseException as error:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        # Frames of this module tell a user nothing.
        shown = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, shown)
        sys.exit(1)


def _function(text: str) -> Callable[..., Any]:
    """The function of `train.py:objective` or `package.module:objective`, imported."""
    module, _, name = text.rpartition(":")
    if not module.endswith(".py"):
        found: Any = importlib.import_module(module)
    else:
        file = Path(module).expanduser().resolve()
        sys.path.insert(0, str(file.parent))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
