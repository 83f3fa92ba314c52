"""What a function that is a trial may ask of its study, as in Optuna. It imports little."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hpo.api.reporting import report
from hpo.distributions import Choice, Distribution, Float, Int, as_given, can_give


class TrialStopped(BaseException):
    """The study has stopped the trial; it passes through `except Exception`."""


class Trial:
    """What a function that takes `trial` may ask of it.

    A trial that `finds` the space of a study notes what is asked in that file, and ends at its
    first report.
    """

    def __init__(self, given: Mapping[str, Any], finds: str | None) -> None:
        self.params = dict(given)
        self.user_attrs: dict[str, Any] = {}
        self.number = int(os.environ["HPO_TRIAL"])
        self.checkpoint_dir = Path(os.environ["HPO_CHECKPOINT_DIR"])
        self.has_reported = self.is_stopped = False
        self._given, self._finds = dict(given), finds
        self._draws: dict[str, Any] = {}
        signal.signal(signal.SIGTERM, self._stop)

    def report(self, value: float, epoch: int | None = None, *, step: int | None = None) -> None:
        """Report the objective after an epoch, which Optuna calls `step`.

        Raises:
            TrialStopped: where the study has asked the trial to end.
        """
        self.has_reported = True
        report(value, step if epoch is None else epoch)
        if self._finds is not None:
            _add_line(Path(self._finds), {"reports": True})
        if self.is_stopped or self._finds is not None:
            raise TrialStopped

    def should_prune(self) -> bool:
        """Whether the study has asked the trial to end."""
        return self.is_stopped

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The number that the study has chosen."""
        _check(name, low, high)
        return self._value(name, Float(float(low), float(high), log, step))  # type: ignore[no-any-return]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """The whole number that the study has chosen."""
        _check(name, low, high)
        return self._value(name, Int(int(low), int(high), log, int(step)))  # type: ignore[no-any-return]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The one of `choices` that the study has chosen: anything that JSON can hold."""
        try:
            plain = [json.loads(json.dumps(choice)) for choice in choices]
        except (TypeError, ValueError) as error:
            text = f"suggest_categorical({name!r}): {error}: give names, and look up what they mean"
            raise TypeError(text) from None
        value = self._value(name, Choice(tuple(plain)))
        return choices[[json.dumps(one) for one in plain].index(json.dumps(value))]

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value of the trial's in the file `user_attrs.json` of its folder."""
        self.user_attrs[key] = value
        file = Path(os.environ["HPO_FOLDER"], "user_attrs.json")
        file.write_text(json.dumps(self.user_attrs, default=str))

    def _value(self, name: str, distribution: Distribution) -> Any:
        leaf = leaf_name(name)
        if self._finds is not None:
            asked = {"name": name, "leaf": leaf, "entry": entry_of(distribution)}
            _add_line(Path(self._finds), asked)
        for key in (name, leaf, f"{leaf}_"):
            if key in self._given and can_give(distribution, self._given[key]):
                self.params.pop(key, None)
                self.params[name] = as_given(distribution, self._given[key])
                return self.params[name]
        self.params[name] = self._drawn(name, leaf, distribution)
        return self.params[name]

    def _drawn(self, name: str, leaf: str, distribution: Distribution) -> Any:
        """A random value, for a call that the study has no value for."""
        if name in self._draws and can_give(distribution, self._draws[name]):
            return self._draws[name]
        # Drawn by the name, so that neither the order of calls nor a resume changes a value.
        draw = random.Random(f"{os.environ['HPO_STUDY_SEED']} {self.number} {name}")
        self._draws[name] = distribution.at(draw.random())
        if self._finds is None:
            _add_line(Path(os.environ["HPO_FOLDER"], "drawn.jsonl"), {leaf: self._draws[name]})
        return self._draws[name]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopped = True


def leaf_name(name: str) -> str:
    """The name of a value in a spec: with letters, digits and _ only, a letter first."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return plain if re.match(r"[A-Za-z]", plain) else f"p{plain}"


def entry_of(distribution: Distribution) -> dict[str, Any]:
    """A distribution as an entry of a spec's `space`."""
    if isinstance(distribution, Choice):
        values = list({json.dumps(value): value for value in distribution.values}.values())
        return {"choice": values} if len(values) > 1 else {"value": values[0]}
    if distribution.low == distribution.high:
        return {"value": distribution.low}
    kind = "int" if isinstance(distribution, Int) else "float"
    entry: dict[str, Any] = {kind: [distribution.low, distribution.high]}
    entry |= {"log": True} if distribution.log else {}
    is_stepped = distribution.step not in (None, 1) or (kind == "float" and distribution.step)
    return entry | ({"step": distribution.step} if is_stepped else {})


def _check(name: str, low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"{name}: low ({low}) is above high ({high})")


def _add_line(file: Path, value: Mapping[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(value) + "\n")
