"""A trial is a filled-in spec: its hparams in the places of the leaves that they name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError

from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.marks import Spec, with_leaves
from hpo.spec.schema import default_of, leaves_at, may_vary, variants_of
from hpo.trial import HParams

S = TypeVar("S", bound=Spec)


def fill(training: Training, hparams: HParams, number: int) -> Training:
    """The training spec of trial `number`: `training` with its hparams filled in.

    Where a `name` changes, the spec's values stay for leaves that the new variant has, too. Its
    other leaves take their defaults. A choice over a whole part (`model`) replaces all of it.

    Raises:
        SpecError: for hparams that no space gives, as only an altered database has them.
    """
    cure = "put back a copy of the study"
    for path in hparams:
        if not _can_vary(type(training), path):
            raise SpecError([f"trial {number}: {path} cannot vary: {cure}."])
    values = filled(training.model_dump(exclude_unset=True), hparams, type(training))
    values["train"] = {**values.get("train", {}), "stream": number}
    try:
        return type(training).model_validate(values)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise SpecError([f"trial {number}: {where} cannot have its value: {cure}."]) from None


@cache
def _can_vary(spec: type[Spec], path: str) -> bool:
    """Whether a space can vary the leaf, or the whole part, at a dotted path of a training."""
    return any(leaf.is_tag or may_vary(leaf.owner, leaf.field) for leaf in leaves_at(spec, path))


def with_rows(training: S, rows: int) -> S:
    """`training` with the number of training rows where it says `data.batch_size: all`."""
    data = getattr(training, "data", None)
    if data is None or data.batch_size != "all":
        return training
    return with_leaves(training, {"data.batch_size": rows})


def filled(values: Mapping[str, Any], hparams: HParams, spec: type[Spec]) -> dict[str, Any]:
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
    inner = dict((values[name] if name in values else default_of(spec, name)) or {})
    values[name] = inner
    if rest == [variants.tag]:
        fields = variants.specs[value].model_fields if value in variants.specs else {}
        values[name] = {rest[0]: value} | {
            key: kept for key, kept in inner.items() if key in fields and key != rest[0]
        }
    elif (chosen := variants.chosen(inner)) is not None:
        _replace(chosen, inner, rest, value)
    elif len(rest) == 1:
        inner[rest[0]] = value  # refused with what is missing: a name


def _outer_first(path: str) -> tuple[int, bool]:
    # Whole parts before their leaves, and the name that chooses a variant before the rest of it.
    return path.count("."), not path.endswith(".name")
