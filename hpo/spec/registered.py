"""Fields that hold one of the specs of a registry: `model: ModelSpec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from hpo import registry
from hpo.errors import HpoError
from hpo.spec.code.own_code import OwnCode
from hpo.spec.code.own_model import NEEDS, OwnModel
from hpo.spec.marks import NeedsWhere, Spec

# What training reads of every spec of a kind.
_NEEDED = {"optimizer": ("learning_rate", "schedule"), "schedule": ("warmup",)}


@dataclass(frozen=True)
class Registered:
    """Marks a field that holds a spec of one kind; the union is built when it is first used.

    The key `tag` chooses the spec by its name. Without a tag each spec is chosen by its first key,
    and the field may hold one of the `others` instead.
    """

    kind: registry.Kind
    tag: str | None = "name"
    others: tuple[Any, ...] = ()

    def specs(self) -> dict[str, type[Spec]]:
        """The spec class of each name.

        Raises:
            HpoError: for a class that is no spec, or does not know its name.
        """
        found = registry.spec_classes(self.kind)
        for name, spec in found.items():
            self._check(name, spec)
        return found

    def union(self) -> Any:
        """The type of the field."""
        members = (*self.others, *dict.fromkeys(self.specs().values()))
        return Union[members]  # noqa: UP007 (the members are known at run time alone)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        union = self.union()
        tagged = union if self.tag is None else Annotated[union, Field(discriminator=self.tag)]
        return handler.generate_schema(tagged)

    def _check(self, name: str, spec: Any) -> None:
        where = f"registry: {self.kind} '{name}': {registry.REGISTRIES[self.kind][name].spec}"
        if not (isinstance(spec, type) and issubclass(spec, Spec)):
            raise HpoError(f"{where}: is not a spec class: derive it from hpo.spec.marks.Spec.")
        if self.tag is None:
            if next(iter(spec.model_fields), None) != name:
                raise HpoError(f"{where}: its first field must be the path: write {name}: str.")
            return
        field = spec.model_fields.get(self.tag)
        if field is None or name not in get_args(field.annotation):
            cure = f'write {self.tag}: Literal["{name}"]'
            raise HpoError(f'{where} has no {self.tag} "{name}": {cure}.')
        for needed in _NEEDED.get(self.kind, ()):
            if needed not in spec.model_fields:
                raise HpoError(f"{where} has no field {needed}, which training reads: add it.")


def registered(spec: type[Spec], field: str) -> Registered | None:
    """How a field chooses among the specs of a registry; None where it holds no such spec."""
    marks = [mark for mark in spec.model_fields[field].metadata if isinstance(mark, Registered)]
    return marks[0] if marks else None


def needs_of(kind: registry.Kind, spec: Any) -> frozenset[registry.Need]:
    """The needs of a model or an optimizer: those of its entry and those of its fields' values."""
    if isinstance(spec, OwnModel):
        return NEEDS
    found = set(registry.REGISTRIES[kind][spec.name].needs)
    for name, info in type(spec).model_fields.items():
        for mark in info.metadata:
            if isinstance(mark, NeedsWhere) and getattr(spec, name) == mark.value:
                found.update(mark.needs)
    return frozenset(found)


def title_of(part: Any) -> str:
    """A model or a loss in a word: its name, or the code that it is."""
    return part.python if isinstance(part, OwnCode) else part.name


def annotation_of(spec: type[Spec], field: str) -> Any:
    """The type of a field, as a union of specs where it holds those of a registry."""
    chosen = registered(spec, field)
    return spec.model_fields[field].annotation if chosen is None else chosen.union()
