"""A trial is a filled-in spec: its hparams in the places of the leaves that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.experiment import Training
from hpo.spec.marks import Spec, with_leaves
from hpo.spec.schema import default_of, variants_of
from hpo.trial import HParams


def fill(training: Training, hparams: HParams, number: int) -> Training:
    """The training spec of trial `number`: `training` with its hparams filled in.

    Where a `name` changes, the spec's values stay for leaves that the new variant has, too. Its
    other leaves take their defaults. A choice over a whole part (`model`) replaces all of it.
    """
    values = filled(training.model_dump(exclude_unset=True), hparams, type(training))
    values["train"] = {**values["train"], "stream": number}
    return type(training).model_validate(values)


def with_rows(training: Training, rows: int) -> Training:
    """`training` with the number of training rows where it says `data.batch_size: all`."""
    if training.data.batch_size != "all":
        return training
    return with_leaves(training, {"data.batch_size": rows})


def filled(
    values: Mapping[str, Any], hparams: HParams, spec: type[Spec] = Training
) -> dict[str, Any]:
    """Plain values of a spec with the leaves at these dotted paths replaced, unchecked."""
    result = dict(values)
    for path in sorted(hparams, key=_outer_first):
        _replace(spec, result, path.split("."), hparams[path])
    return result


def _replace(spec: type[Spec], values: dict[str, Any], path: list[str], value: Any) -> None:
    name, *rest = path
    variants = variants_of(spec, name)
    if not rest or variants is None:
        values[name] = value
        return
    inner = dict(values[name] if name in values else default_of(spec, name))
    values[name] = inner
    if rest == [variants.tag]:
        fields = variants.specs[value].model_fields if value in variants.specs else {}
        values[name] = {rest[0]: value} | {
            key: kept for key, kept in inner.items() if key in fields and key != rest[0]
        }
    elif (chosen := variants.chosen(inner)) is not None:
        _replace(chosen, inner, rest, value)


def _outer_first(path: str) -> tuple[int, bool]:
    # Whole parts before their leaves, and the name that chooses a variant before the rest of it.
    return path.count("."), not path.endswith(".name")
