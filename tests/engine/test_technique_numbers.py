"""Every number of every technique at once: one program, and each lane learns as it does alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.spec.experiment import Training
from hpo.spec.marks import Mark, marked_leaves
from hpo.techniques import TECHNIQUES
from tests.engine.samples import Learn
from tests.techniques import LACKING, document, merged, small_data

# The parts of a training of each case; only names, because its numbers are found.
NAMES: dict[str, dict[str, Any]] = {
    "table": {
        "sampling": {"name": "importance"},
        "attack": {"name": "pgd"},
        "compression": {"activations": {"name": "learned"}},
    },
    "images": {
        "sampling": {"name": "curriculum"},
        "attack": {"name": "fgsm"},
        "compression": {"sparsity": {"name": "magnitude"}, "weights": {"name": "integer"}},
    },
    "series": {
        "sampling": {"name": "stratified"},
        "compression": {"weights": {"name": "bases"}},
    },
    "texts": {
        "sampling": {"name": "balanced"},
        "compression": {"weights": {"name": "learned"}},
    },
    "private": {"attack": {"name": "pgd"}},
    "taught": {"compression": {"teacher": {"from": "big"}}},
}
# Cases of tables for a technique that excludes many others, and the sections that they leave out.
OF_ONE = {"private": ("privacy", "sampling."), "taught": ("teacher", "privacy.")}
EXAMPLES = {"images": ["flip"], "series": ["time_warp"], "texts": ["word_dropout"]}
# What a share of the rows must leave of them, and numbers that are read without a program.
OF_THE_HOST: dict[str, Callable[[int], float]] = {
    "sampling.share": lambda lane: 1 - 0.25 * lane,
    "sampling.extra_share": lambda lane: 0.2 * lane,
    "sampling.temperature": lambda lane: 1.0 + lane,
    "sampling.start": lambda lane: 0.3 + 0.2 * lane,
    "sampling.until": lambda lane: 1 - 0.3 * lane,
}
# Numbers that may not be 0.
BITS = ["bits", "layers.first", "layers.middle", "layers.last"]
OWN = OF_THE_HOST | {f"compression.weights.{name}": lambda lane: 2 + 3 * lane for name in BITS}
OWN |= {"compression.weights.bases": lambda lane: 1 + lane}
OWN |= {"compression.activations.bits": lambda lane: 2 + 3 * lane}
OWN |= {"compression.activations.top": lambda lane: 0.3 + 0.2 * lane}


def _goes(path: str, case: str) -> bool:
    """Whether the technique of a number goes with the data and the techniques of a case."""
    owners = [line for line in TECHNIQUES.values() if path in (line.place, *line.numbers)]
    if case not in OF_ONE:
        wrong, left_out = set(LACKING[case]), "privacy."
    else:
        name, left_out = OF_ONE[case]
        wrong = {*LACKING["table"], *TECHNIQUES[name].excludes}
    return not path.startswith(left_out) and all(wrong.isdisjoint(line.needs) for line in owners)


def _written(path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {name: _written(rest, value) if rest else value}


def _numbers(case: str) -> list[str]:
    training = Training.model_validate(_document(case))
    found = [path for path, mark, _ in marked_leaves(training) if mark is Mark.KNOB]
    return [path for path in (*found, *OF_THE_HOST) if _goes(path, case)]


def _document(case: str) -> dict[str, Any]:
    names = {"train": {"average": {"name": "ema"}}, **NAMES[case]}
    schedule = {"optimizer": {"schedule": {"name": "cosine"}}}
    return merged(merged(document(EXAMPLES.get(case, [])), names), schedule)


def _training(case: str, lane: int) -> Training:
    """A training with all these numbers, each lane's its own; 0 in the first one."""
    numbers = _numbers(case)
    written = merged(_document(case), {"train": {"stream": lane, "varying": numbers}})
    for path in numbers:
        own = [OWN[path](lane)] if path in OWN else []
        for value in own or (0.11 * lane, 1 + lane, 0.1):
            try:
                Training.model_validate(merged(written, _written(path, value)))
            except ValidationError:
                continue
            written = merged(written, _written(path, value))
            break
        else:
            raise AssertionError(f"no value of {path} was found")
    return Training.model_validate(
        merged(written, {"optimizer": {"learning_rate": 0.01 * (1 + lane)}})
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    """Small data of each kind."""
    found = small_data(tmp_path_factory.mktemp("data"))
    return {**found, **dict.fromkeys(OF_ONE, found["table"])}


def test_the_cases_hold_every_number_of_the_sections_of_techniques() -> None:
    sections = ("updates.", "augment.", "sampling.", "attack.", "privacy.", "compression.")
    every = {
        path
        for path, mark, _ in marked_leaves(Training.model_validate(_document("table")))
        if mark in (Mark.KNOB, Mark.HOST) and path.startswith(sections)
    }
    assert {path for case in NAMES for path in _numbers(case)} >= every
    assert min(len(_numbers(case)) for case in NAMES) > 12


@pytest.mark.long
@pytest.mark.parametrize("case", NAMES)
def test_all_numbers_vary_in_one_program_and_are_the_lanes_own(
    case: str, data: dict[str, DataSet], learn: Learn
) -> None:
    trainings = [_training(case, lane) for lane in range(3)]
    programs = {split(training, data[case], "cpu")[0] for training in trainings}
    assert len(programs) == 1, "a number has compiled another program"
    together = learn(data[case], trainings, lanes=2)
    for training in trainings:
        alone = learn(data[case], [training], lanes=2)  # the same code, beside an empty lane
        assert alone[training.train.stream] == together[training.train.stream]
    assert len({curve[-1]["loss"] for curve in together.values()}) == 3
