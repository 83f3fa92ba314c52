"""The table of techniques: its lines, and the leaves of a spec that they are about."""

from __future__ import annotations

import pytest

from hpo.entries import NEEDS
from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.spec.experiment import Training
from hpo.spec.schema import all_leaves
from hpo.techniques import CIRCUMSTANCES, TECHNIQUES

SECTIONS = (
    "sampling",
    "augment",
    "attack",
    "privacy",
    "updates",
    "compression.sparsity",
    "compression.weights",
    "compression.weights.layers",
    "train.average",
)
KNOWN = {need for needs in NEEDS.values() for need in needs} | CIRCUMSTANCES.keys()
# Arguments of code of a user's own are in no table.
OWN = ("augment.python", "augment.sha256", "augment.knobs", "augment.static")


def test_every_leaf_of_a_section_of_techniques_has_a_line():
    lines = {line.place for line in TECHNIQUES.values()}
    numbers = {path for line in TECHNIQUES.values() for path in line.numbers}
    leaves = {
        path
        for path, _ in all_leaves(Training)
        if path.startswith(tuple(f"{section}." for section in SECTIONS))
        and path not in (*OWN, *SECTIONS)
    }
    assert leaves - lines - numbers == set()


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_line_is_about_leaves_that_exist_and_knows_its_words(name):
    line, leaves = TECHNIQUES[name], dict(all_leaves(Training))
    assert leaves.keys() >= {line.place, *line.numbers}
    assert NEEDS["technique"].keys() >= {*line.needs}
    assert line.excludes.keys() <= KNOWN
    assert line.paper == "" or line.paper.startswith("https://")


def test_no_technique_has_the_name_of_an_optimizer_or_of_a_schedule():
    names = [*TECHNIQUES, *OPTIMIZERS, *SCHEDULES]
    assert len(names) == len(set(names))
