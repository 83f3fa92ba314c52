"""A spec as JSON Schema (draft 2020-12): what editors complete, explain and check by.

It knows each value on its own. What values must be together, such as a metric that the task has,
only `hpo check` says.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from pydantic import TypeAdapter

from hpo.spec.code.own_code import OwnCode
from hpo.spec.code.own_data import OwnData
from hpo.spec.code.own_functions import OwnActivation, OwnLoss
from hpo.spec.code.own_model import OwnModel
from hpo.spec.code.own_task import TaskSpec
from hpo.spec.experiment import SpecFile, Training
from hpo.spec.file.include import known_spaces
from hpo.spec.marks import Mark, Merge, Spec, mark_of, merge_of
from hpo.spec.reference.descriptions import description_of, summary_of
from hpo.spec.registered import Registered, annotation_of, registered
from hpo.spec.roots import Root, file_of, root_of
from hpo.spec.schema import Leaf, all_leaves, default_of, is_mapping, may_vary, variants_of
from hpo.spec.sections.command import NAME, CommandSpec, keys_of_objective
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.goal import known_metrics
from hpo.spec.sections.updates import Rates

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAY_VARY = {
    True: "May vary; another value is another program to compile, unless programs merge it.",
    False: "May vary without compiling again.",
}
_FIXED = "The same for all trials."
# The sections of functions of the user's own, as a pattern.
_OWN = r"(loss|augment|model\.activation)"

# A pattern of layers below the rates.
_RATE = r"updates\.rates\.[^.]+"

JsonSchema = dict[str, Any]


def json_schema() -> JsonSchema:
    """The schema of a spec file.

    Its first key that is one of `command`, `objective` and `task` decides which sections it has.
    Of a leaf of the training, `x-hpo-varies` says whether it may be in the space, and
    `x-hpo-recompiles` whether another value is another program.
    """
    writer = _Writer()
    kinds = {
        "command": ("CommandFile", _command_file(writer)),
        "objective": ("FunctionFile", _function_file(writer)),
        "task": ("TaskFile", _task_file(writer)),
    }
    files = {"TrainingFile": _training_file(writer), **dict(kinds.values())}
    chosen: JsonSchema = {"$ref": "#/$defs/TrainingFile"}
    for key, (name, _) in reversed(kinds.items()):
        chosen = {"if": {"required": [key]}, "then": {"$ref": f"#/$defs/{name}"}, "else": chosen}
    named = {
        "command": summary_of(CommandSpec),
        "objective": _FUNCTION,
        "task": summary_of(TaskSpec),
    }
    definitions = {
        **writer.definitions,
        **dict(_own_search(writer.definitions)),
        **files,
        "SpaceEntry": _ENTRY,
    }
    return {
        "$schema": _DIALECT,
        "title": "An experiment of hpo",
        "description": summary_of(SpecFile),
        "type": "object",
        # What an empty file may begin with, beside the sections of a training.
        "properties": {key: {"description": text} for key, text in named.items()},
        **chosen,
        "$defs": dict(sorted(definitions.items())),
    }


@cache
def _roots() -> tuple[Root, Root, Root]:
    """The classes of a training: of a model, of a task with data, and of a command."""
    task: dict[str, Any] = {"task": {}, "data": {}}
    command: dict[str, Any] = {"command": {}}
    return Training, root_of(task, Path()), root_of(command, Path())


def _training_file(writer: _Writer) -> JsonSchema:
    """A file that trains a model on a data set."""
    file = writer.section(SpecFile)
    file["properties"]["data"] = _data(writer)
    space = _space(Training)
    space["properties"]["include"]["examples"] = known_spaces()
    rules = [["optimizer.name == sgd and optimizer.learning_rate > 0.5"]]
    space["properties"]["forbid"]["examples"] = rules
    open_ended = rf"^({_OWN}\.\w+|{_RATE})$"
    others = {"anyOf": [{"enum": sorted(space["properties"])}, {"pattern": open_ended}]}
    file["properties"]["space"] |= {
        **space,
        "patternProperties": {rf"^((model|{_OWN})\.\w+|{_RATE})$": _ANY_ENTRY},
    }
    return {
        **file,
        "description": "A spec file that trains a model on a data set.",
        # Only code of the user's own has other leaves.
        "if": {"properties": {"model": {"required": ["python"]}}},
        "else": {"properties": {"space": {"propertyNames": others}}},
    }


def _task_file(writer: _Writer) -> JsonSchema:
    """A file that trains by a training step of the user's own."""
    _, task, _ = _roots()
    file = writer.section(file_of(task))
    file["required"].remove("data")
    file["properties"]["data"] = _data(writer)
    leaves = {"patternProperties": {r"^task\.\w+$": _ANY_ENTRY}}
    file["properties"]["space"] |= {**_space(task), **leaves}
    file["description"] = "A spec file that trains by a training step of your own."
    return _with_any_metric(file)


def _command_file(writer: _Writer) -> JsonSchema:
    """A file whose trials run a command."""
    *_, command = _roots()
    file = writer.section(file_of(command))
    file["properties"]["space"] |= {**_space(command), "patternProperties": {_VALUE: _ANY_ENTRY}}
    section = writer.definitions[CommandSpec.__name__]
    for name in ("run", "python"):
        section["properties"][name].pop("default", None)
    section["oneOf"] = [{"required": ["run"]}, {"required": ["python"]}]
    file["description"] = "A spec file whose trials run a command."
    return _with_any_metric(file)


def _function_file(writer: _Writer) -> JsonSchema:
    """A file whose trials call a Python function."""
    file = _command_file(writer)
    command = writer.section(CommandSpec)
    keys = {key: command["properties"][name] for key, name in keys_of_objective().items()}
    text = "The function, `train.py:objective`; its arguments are the values."
    keys["python"] = {"description": text, "type": "string"}
    section = {**command, "description": _FUNCTION, "properties": keys, "required": ["python"]}
    sections = {
        "objective" if name == "command" else name: section if name == "command" else of
        for name, of in file["properties"].items()
    }
    needed = ["objective" if name == "command" else name for name in file["required"]]
    text = "A spec file whose trials call a Python function."
    return {**file, "description": text, "properties": sections, "required": needed}


def _data(writer: _Writer) -> JsonSchema:
    """A section `data`, or the short form of one that names code: `data: {python: ...}`."""
    data = writer.section(DataSpec)
    own = writer.section(OwnData)
    kept = {key: of for key, of in data["properties"].items() if key != "dataset"}
    return {
        "description": description_of(SpecFile, "data"),
        "if": {"required": ["python"], "properties": {"dataset": False}},
        "then": {**own, "properties": {**own["properties"], **kept}},
        "else": {"$ref": f"#/$defs/{DataSpec.__name__}"},
    }


def _own_search(definitions: Mapping[str, JsonSchema]) -> Iterator[tuple[str, JsonSchema]]:
    """A search whose metrics may have any names, because own code reports them."""
    known = {"enum": list(known_metrics())}
    for name in _JUDGING:
        schema = _with_any_metric(definitions[name])
        for key, field in schema["properties"].items():
            if known in field.get("anyOf", ()):
                null = [kind for kind in field["anyOf"] if kind == {"type": "null"}]
                schema["properties"][key] = {**field, "anyOf": [{"type": "string"}, *null]}
        yield f"Own{name}", schema


def _with_any_metric(schema: JsonSchema) -> JsonSchema:
    """A schema in which metrics may have any names."""
    text = json.dumps(schema)
    for name in _JUDGING:
        text = text.replace(f'"#/$defs/{name}"', f'"#/$defs/Own{name}"')
    found: JsonSchema = json.loads(text)
    return found


_ANY_ENTRY = {"$ref": "#/$defs/SpaceEntry"}
_VALUE = f"^{NAME.pattern}$"
# What a section may be in place of an entry of its registry.
_OWN_CODE: Mapping[str, type[OwnCode]] = {"model": OwnModel, "loss": OwnLoss}
# What judges a trial, by metrics.
_JUDGING = ("SearchSpec", "Objective", "Constraint")
_FUNCTION = "A Python function of your own; a trial is a call of it."


def recompiles(spec: type[Spec], field: str) -> bool:
    """Whether another value of a leaf that may vary is another program."""
    return mark_of(spec, field) not in (Mark.KNOB, Mark.HOST)


class _Writer:
    """Writes sections, and collects the specs that they refer to."""

    def __init__(self) -> None:
        self.definitions: dict[str, JsonSchema] = {}
        self._names: dict[type[Spec], str] = {}

    def section(self, spec: type[Spec]) -> JsonSchema:
        """The schema of a mapping for a spec."""
        required = [name for name, field in spec.model_fields.items() if field.is_required()]
        return {
            "description": summary_of(spec),
            "type": "object",
            "properties": {name: self._field(spec, name) for name in spec.model_fields},
            **({"required": required} if required else {}),
            "additionalProperties": _further(spec),
        }

    def _field(self, spec: type[Spec], field: str) -> JsonSchema:
        info = spec.model_fields[field]
        text = [description_of(spec, field)]
        schema = self._field_type(spec, field)
        if _is_trained(spec) and may_vary(spec, field):
            text.append(_MAY_VARY[recompiles(spec, field)])
            schema["x-hpo-varies"] = True
            schema["x-hpo-recompiles"] = recompiles(spec, field)
        elif _is_trained(spec) and variants_of(spec, field) is None:
            text.append(_FIXED)
            schema["x-hpo-varies"] = False
        if not info.is_required():
            # Tuples are lists, and parts the mappings that stand for them.
            schema["default"] = json.loads(json.dumps(default_of(spec, field)))
        described = " ".join(part for part in text if part)
        return {"description": described, **schema} if described else schema

    def _field_type(self, spec: type[Spec], field: str) -> JsonSchema:
        variants, info = variants_of(spec, field), spec.model_fields[field]
        if variants is not None and variants.tag is not None:
            is_optional = not info.is_required() and info.get_default() is None
            others: list[JsonSchema] = [{"type": "null"}] if is_optional else []
            chosen = registered(spec, field)
            if chosen is not None and chosen.kind in _OWN_CODE:
                others.append(self.section(_OWN_CODE[chosen.kind]))
            return self._one_of(variants.specs, others)
        schema = self._type(annotation_of(spec, field), info.metadata)
        if merge_of(spec, field) is Merge.BRANCH:
            # A function of the user's own may stand for the name of an activation.
            return {"anyOf": [schema, self._reference(OwnActivation)]}
        return schema

    def _type(self, annotation: Any, metadata: Sequence[Any] = ()) -> JsonSchema:
        if not _holds_spec(annotation):
            plain = [item for item in metadata if not isinstance(item, Mark)]
            whole: Any = Annotated[(annotation, *plain)] if plain else annotation
            return dict(TypeAdapter(whole).json_schema())
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            return self._reference(annotation)
        if get_origin(annotation) is Annotated:
            inner, *outer = get_args(annotation)
            for mark in outer:
                if isinstance(mark, Registered):
                    return self._one_of(mark.specs(), [])
            return self._type(inner, [*outer, *metadata])
        if get_origin(annotation) in (Union, types.UnionType):
            return {"anyOf": [self._type(member) for member in get_args(annotation)]}
        if is_mapping(annotation):
            return {"type": "object", "additionalProperties": self._type(get_args(annotation)[1])}
        assert get_origin(annotation) is tuple, f"no schema is known for {annotation}"
        least = [item.min_length for item in metadata if isinstance(item, annotated_types.MinLen)]
        items = {"type": "array", "items": self._type(get_args(annotation)[0])}
        return {**items, "minItems": least[0]} if least else items

    def _one_of(self, specs: Mapping[str, type[Spec]], others: Sequence[JsonSchema]) -> JsonSchema:
        kinds = [self._reference(spec) for spec in dict.fromkeys(specs.values())]
        return {"oneOf": [*kinds, *others]}

    def _reference(self, spec: type[Spec]) -> JsonSchema:
        if spec not in self._names:
            taken = set(self._names.values())
            name = spec.__name__
            while name in taken:
                name += "_"
            self._names[spec] = name
            self.definitions[name] = self.section(spec)
        return {"$ref": f"#/$defs/{self._names[spec]}"}


def _further(spec: type[Spec]) -> bool | JsonSchema:
    """What other keys of a mapping for a spec may hold."""
    if issubclass(spec, Rates):
        return {"type": "number", "minimum": 0}
    # Arguments of the user's own code, which only `hpo check` reads.
    return issubclass(spec, OwnCode)


def _holds_spec(annotation: Any) -> bool:
    if isinstance(annotation, Registered):
        return True
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return True
    return any(_holds_spec(member) for member in get_args(annotation))


def _is_trained(spec: type[Spec]) -> bool:
    """Whether a class is a part of a training, of which a trial has values of its own."""
    return any(leaf.owner is spec for root in _roots() for _, leaf in all_leaves(root))


def _space(root: Root) -> JsonSchema:
    """What `space` may hold: an entry for each leaf that may vary, includes and rules."""
    properties: JsonSchema = {
        "include": {
            "description": "Spaces to include by name, from files beside the spec or hpo's own.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "forbid": {
            "description": "Rules: configurations for which one of these holds are never tried.",
            "type": "array",
            "items": {"type": "string"},
        },
    }
    leaves: dict[str, list[Leaf]] = {}
    for path, leaf in all_leaves(root):
        if leaf.is_tag or (_is_trained(leaf.owner) and may_vary(leaf.owner, leaf.field)):
            leaves.setdefault(path, []).append(leaf)
    for path, several in leaves.items():
        texts = dict.fromkeys(_of_leaf(leaf) for leaf in several)
        properties[path] = {
            "description": " ".join(text for text in texts if text),
            "$ref": "#/$defs/SpaceEntry",
        }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_leaf(leaf: Leaf) -> str:
    if leaf.is_tag:
        return _MAY_VARY[True]
    text, varies = description_of(leaf.owner, leaf.field), recompiles(leaf.owner, leaf.field)
    return f"{text} {_MAY_VARY[varies]}"


def _range(kind: str) -> JsonSchema:
    return {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}


def _kinds() -> Iterator[JsonSchema]:
    for kind in ("float", "int", "choice", "value", "derived"):
        yield {"required": [kind]}


_ENTRY: JsonSchema = {
    "description": "What a leaf takes: a distribution, one value, or what follows from others.",
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "float": {"description": "The lowest and highest number.", **_range("number")},
                "int": {"description": "The lowest and highest whole number.", **_range("integer")},
                "choice": {"description": "The values.", "type": "array", "minItems": 1},
                "value": {"description": "The only value."},
                "derived": {
                    "description": "A sum over leaves, such as optimizer.learning_rate * 0.1.",
                    "type": "string",
                },
                "log": {"description": "Whether draws are even on a log scale.", "type": "boolean"},
                "step": {
                    "description": "The distance of one value to the next.",
                    "type": "number",
                    "exclusiveMinimum": 0,
                },
                "when": {
                    "description": "The path of another leaf with the values, one or a list, that "
                    "switch this one on.",
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                "prior": {"description": "A value near which the best is expected."},
                "adapt": {
                    "description": "Whether the range may move, or the limits of that.",
                    "anyOf": [{"type": "boolean"}, _range("number")],
                },
            },
            "oneOf": list(_kinds()),
            "additionalProperties": False,
        },
        {"type": ["string", "number", "boolean", "null", "array"]},
    ],
}
