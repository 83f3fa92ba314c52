"""Points that the user knows and wants tried first: `search.start`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hpo.space import SearchSpace, as_given, can_give, identity
from hpo.spec.file.document import Mistake
from hpo.spec.fill import filled
from hpo.spec.marks import Spec
from hpo.spec.schema import value_at
from hpo.spec.words import range_of, shown, unknown_name
from hpo.trial import HParam, HParams


def start_points(
    space: SearchSpace,
    values: Mapping[str, Any],
    written: Sequence[Mapping[str, Any]],
    root: type[Spec],
) -> tuple[HParams, ...]:
    """The points that a spec wants tried first, as hparams.

    What a point does not give is the spec's own value, in `values`, where its dimension has that,
    and else left out, to be drawn. So `{}` is the spec as it stands.
    """
    return tuple(_point(space, values, point, root)[0] for point in written)


def start_mistakes(
    space: SearchSpace,
    values: Mapping[str, Any],
    written: Sequence[Mapping[str, Any]],
    root: type[Spec],
) -> list[Mistake]:
    """What is wrong with points that a spec wants tried first."""
    found: list[Mistake] = []
    before: set[Hashable] = set()
    for index, point in enumerate(written):
        at = ("search", "start", index)
        wrong = [
            Mistake((*at, path), text)
            for path, value in point.items()
            if (text := _trouble(space, path, value)) is not None
        ]
        found += wrong
        if wrong:
            continue
        hparams, is_whole = _point(space, values, point, root)
        idle = [path for path in point if path not in hparams]
        if idle and is_whole:
            when = space.by_path[idle[0]].when
            assert when is not None
            text = f"is not active in this point, where {when.path} has another value: remove it"
            found.append(Mistake((*at, idle[0]), text))
        elif is_whole:
            broken = space.broken_rule(space.completed(hparams))
            if broken is not None:
                text = f"is forbidden by '{broken.text}': correct it or remove it"
                found.append(Mistake(at, text))
            elif identity(dict(point)) in before:
                found.append(Mistake(at, "is listed twice: remove one"))
        before.add(identity(dict(point)))
    return found


def _trouble(space: SearchSpace, path: str, value: HParam) -> str | None:
    if path in {derived.path for derived in space.derived}:
        return "is derived, and follows from the others: remove it"
    if path not in space.by_path:
        close = unknown_name(path, space.by_path, "dimension")
        return f"is not a dimension of the space: {close}"
    distribution = space.by_path[path].distribution
    if can_give(distribution, value):
        return None
    return f"{shown(value)} is not among its values: write {range_of(distribution)}"


def _point(
    space: SearchSpace, values: Mapping[str, Any], point: Mapping[str, Any], root: type[Spec]
) -> tuple[dict[str, HParam], bool]:
    """The hparams that a point settles, and whether it settles all."""
    hparams: dict[str, HParam] = {}
    is_whole = True
    for dimension in space.dimensions:
        path, distribution = dimension.path, dimension.distribution
        if not is_whole and dimension.when is not None and dimension.when.path not in hparams:
            if path in point:
                hparams[path] = as_given(distribution, point[path])
        elif space.is_active(dimension, hparams):
            if path in point:
                hparams[path] = as_given(distribution, point[path])
                continue
            try:
                own = value_at(root, filled(values, hparams, root), path)
            except KeyError:
                own = ...
            own = list(own) if isinstance(own, tuple) else own
            if own is not ... and can_give(distribution, own):
                hparams[path] = as_given(distribution, own)
            else:
                is_whole = False
    return hparams, is_whole
