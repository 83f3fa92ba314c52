"""What a study's results depend on, and whether a resume still continues the same study."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from hpo import __version__
from hpo.errors import StudyError
from hpo.space import same_value
from hpo.study.log.damage import as_damage

if TYPE_CHECKING:
    from hpo.study.storage.tables import (
        StudyRecord,
    )  # imports SQLAlchemy

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "optuna", "numpy")

# The key of a study's provenance, and of the notes of a start, that holds hashes of weights.
WEIGHTS = "weights"

_ROWS = "private_rows"
_MOST_TOLD = 5  # changes of a spec in a message

# Leaves that may change between the runs of a study: no trial's result depends on them.
HARMLESS = frozenset(
    {
        "command.stay",
        "data.device_budget",
        "search.baselines",
        "search.from",
        "search.keep_weights",
        "search.start",
        "search.trials",
        "search.timeout",
        "search.stop.target",
        "search.stop.no_improvement",
        "search.stop.epochs",
        "study.checkpoint_seconds",
        "study.storage",
        "train.form",
        "train.lanes",
    }
)
_ABSENT = object()


@dataclass(frozen=True)
class Provenance:
    """The versions, device, data, own code and trained models behind a study's results.

    `device` is in words. `code` holds the hash of each file of the user's code, by the reference to
    it. `weights` holds that of the weights in each folder from which models start, by its name.
    `private_rows` are the training rows of a study with privacy, else 0.
    """

    versions: Mapping[str, str]
    device: str
    data_fingerprint: str
    code: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    private_rows: int = 0

    def to_document(self) -> dict[str, Any]:
        """The provenance as plain values."""
        return {
            "versions": dict(self.versions),
            "device": self.device,
            "data_fingerprint": self.data_fingerprint,
            **({"code": dict(self.code)} if self.code else {}),
            **({WEIGHTS: dict(self.weights)} if self.weights else {}),
            **({_ROWS: self.private_rows} if self.private_rows else {}),
        }

    @classmethod
    def of(cls, record: StudyRecord) -> Provenance:
        """The provenance that a study was stored with.

        Raises:
            DamagedError: for a study that lacks a part of it.
        """
        stored = record.provenance
        with as_damage(record.where, f"hpo_studies, study '{record.name}'"):
            parts = stored["versions"], stored["device"], stored["data_fingerprint"]
            rows = stored.get(_ROWS, 0)
            return cls(*parts, stored.get("code", {}), stored.get(WEIGHTS, {}), rows)


def library_versions() -> dict[str, str]:
    """The versions of hpo, Python and the libraries that results depend on; imports none."""
    versions = {"hpo": __version__, "python": platform.python_version()}
    return versions | dict(zip(_LIBRARIES, _installed(), strict=True))


@cache
def _installed() -> tuple[str, ...]:
    """The versions of the libraries, which stay those that the process has imported."""
    return tuple(metadata.version(name) for name in _LIBRARIES)


def differences(old: Provenance, new: Provenance) -> list[str]:
    """What has changed since the study began, a sentence for each change."""
    sentences = []
    for name in {**old.versions, **new.versions}:
        before, after = old.versions.get(name, "absent"), new.versions.get(name, "absent")
        if before != after:
            sentences.append(f"The study began with {name} {before} and continues with {after}.")
    if old.device != new.device:
        sentences.append(f"The study began on {old.device} and continues on {new.device}.")
    if old.data_fingerprint != new.data_fingerprint:
        sentences.append(
            "The data have changed since the study began: earlier results are not comparable."
        )
    for text, sha256 in new.code.items():
        if old.code.get(text, sha256) != sha256:
            sentences.append(f"{text} has changed since the study began.")
    return sentences


def check_weights(
    study: str, known: Iterable[Mapping[str, str]], weights: Mapping[str, str]
) -> None:
    """Refuse to go on where a folder from which models start holds other weights than before.

    `known` are the hashes of its weights with which the study began, and of each of its runs.

    Raises:
        StudyError: with the folder and both hashes.
    """
    for then in known:
        for name, sha256 in weights.items():
            if then.get(name, sha256) != sha256:
                raise StudyError(
                    f"study '{study}' began with other weights in {name} (sha256 {then[name][:8]}, "
                    f"now {sha256[:8]}): put those back, or start over with --new."
                )


def spec_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What differs between two spec documents: (harmless, refused) lines, `path: old -> new`.

    A change is harmless if no trial's result depends on it. That includes the number of trials: if
    more have been started, they are finished and no others start. It includes the space, because a
    trial keeps its hparams. The name is not compared, because a study may be renamed.
    """
    before, after = _leaves(old), _leaves(new)
    harmless: list[str] = []
    refused: list[str] = []
    for path in {**before, **after}:
        was, now = before.get(path, _ABSENT), after.get(path, _ABSENT)
        if path == "name" or _same(was, now):
            continue
        line = f"{path}: {_shown(was)} -> {_shown(now)}"
        is_harmless = path in HARMLESS or path.startswith("space.")
        (harmless if is_harmless else refused).append(line)
    old_space, new_space = list(old.get("space") or ()), list(new.get("space") or ())
    if old_space != new_space and sorted(old_space) == sorted(new_space):
        # The sampler draws in this order.
        harmless.append(f"space: order {', '.join(old_space)} -> {', '.join(new_space)}")
    return harmless, refused


def refusal(study: str, refused: list[str]) -> StudyError:
    """The error for resuming a study with a spec that would make its results incomparable."""
    rest = len(refused) - _MOST_TOLD
    more = f"; and {rest:,} more" if rest > 0 else ""
    return StudyError(
        f"study '{study}' began with another spec: start over with --new, give this one another "
        f"name (name: in the spec, --name of hpo run), or put back what differs: "
        f"{'; '.join(refused[:_MOST_TOLD])}{more}."
    )


def _leaves(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            leaves |= _leaves(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return same_value(one, other)


def _shown(value: Any) -> str:
    return "not given" if value is _ABSENT else json.dumps(value)
