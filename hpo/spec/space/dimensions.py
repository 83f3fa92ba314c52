"""From the entries of a `space` section to a search space that no trial can fall out of.

Every dimension is tried before anything runs: its bounds and choices are filled into the spec, in
every combination of the variants and conditions that it depends on.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, combinations, islice, product
from typing import Any

from hpo.errors import cut
from hpo.space import Choice, Condition, Dimension, Distribution, Float, Int, SearchSpace
from hpo.spec.code.own_code import OwnCode
from hpo.spec.experiment import Training
from hpo.spec.file.document import Mistake, dotted
from hpo.spec.fill import filled
from hpo.spec.marks import Spec, mark_of
from hpo.spec.registered import needs_of
from hpo.spec.schema import (
    all_leaves,
    field_errors,
    leaf_mistake,
    leaves_at,
    may_vary,
    place_of,
    spec_mistakes,
    value_at,
    variants_of,
)
from hpo.spec.sections.compression.activations import activation_mistakes
from hpo.spec.sections.compression.quantisation import quantisation_mistakes
from hpo.spec.sections.compression.sparsity import KEPT, sparsity_mistakes
from hpo.spec.sections.data import tasks_of
from hpo.spec.sections.loss import loss_mistakes
from hpo.spec.sections.models.parts import model_mistakes, output_mistakes
from hpo.spec.sections.models.pretrained import FROM, folder_of
from hpo.spec.sections.models.sequences import sequence_mistakes
from hpo.spec.sections.techniques.average import average_mistakes
from hpo.spec.sections.techniques.privacy import privacy_mistakes
from hpo.spec.sections.updates import update_mistakes
from hpo.spec.space.conditions import condition_of
from hpo.spec.space.entries import Entry
from hpo.spec.techniques.clashes import clashes, decides, lacking, may_clash, unfit
from hpo.spec.words import shown, unknown_name
from hpo.techniques import Fact
from hpo.trial import HParam

# Far more combinations of variants than any space has; it only keeps a check from running on.
_MOST_CONTEXTS = 2_000
_BOUNDS = ("low", "high")
# Shares of its own width that a range may grow by to each side, the first that its leaf takes.
_SHARES = (1.0, 0.5, 0.25)


def build_space(
    entries: Sequence[Entry],
    values: Mapping[str, Any],
    root: type[Spec],
    included: frozenset[str] = frozenset(),
) -> tuple[SearchSpace, list[Mistake]]:
    """The search space over the training spec in `values`, or what is wrong with its entries.

    Dimensions come after those that their conditions look at. A condition on a leaf that does not
    vary is evaluated now; a dimension that can never be active is left out. Entries from
    `included` spaces may be meant for variants that this spec never takes: those are left out too.
    """
    found = [mistake for entry in entries for mistake in _path_mistakes(entry, root)]
    wrong = {mistake.path[1] for mistake in found}
    known = {entry.path: entry for entry in entries if entry.path not in wrong}
    dimensions: dict[str, Dimension] = {}
    for entry in known.values():
        if entry.when is None:
            dimensions[entry.path] = _dimension(entry, None, root)
            continue
        condition = condition_of(entry, known, values, entry.path not in included, root)
        if isinstance(condition, Mistake):
            found.append(condition)
        elif condition is not False:
            when = condition if isinstance(condition, Condition) else None
            dimensions[entry.path] = _dimension(entry, when, root)
    ordered, circle = _parents_first(dimensions)
    if circle:
        text = f"conditions form a circle: {', '.join(sorted(circle))}. Remove one"
        found.append(Mistake(("space", circle[0], "when"), text))
    space = SearchSpace(tuple(ordered))
    reachable: list[Dimension] = []
    for dimension in space.dimensions:
        contexts = _contexts(space, dimension, root)
        if contexts:
            reachable.append(dimension)
            found += _value_mistakes(known[dimension.path], contexts, values, root)
    return SearchSpace(tuple(reachable)), found


def joint_mistakes(
    space: SearchSpace,
    values: Mapping[str, Any],
    root: type[Spec],
    around: Collection[Fact] = (),
) -> list[Mistake]:
    """Whole trials that the spec refuses although it takes each of their values."""
    precision = space.by_path.get("train.precision")
    if precision is not None and "auto" in getattr(precision.distribution, "values", ()):
        text = "auto is no precision of its own: list other names, or take it out of the space"
        return [Mistake(("space", "train.precision"), text)]
    switches = [d for d in space.dimensions if _is_switch(d.path, root)]
    contexts = islice(_assignments(space, switches), _MOST_CONTEXTS)
    before = ""
    starts, pairs = (
        islice(each, _MOST_CONTEXTS) for each in (_starts(space, values, root), _pairs(space))
    )
    for chosen in chain(starts, contexts, pairs):
        for end in (0, -1):
            hparams: dict[str, HParam] = {}
            for dimension in space.dimensions:
                if space.is_active(dimension, hparams):
                    path = dimension.path
                    hparams[path] = chosen.get(path, _probes(dimension.distribution)[end])
            # Both ends are one trial without a space, or where all that is active is chosen.
            before, last = repr(hparams), before
            if before == last:
                continue
            mistakes = _whole_mistakes(filled(values, hparams, root), root, around)
            if mistakes:
                path, text = dotted(mistakes[0].path), mistakes[0].text
                above = [name for name in chosen if name == path or _shapes(name, path, root)]
                switch = max(above, key=len, default=None)
                if switch is None:
                    return [Mistake(mistakes[0].path, text)]
                return [Mistake(("space", switch), f"with {shown(chosen[switch])}, {path} {text}")]
    return []


def _pairs(space: SearchSpace) -> Iterator[dict[str, HParam]]:
    """Each value of what decides on techniques, alone and with each value of another choice."""
    several = [
        dimension
        for dimension in space.dimensions
        if isinstance(dimension.distribution, Choice) and decides(dimension.path)
    ]
    for dimension in several:
        for value in _probes(dimension.distribution):
            yield {dimension.path: value}
    for one, other in combinations(several, 2):
        if may_clash(one.path, other.path):
            for first, second in product(_probes(one.distribution), _probes(other.distribution)):
                yield {one.path: first, other.path: second}


def _starts(
    space: SearchSpace, values: Mapping[str, Any], root: type[Spec]
) -> Iterator[dict[str, HParam]]:
    """All that decides together on the trained model that a trial starts from, where it needs one.

    `values` are those of the spec.
    """
    if not issubclass(root, Training) or not start_varies(space):
        return
    name = "compression.sparsity.name"
    varying = space.by_path.get(name)
    kinds = () if varying is None else _probes(varying.distribution)
    if KEPT not in (*kinds, value_at(root, values, name)):
        return
    wanted = {FROM, "model", name}
    for dimension in reversed(space.dimensions):  # those that a condition looks at come before it
        if dimension.path in wanted and dimension.when is not None:
            wanted.add(dimension.when.path)
    yield from _assignments(space, [d for d in space.dimensions if d.path in wanted])


def start_varies(space: SearchSpace) -> bool:
    """Whether trials may start from different models: each has to be asked for its own."""
    return not space.by_path.keys().isdisjoint({FROM, "model"})


def _whole_mistakes(
    values: Mapping[str, Any], root: type[Spec], around: Collection[Fact]
) -> list[Mistake]:
    """The mistakes in the values of a whole trial."""
    return spec_mistakes(root, values) or need_mistakes(root.model_validate(values), around)


def _bits_vary(space: SearchSpace) -> bool:
    paths = {*space.by_path, *(leaf.path for leaf in space.derived)}
    return not paths.isdisjoint({"compression.activations.bits", "compression.activations"})


def need_mistakes(
    training: Spec, around: Collection[Fact] = (), space: SearchSpace | None = None
) -> list[Mistake]:
    """What does not go together in a training whose sections are valid each.

    `around` are circumstances beside those that the training tells of. A `space` may give what it
    leaves out: the trained model that it starts from, and bits.
    """
    if not isinstance(training, Training):
        return [Mistake(path, text) for path, text in clashes(training, around)]
    updates = update_mistakes(training.updates)
    average = average_mistakes(training.train.average)
    model = model_mistakes(training.model, training.data.dataset)
    private = privacy_mistakes(training.privacy)
    compression, code = training.compression, getattr(training.model, "python", None)
    start = folder_of(training.model) or (space is not None and start_varies(space)) or None
    small = (
        *sparsity_mistakes(compression.sparsity, start),
        *quantisation_mistakes(compression.weights),
        *activation_mistakes(
            compression.activations, code, may_round=space is not None and _bits_vary(space)
        ),
    )
    output = output_mistakes(training.model, training.data.target_range)
    tasks = tasks_of(training.data)
    sequence = sequence_mistakes(training.model, tasks, training.data.text.embeddings)
    together = *clashes(training, around), *unfit(training, lacking(training.data))
    wrong = *updates, *average, *model, *private, *small, *output, *sequence, *together
    found = [Mistake(path, text) for path, text in wrong]
    named = " or ".join(tasks)
    if training.data.target_range is not None and "regression" not in tasks:
        text = f"is of quantities, and the task is {named}: remove it"
        found.append(Mistake(("data", "target_range"), text))
    if not isinstance(training.loss, OwnCode | None):
        texts = loss_mistakes(training.loss.name, tasks)
        found += [Mistake(("loss", "name"), text) for text in texts]
    takes_all = "all rows" in needs_of("optimizer", training.optimizer)
    if takes_all and training.data.batch_size != "all":
        text = f"cannot be {training.data.batch_size}: {training.optimizer.name} takes all"
        found.append(
            Mistake(("data", "batch_size"), f"{text} training rows in one step: write all")
        )
    are_classes = {"classification", "segmentation"} & {*tasks}
    if training.data.class_weight != "none" and not are_classes:
        text = f"weighs classes, and the task is {named}: leave it out"
        found.append(Mistake(("data", "class_weight"), text))
    return found


def _dimension(entry: Entry, when: Condition | None, root: type[Spec]) -> Dimension:
    limits = _own_limits(entry, root) if entry.adapt is True else entry.adapt
    return Dimension(entry.path, entry.distribution, when, entry.prior, limits)


def _own_limits(entry: Entry, root: type[Spec]) -> tuple[float, float]:
    """Limits of a range: its own width (on its scale) to each side, less where the leaf ends."""
    distribution = entry.distribution
    assert not isinstance(distribution, Choice)
    low, high = (_limit(entry.path, distribution, side, root) for side in (-1, 1))
    return low, high


def _limit(path: str, distribution: Float | Int, side: int, root: type[Spec]) -> float:
    # In decimals, as they are written: 0.1 - (0.3 - 0.1) / 2 is not 0 in binary.
    low, high = Decimal(str(distribution.low)), Decimal(str(distribution.high))
    if distribution.log:
        low, high = low.ln(), high.ln()
    for share in _SHARES:
        end = (low if side < 0 else high) + side * Decimal(share) * (high - low)
        limit = float(end.exp() if distribution.log else end)
        # Twelve digits hide the noise of exp and log, which users would see.
        limit = float(f"{limit:.12g}")
        if not math.isfinite(limit):
            continue
        value = round(limit) if isinstance(distribution, Int) else limit
        if (not distribution.log or value > 0) and _is_taken(path, value, root):
            return value
    return distribution.low if side < 0 else distribution.high


def _is_taken(path: str, value: float, root: type[Spec]) -> bool:
    return all(
        leaf.field not in field_errors(leaf.owner, {leaf.field: value})
        for leaf in leaves_at(root, path)
    )


def _path_mistakes(entry: Entry, root: type[Spec]) -> Iterator[Mistake]:
    path, at = entry.path, ("space", entry.path)
    leaves = leaves_at(root, path)
    if not leaves:
        yield Mistake(at, no_such_leaf(path, root))
        return
    leaf = leaves[0]
    variants = variants_of(leaf.owner, leaf.field)
    is_part = variants is not None and variants.tag is not None
    if is_part or leaf.is_tag:
        if not isinstance(entry.distribution, Choice):
            yield Mistake(at, "is not a number: write {choice: [...]}")
            return
        names = {name for leaf in leaves if leaf.is_tag for _, name in leaf.variants[-1:]}
        for index, value in enumerate(entry.distribution.values):
            where = entry.place(index)
            if is_part:
                found = spec_mistakes(leaf.owner, {leaf.field: value})
                inside = [mistake for mistake in found if mistake.path[0] == leaf.field]
                yield from (Mistake((*where, *below[1:]), text) for below, text in inside)
            elif (
                isinstance(value, list) and entry.key is None and names.issuperset(map(str, value))
            ):
                yield Mistake(where, _needs_choice(value))
            elif not isinstance(value, str) or value not in names:
                yield Mistake(where, unknown_name(str(value), names))
    elif variants is not None and len(variants.specs) == 1 and not may_vary(leaf.owner, leaf.field):
        yield Mistake(at, "is a whole section: name the leaves that vary")
    elif all(mark_of(leaf.owner, leaf.field) is None for leaf in leaves):
        yield Mistake(at, f"cannot vary: it is the same for all trials. Set {path} in the spec")


def _needs_choice(values: HParam) -> str:
    return f"is one value, not {shown(values)}: write {{choice: {shown(values)}}}"


def no_such_leaf(path: str, root: type[Spec]) -> str:
    """`there is no leaf 'model.dropuot'. Did you mean 'model.dropout'?`"""
    known = [name for name, leaf in all_leaves(root) if may_vary(leaf.owner, leaf.field)]
    path = cut(path)
    close = difflib.get_close_matches(path, known, n=1)
    said = f"there is no leaf '{path}'." + (f" Did you mean '{close[0]}'?" if close else "")
    part = path.partition(".")[0]
    beside = sorted({name for name in known if name.startswith(f"{part}.")})
    if not beside:
        return f"{said} Write a path such as model.dropout."
    return said if close else f"{said} Known leaves: {', '.join(beside)}."


def _parents_first(dimensions: Mapping[str, Dimension]) -> tuple[list[Dimension], list[str]]:
    """The dimensions in order, and the paths of those that wait for each other."""
    waiting = dict(dimensions)
    # A child of a dimension that is left out can never be active either.
    gone = True
    while gone:
        gone = False
        for path, dimension in list(waiting.items()):
            if dimension.when is not None and dimension.when.path not in waiting:
                del waiting[path]
                gone = True
    ordered: dict[str, Dimension] = {}
    while waiting:
        ready = [d for d in waiting.values() if d.when is None or d.when.path in ordered]
        if not ready:
            return list(ordered.values()), list(waiting)
        ordered[ready[0].path] = waiting.pop(ready[0].path)
    return list(ordered.values()), []


def _contexts(
    space: SearchSpace, dimension: Dimension, root: type[Spec]
) -> list[dict[str, HParam]]:
    """The hparams that decide on a dimension, in every combination in which it is active."""
    related: dict[str, Dimension] = {}
    pending = [dimension]
    while pending:
        path = pending[-1].when.path if pending[-1].when else None
        above = [
            other
            for other in space.dimensions
            if other.path == path or _shapes(other.path, pending[-1].path, root)
        ]
        pending.pop()
        for other in above:
            if other.path not in related:
                related[other.path] = other
                pending.append(other)
    deciding = [other for other in space.dimensions if other.path in related]
    assignments = islice(_assignments(space, deciding), _MOST_CONTEXTS)
    return [hparams for hparams in assignments if space.is_active(dimension, hparams)]


def _assignments(
    space: SearchSpace, dimensions: Sequence[Dimension]
) -> Iterator[dict[str, HParam]]:
    if not dimensions:
        yield {}
        return
    *before, last = dimensions
    wanted = [
        value
        for other in space.dimensions
        if other.when is not None and other.when.path == last.path
        for value in other.when.values
    ]
    for hparams in _assignments(space, before):
        if not space.is_active(last, hparams):
            yield hparams
            continue
        extra = [] if isinstance(last.distribution, Choice) else wanted
        for value in [*_probes(last.distribution), *extra]:
            yield {**hparams, last.path: value}


def _value_mistakes(
    entry: Entry,
    contexts: Sequence[Mapping[str, HParam]],
    values: Mapping[str, Any],
    root: type[Spec],
) -> list[Mistake]:
    """What the first variant that refuses any of an entry's values refuses of them."""
    path, at = entry.path, ("space", entry.path)
    section = path.partition(".")[0]
    if section not in values:
        return []
    seen: set[type[Spec]] = set()
    for hparams in contexts:
        here = {name: value for name, value in hparams.items() if name.startswith(section)}
        base = filled({section: values[section]}, here, root)
        place = place_of(root, base, path)
        if place is None:
            return [Mistake(at, _missing_variant(path, root))]
        owner, field = place
        if owner in seen:
            continue
        seen.add(owner)
        if _is_switch(path, root):
            continue
        found = []
        for index, value in enumerate(_probes(entry.distribution)):
            errors = field_errors(owner, {field: value})
            if field in errors:
                text = leaf_mistake(owner, field, value, errors)
                if not isinstance(entry.distribution, Choice):
                    return [Mistake(entry.place(index), f"{_BOUNDS[index]} {text}")]
                if entry.key is None and _lists_values(owner, field, value):
                    text = _needs_choice(value)
                found.append(Mistake(entry.place(index), text))
        for limit in entry.adapt if isinstance(entry.adapt, tuple) else ():
            errors = field_errors(owner, {field: limit})
            if field in errors:
                found.append(Mistake((*at, "adapt"), leaf_mistake(owner, field, limit, errors)))
        if found:
            return found
    return []


def _lists_values(owner: type[Spec], field: str, value: HParam) -> bool:
    """Whether a value is a list of values that the field takes."""
    return (
        isinstance(value, list)
        and bool(value)
        and not any(field in field_errors(owner, {field: one}) for one in value)
    )


def _missing_variant(path: str, root: type[Spec]) -> str:
    variants = sorted({leaf.variants[-1] for leaf in leaves_at(root, path)})
    switch = variants[0][0]
    names = [name for _, name in variants]
    listed = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    either = " or ".join(names)
    return f"exists only where {switch} is {either}: add when: {{{switch}: {listed}}}"


def _shapes(path: str, other: str, root: type[Spec]) -> bool:
    """Whether the value at `path` decides which leaves exist around `other`."""
    if path == other:
        return False
    part = path.removesuffix(".name") if _is_switch(path, root) else None
    return part is not None and other.startswith(f"{part}.")


def _is_switch(path: str, root: type[Spec]) -> bool:
    leaves = leaves_at(root, path)
    if not leaves:
        return False
    variants = variants_of(leaves[0].owner, leaves[0].field)
    return leaves[0].is_tag or bool(variants and variants.tag)


def _probes(distribution: Distribution) -> tuple[HParam, ...]:
    """The values to try: all choices, or both bounds."""
    if isinstance(distribution, Choice):
        return distribution.values
    return (distribution.low, distribution.high)
