"""Spec classes by their variants and dotted paths, and the mistakes in values meant for them.

A *variant* is one of the specs that a field may hold. `optimizer` holds one for each optimizer,
chosen by its `name`. `data.dataset` holds one for each format, chosen by a key such as `csv`.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from hpo.errors import cut
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.marks import Names, Spec, mark_of
from hpo.spec.registered import annotation_of, registered
from hpo.spec.words import described, shown, unknown_name, wrong_value


@dataclass(frozen=True)
class Variants:
    """The specs that a field may hold, by the value of the key `tag` or by a key of their own."""

    tag: str | None
    specs: Mapping[str, type[Spec]]

    def chosen(self, value: Any) -> type[Spec] | None:
        """The spec that a mapping is meant for, or None where it does not say."""
        if not isinstance(value, Mapping):
            return None
        if self.tag is not None:
            name = value.get(self.tag)
            return self.specs.get(name) if isinstance(name, str) else None
        if len(self.specs) == 1:
            return next(iter(self.specs.values()))
        named = (spec for key, spec in self.specs.items() if key in value)
        return next(named, next((spec for spec in self.specs.values() if _needs_none(spec)), None))


@dataclass(frozen=True)
class Leaf:
    """One place where a dotted path leads: a field of a spec, and the variants on the way there."""

    owner: type[Spec]
    field: str
    variants: tuple[tuple[str, str], ...]

    @property
    def is_tag(self) -> bool:
        """Whether the field is the name that chooses a variant."""
        if not self.variants or self.variants[-1][0].rpartition(".")[2] != self.field:
            return False
        # Parts of a variant may have a name, too.
        return self.variants[-1][1] in get_args(self.owner.model_fields[self.field].annotation)


@cache
def variants_of(spec: type[Spec], field: str) -> Variants | None:
    """The variants of a field, or None where it holds a plain value."""
    if (chosen := registered(spec, field)) is not None:
        return Variants(chosen.tag, chosen.specs())
    info = spec.model_fields[field]
    return _variants(info.annotation, info.discriminator)


@cache
def item_variants(spec: type[Spec], field: str) -> Variants | None:
    """The variants of the items of a field that holds a mapping of names to variants, or None."""
    annotation = spec.model_fields[field].annotation
    item = get_args(annotation)[1] if is_mapping(annotation) else None
    if get_origin(item) is not Annotated:
        return None
    union, info = get_args(item)[:2]
    return _variants(union, getattr(info, "discriminator", None))


def _variants(annotation: Any, tag: Any) -> Variants | None:
    specs = [kind for kind in _members(annotation) if _is_spec(kind)]
    if not specs:
        return None
    if isinstance(tag, str):
        return Variants(
            tag,
            {name: kind for kind in specs for name in get_args(kind.model_fields[tag].annotation)},
        )
    return Variants(None, {next(iter(kind.model_fields), ""): kind for kind in specs})


@cache
def may_vary(spec: type[Spec], field: str) -> bool:
    """Whether a space can vary the values of a field: a leaf, or a part that has a name."""
    variants = variants_of(spec, field)
    return mark_of(spec, field) is not None or bool(variants and variants.tag)


@cache
def item_spec(spec: type[Spec], field: str) -> type[Spec] | None:
    """The spec of the items of a field that may hold a list of specs, or a mapping of names to
    specs; None for any other."""
    for kind in _members(spec.model_fields[field].annotation):
        listed = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(listed) is tuple and _is_spec(get_args(listed)[0]):
            return get_args(listed)[0]  # type: ignore[no-any-return]
        if is_mapping(listed) and _is_spec(get_args(listed)[1]):
            return get_args(listed)[1]  # type: ignore[no-any-return]
    return None


def is_mapping(annotation: Any) -> bool:
    """Whether a field takes a mapping of names."""
    return get_origin(annotation) is Mapping


@cache
def leaves_at(spec: type[Spec], path: str) -> tuple[Leaf, ...]:
    """Every place where a dotted path leads, one for each way of choosing variants."""
    return tuple(leaf for known, leaf in all_leaves(spec) if known == path)


@cache
def all_leaves(spec: type[Spec]) -> tuple[tuple[str, Leaf], ...]:
    """Every dotted path below a spec, in any variant, with where it leads."""
    return tuple(_below(spec, "", ()))


def place_of(
    spec: type[Spec], values: Mapping[str, Any], path: str
) -> tuple[type[Spec], str] | None:
    """The spec and field where a path leads in these values; None where they have no such field."""
    outer, _, field = path.rpartition(".")
    try:
        inner = value_at(spec, values, outer) if outer else values
    except KeyError:
        return None
    owner = _owner(spec, values, outer, inner)
    return (owner, field) if owner is not None and field in owner.model_fields else None


def value_at(spec: type[Spec], values: Mapping[str, Any], path: str) -> Any:
    """The value at a path, the default where the values leave it out.

    Raises:
        KeyError: where the variants that the values choose have no such field.
    """
    owner: type[Spec] | None = spec
    here: Any = values
    for name in path.split("."):
        if owner is None or name not in owner.model_fields:
            raise KeyError(path)
        variants = variants_of(owner, name)
        here = here[name] if name in here else default_of(owner, name)
        owner = None if variants is None else variants.chosen(here)
    return here


def default_of(spec: type[Spec], field: str) -> Any:
    """The default of a field as a plain value; an empty mapping where it has none."""
    info = spec.model_fields[field]
    default = {} if info.is_required() else info.get_default(call_default_factory=True)
    return default.model_dump(exclude_unset=True) if isinstance(default, Spec) else default


def spec_mistakes(spec: type[Spec], value: Any, path: KeyPath = ()) -> list[Mistake]:
    """Every mistake in a value meant for a spec; none where the spec takes it."""
    if not isinstance(value, Mapping):
        return [Mistake(path, f"cannot be {shown(value)}: write a mapping such as {_shape(spec)}")]
    errors = field_errors(spec, value)
    found: list[Mistake] = []
    for key in value:
        if key not in spec.model_fields:
            found.append(Mistake((*path, key), _unknown_key(spec, key)))
    for name, info in spec.model_fields.items():
        variants = variants_of(spec, name)
        if name not in value:
            if info.is_required():
                found.append(Mistake((*path, name), _missing(spec, name)))
        elif (item := item_spec(spec, name)) and (items := _items(info.annotation, value[name])):
            for key, one in items:
                found += spec_mistakes(item, one, (*path, name, key))
        elif (of_items := item_variants(spec, name)) and (
            items := _items(info.annotation, value[name])
        ):
            for key, one in items:
                found += _variant_mistakes(spec, name, of_items, one, (*path, name, key))
        elif variants is not None:
            found += _variant_mistakes(spec, name, variants, value[name], (*path, name))
        elif name in errors:
            found.append(Mistake((*path, name), leaf_mistake(spec, name, value[name], errors)))
    if not found and errors:
        found.append(Mistake(path, next(iter(errors.values()))))
    return found


def field_errors(spec: type[Spec], value: Mapping[str, Any]) -> dict[str, str]:
    """The fields that a spec refuses, with what its own validators say ('' for no more)."""
    try:
        spec.model_validate(dict(value))
    except ValidationError as error:
        return {
            str(item["loc"][0]) if item["loc"] else "": str(item.get("ctx", {}).get("error", ""))
            for item in error.errors(include_url=False, include_input=False)
        }
    return {}


def leaf_mistake(spec: type[Spec], field: str, value: Any, errors: Mapping[str, str]) -> str:
    """The mistake in the value of one field that a spec refuses."""
    if errors[field]:
        return f"{shown(value)} {errors[field]}"
    info = spec.model_fields[field]
    return wrong_value(value, annotation_of(spec, field), info.metadata)


def _variant_mistakes(
    spec: type[Spec], field: str, variants: Variants, value: Any, path: KeyPath
) -> list[Mistake]:
    chosen = variants.chosen(value)
    if chosen is not None:
        return spec_mistakes(chosen, value, path)
    tag, names = variants.tag, list(variants.specs)
    if isinstance(value, Mapping):
        if tag is None:
            return [Mistake(path, _unknown_kind(spec, field, variants, value))]
        if tag not in value:
            known = f"known names: {', '.join(sorted(names))}"
            return [Mistake((*path, tag), f"is missing: write a {tag} ({known})")]
        if isinstance(value[tag], str):
            return [Mistake((*path, tag), unknown_name(value[tag], names))]
        known = f"one of {', '.join(sorted(names))}"
        return [Mistake((*path, tag), f"cannot be {shown(value[tag])}: write {known}")]
    if tag is not None and isinstance(value, str):
        if value in names:
            return [Mistake(path, f"is a mapping, not {shown(value)}: write {{{tag}: {value}}}")]
        return [Mistake(path, f"{unknown_name(value, names)} Write {{{tag}: ...}}.")]
    errors = field_errors(spec, {field: value})
    kinds = _members(annotation_of(spec, field))
    takes_more = any(not _is_spec(kind) and kind is not type(None) for kind in kinds)
    # A section without a value is a mistake, even where the section may be left out.
    if tag is None and field not in errors and (value is not None or takes_more):
        return []
    if tag is None and len(names) == 1 and not takes_more:
        return spec_mistakes(next(iter(variants.specs.values())), value, path)
    if tag is not None:
        return [Mistake(path, f"cannot be {shown(value)}: write {{{tag}: {names[0]}}}")]
    own = {field: errors.get(field, "")}
    return [Mistake(path, leaf_mistake(spec, field, value, own))]


def _unknown_kind(
    spec: type[Spec], field: str, variants: Variants, value: Mapping[str, Any]
) -> str:
    """`unknown kind 'cvs'. Did you mean 'csv'? Write {csv: ..., target: ...} for a table, ...`"""
    close = [difflib.get_close_matches(cut(key), variants.specs, n=1) for key in value]
    guess = next((f" Did you mean '{found[0]}'?" for found in close if found), "")
    first = next(iter(value), None)
    problem = "is empty:" if first is None else f"unknown kind '{cut(first)}'.{guess}"
    kinds = [f"{_shape(kind)} for {_briefly(kind)}" for kind in variants.specs.values()]
    chosen = registered(spec, field)
    marks = [mark for other in (chosen.others if chosen else ()) for mark in get_args(other)]
    names = [name for mark in marks if isinstance(mark, Names) for name in mark.known()]
    kinds += [f"or a name: {', '.join(names)}"] if names else []
    return f"{problem} {'write' if first is None else 'Write'} {', '.join(kinds)}"


def _briefly(spec: type[Spec]) -> str:
    """What a spec class is, in the first words of its docstring."""
    words = re.split(r"[,;:.]", " ".join((spec.__doc__ or "").split()))[0]
    return f"{words[:1].lower()}{words[1:]}"


def _unknown_key(spec: type[Spec], key: str) -> str:
    if spec.no_such_key:
        return spec.no_such_key
    if "." in key and key.partition(".")[0] in spec.model_fields:
        outer, _, inner = key.partition(".")
        return f"dotted keys are for the space: write {outer}: {{{cut(inner)}: ...}}"
    return unknown_name(key, spec.model_fields, "key")


def _missing(spec: type[Spec], field: str) -> str:
    info, variants = spec.model_fields[field], variants_of(spec, field)
    if variants is not None and variants.tag is not None:
        names = list(variants.specs)
        known = f"known names: {', '.join(sorted(names))}"
        return f"is missing: write {{{variants.tag}: {names[0]}}} or another ({known})"
    if variants is not None and len(variants.specs) == 1:
        return f"is missing: write {_shape(next(iter(variants.specs.values())))}"
    return f"is missing: write {described(annotation_of(spec, field), info.metadata)}"


def _shape(spec: type[Spec]) -> str:
    """The keys that a mapping for a spec must have, or its first one: `{dataset: ...}`."""
    needed = [name for name, inner in spec.model_fields.items() if inner.is_required()]
    names = needed or list(spec.model_fields)[:1]
    return f"{{{', '.join(f'{name}: ...' for name in names)}}}"


def _below(
    spec: type[Spec], prefix: str, chosen: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, Leaf]]:
    for name in spec.model_fields:
        path = f"{prefix}{name}"
        yield path, Leaf(spec, name, chosen)
        variants = variants_of(spec, name)
        for key, inner in variants.specs.items() if variants else ():
            switch = f"{path}.{variants.tag}" if variants and variants.tag else path
            is_only = variants is not None and variants.tag is None and len(variants.specs) == 1
            yield from _below(inner, f"{path}.", chosen if is_only else (*chosen, (switch, key)))


def _owner(spec: type[Spec], values: Mapping[str, Any], path: str, value: Any) -> type[Spec] | None:
    if not path:
        return spec
    place = place_of(spec, values, path)
    variants = variants_of(*place) if place else None
    return variants.chosen(value) if variants else None


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return list(get_args(annotation))
    return [annotation]


def _items(annotation: Any, value: Any) -> list[tuple[Any, Any]]:
    """The items of a list, or of a mapping whose keys are texts, for a field that takes it."""
    if is_mapping(annotation):
        is_named = isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
        return [*value.items()] if is_named else []
    return [*enumerate(value)] if isinstance(value, list) else []


def _needs_none(spec: type[Spec]) -> bool:
    return not any(field.is_required() for field in spec.model_fields.values())


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Spec)
