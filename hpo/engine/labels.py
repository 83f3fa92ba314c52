"""Labels of programs: short names that are the same in every process and in every release.

A study keeps the plan of a program under its label. So a label is a hash of the fields that differ
from their defaults. A later release may add a field whose default has no effect: it changes no
label.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from hpo.spec.marks import Mark, Spec, mark_of, parts_of

if TYPE_CHECKING:
    from hpo.engine.program import Program

# The value of a knob in a template: a number other than 0, which means that a knob is off.
BLANK = math.inf

# The default of a field that has no default.
_NO_DEFAULT = object()


def label_of(program: Program) -> str:
    """The label of a program: a hash of the fields that differ from their defaults."""
    # The knobs of a program follow from its template and from what it merges.
    rest = {
        field.name: getattr(program, field.name)
        for field in fields(program)
        if field.name not in ("template", "knobs", "merged")
        and (field.default is MISSING or getattr(program, field.name) != field.default)
    }
    merged = {
        path: [sorted(_differing(option, _NO_DEFAULT)) for option in options]
        for path, options in program.merged
    }
    template = sorted(_differing(program.template, _NO_DEFAULT))
    return _hash(repr((template, sorted(merged.items()), sorted(rest.items()))))


def earlier_labels(program: Program) -> tuple[str, ...]:
    """The program's labels in earlier releases, under which their studies keep its plan."""
    return (_label_in_0_1_0(program),)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _differing(value: Any, default: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and text of each value below `path` in a template that differs from its default."""
    parts, plain = _parts(value), _parts(default)
    if parts is None:
        if value != default:
            yield path, repr(value)
        return
    if type(value) is not type(default) or parts.keys() != (plain or {}).keys():
        yield path, f"{len(parts)} items" if isinstance(value, tuple) else "{}"
    for name, part in parts.items():
        inner = f"{path}.{name}" if path else name
        if not isinstance(value, Spec):
            yield from _differing(part, (plain or {}).get(name, _NO_DEFAULT), inner)
        elif mark_of(type(value), name) is not Mark.HOST:
            is_alike = type(value) is type(default)
            usual = getattr(default, name) if is_alike else _default(type(value), name)
            yield from _differing(part, _in_template(type(value), name, usual), inner)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """The parts of a spec, a list of specs or a mapping of specs; None for any other value."""
    if isinstance(value, Spec):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return parts_of(value)


def _default(spec: type[Spec], field: str) -> Any:
    info = spec.model_fields[field]
    return _NO_DEFAULT if info.is_required() else info.get_default(call_default_factory=True)


def _in_template(spec: type[Spec], field: str, value: Any) -> Any:
    """The value of a field as a template holds it: blank for a knob that is not off."""
    is_knob = mark_of(spec, field) is Mark.KNOB and value is not _NO_DEFAULT
    return BLANK if is_knob and value else value


# The fields that each class of a template had in release 0.1.0, whose labels hash their values.
_FIELDS_IN_0_1_0 = {
    "Training": "data model optimizer train",
    "DataSpec": "dataset rows validation test split_seed batch_size normalize device_budget",
    "CsvFile": "csv target task drop separator",
    "IdxFolder": "idx",
    "Mlp": "name widths activation norm init dropout",
    "Cnn": "name filters kernel dense activation norm init dropout",
    "Sgd": "name learning_rate momentum nesterov weight_decay clip_norm schedule",
    "Adam": "name learning_rate beta1 beta2 epsilon weight_decay clip_norm schedule",
    "AdamW": "name learning_rate beta1 beta2 epsilon weight_decay clip_norm schedule",
    "RmsProp": "name learning_rate decay momentum epsilon weight_decay clip_norm schedule",
    "Constant": "name warmup",
    "Cosine": "name warmup final",
    "Exponential": "name warmup final",
    "Step": "name warmup drops factor",
    "TrainSpec": "epochs seed seeds stream precision lanes form changes varying merged",
    "Program": ("template knobs merged bounds platform task example_shape outputs train_rows"),
}


def _label_in_0_1_0(program: Program) -> str:
    """The program's label in release 0.1.0: a hash of its text as that release wrote it."""
    unknown: set[str] = set()
    texts = {"template": _text_in_0_1_0(program.template, "", unknown)}
    merged = [
        f"('{path}', {_text_in_0_1_0(options, path, unknown)})" for path, options in program.merged
    ]
    texts["merged"] = _tuple_text(merged)
    knobs = [k for k in program.knobs if not any(f"{k}.".startswith(f"{u}.") for u in unknown)]
    texts["knobs"] = repr(tuple(knobs))
    names = _FIELDS_IN_0_1_0["Program"].split()
    whole = ", ".join(f"{name}={texts.get(name) or repr(getattr(program, name))}" for name in names)
    return _hash(f"Program({whole})")


def _text_in_0_1_0(value: Any, path: str, unknown: set[str]) -> str:
    """The text of a value without the fields that 0.1.0 did not have; adds their paths to
    `unknown`.

    A new field whose value is not its default is kept, so that no label of 0.1.0 matches.
    """
    if isinstance(value, tuple):
        return _tuple_text([_text_in_0_1_0(item, path, unknown) for item in value])
    if not isinstance(value, Spec):
        return repr(value)
    kind = type(value)
    known = _FIELDS_IN_0_1_0.get(kind.__name__, " ".join(kind.model_fields)).split()
    prefix = f"{path}." if path else ""
    for name in [name for name in kind.model_fields if name not in known]:
        usual = _in_template(kind, name, _default(kind, name))
        if mark_of(kind, name) is Mark.HOST or not any(_differing(getattr(value, name), usual)):
            unknown.add(f"{prefix}{name}")
        else:
            known.append(name)
    inner = ", ".join(
        f"{name}={_text_in_0_1_0(getattr(value, name), f'{prefix}{name}', unknown)}"
        for name in known
    )
    return f"{kind.__name__}({inner})"


def _tuple_text(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
