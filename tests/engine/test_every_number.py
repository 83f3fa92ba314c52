"""Every number of every entry of the registries: off it is not compiled, on it varies by lane."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, cycle, islice
from typing import Any

import jax
import numpy as np
import pytest
from pydantic import ValidationError

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program, split
from hpo.engine.programs.lanes import operations
from hpo.engine.training.batches import host_data
from hpo.engine.training.task import task_of
from hpo.registry import LOSSES, MODELS, OPTIMIZERS, SCHEDULES
from hpo.spec.experiment import Training
from hpo.spec.marks import Mark, marked_leaves
from tests.engine.samples import ROWS, SMALL_MODELS, Learn

KINDS: tuple[registry.Kind, ...] = ("loss", "model", "optimizer", "schedule")
# Each entry at least once; one program each. Models that have had their turn would only cost time.
_ENTRIES = (LOSSES, MODELS, OPTIMIZERS, SCHEDULES)
_TURNS = (cycle(LOSSES), chain(MODELS, cycle(["mlp"])), cycle(OPTIMIZERS), cycle(SCHEDULES))
CASES = [
    dict(zip(KINDS, names, strict=True))
    for names in islice(zip(*_TURNS, strict=True), max(map(len, _ENTRIES)))
]
for _case in CASES:
    if _case["optimizer"] == "exact":  # solves this alone
        _case |= {"model": "mlp", "loss": "mse"}


# The sections whose numbers change what an optimizer is given or does.
_OF_STEPS = ("loss.", "model.", "optimizer.", "updates.")


def _varies_all(case: dict[str, str]) -> bool:
    """Whether numbers of all sections vary, not just those `_OF_STEPS`.

    They vary with each optimizer that has needs, and once for each model.
    """
    first = next(one for one in CASES if one["model"] == case["model"])
    return case == first or bool(OPTIMIZERS[case["optimizer"]].needs)


def _document(case: dict[str, str]) -> dict[str, Any]:
    optimizer = {"name": case["optimizer"], "schedule": {"name": case["schedule"]}}
    model = {"name": case["model"], **SMALL_MODELS.get(case["model"], {})}
    if case["optimizer"] == "exact":
        model = {"name": "mlp", "widths": []}
    loss, train = {"name": case["loss"]}, {"epochs": 3}
    return {"model": model, "loss": loss, "optimizer": optimizer, "train": train}


def _leaf(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with a leaf written into it."""
    name, _, rest = path.partition(".")
    inner = _leaf(document.get(name, {}), rest, value) if rest else value
    return {**document, name: inner}


def _training(document: dict[str, Any]) -> Training:
    needs = OPTIMIZERS[document["optimizer"]["name"]].needs
    data = {"dataset": "iris", "batch_size": ROWS if "all rows" in needs else 16}
    return Training.model_validate({"data": data, **document})


def _knobs(training: Training) -> list[tuple[str, Any]]:
    return [
        (path, value)
        for path, mark, value in marked_leaves(training)
        if mark is Mark.KNOB
        and path != "optimizer.learning_rate"
        # Numbers of an augmentation are refused for other kinds of data; `test_batch` varies them.
        # Some models refuse those of activations, which `test_technique_numbers` varies.
        # A private training refuses other techniques; `test_privacy` varies its numbers.
        and not path.startswith(("augment.", "privacy.", "compression.activations."))
    ]


def _with_every_number(case: dict[str, str], lane: int) -> Training:
    """A training with every number of the case written, each lane's its own; 0 in the first one."""
    document = _document(case)
    paths = [path for path, _ in _knobs(_training(document))]
    if not _varies_all(case):
        paths = [path for path in paths if path.startswith(_OF_STEPS)]
    document["train"] = {"epochs": 3, "stream": lane, "varying": paths}
    for path in paths:
        for value in (0.11 * lane, 1 + lane, 2 + lane, 0.1):  # a share, a count, or not from 0
            try:
                _training(_leaf(document, path, value))
            except ValidationError:
                continue
            document = _leaf(document, path, value)
            break
        else:
            raise AssertionError(f"no value of {path} was found")
    return _training(_leaf(document, "optimizer.learning_rate", 0.01 * (1 + lane)))


def _text(program: Program, data: DataSet) -> str:
    task = task_of(program)
    made = operations(task, "map", 2, host_data(data, is_whole=False), task.shapes())["round"]
    return jax.jit(made.function).lower(*made.arguments).as_text()


def _data(case: dict[str, str], tiny: DataSet, images: DataSet) -> DataSet:
    needs, task = MODELS[case["model"]].needs, LOSSES[case["loss"]].tasks[0]
    data = images if "images" in needs else tiny
    if task == "classification":
        return data
    parts = {
        name: Split({**part.arrays, "y": part.y.astype(np.float32)})
        for name, part in (("train", data.train), ("validation", data.validation))
    }
    return replace(data, task=task, outputs=1, **parts)  # type: ignore[arg-type]


def test_the_cases_hold_every_entry() -> None:
    for kind in KINDS:
        assert {case[kind] for case in CASES} == set(registry.REGISTRIES[kind])


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_numbers_that_are_off_are_not_in_the_program(
    case: dict[str, str], tiny: DataSet, images: DataSet
) -> None:
    data, document = _data(case, tiny, images), _document(case)
    plain = split(_training(document), data, "cpu")[0]
    text = _text(plain, data)
    everything = split(_with_every_number(case, 0), data, "cpu")[0]
    assert len(_text(everything, data)) > len(text)
    off = [(path, value) for path, value in _knobs(_training(document)) if value in (0, None)]
    assert off
    for path, value in off:
        program = split(_training(_leaf(document, path, value)), data, "cpu")[0]
        assert program == plain, f"{path}: {value} is written and changes the program"
        assert path not in program.knobs


def test_sections_of_techniques_that_are_off_leave_the_text_of_the_program(tiny: DataSet) -> None:
    plain = _training(_document(CASES[0]))
    sections = "sampling", "augment", "attack", "privacy", "updates", "train", "data"
    written = plain.model_dump(mode="json", include={*sections})
    assert written["updates"]["noise"] == 0  # every default is written
    whole = Training.model_validate(plain.model_dump(mode="json", exclude_unset=True) | written)
    without, with_sections = (split(one, tiny, "cpu")[0] for one in (plain, whole))
    assert with_sections == without
    assert _text(with_sections, tiny) == _text(without, tiny)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_every_number_varies_in_one_program_and_is_the_lanes_own(
    case: dict[str, str], tiny: DataSet, images: DataSet, learn: Learn
) -> None:
    data = _data(case, tiny, images)
    trainings = [_with_every_number(case, lane) for lane in range(3)]
    programs = {split(training, data, "cpu")[0] for training in trainings}
    assert len(programs) == 1, "a number has compiled another program"
    for training in trainings:
        task = task_of(*programs)
        started, shapes = task.initial(training), task.shapes()
        assert jax.tree.structure(started) == jax.tree.structure(shapes)
    together = learn(data, trainings, lanes=2)
    for training in trainings:
        alone = learn(data, [training], lanes=2)  # the same code, beside an empty lane
        assert alone[training.train.stream] == together[training.train.stream]
    assert len({curve[-1]["loss"] for curve in together.values()}) == 3
