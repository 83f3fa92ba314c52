"""A spec file over another training than data, model and optimizer."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hpo.spec.experiment import SpecFile, Training
from hpo.spec.file.document import Mistake
from hpo.spec.fill import fill, filled
from hpo.spec.marks import Knob, Spec, Static
from hpo.spec.programs import shaping
from hpo.spec.roots import file_of, root_of, train_of
from hpo.spec.schema import spec_mistakes
from hpo.spec.sections.train import TrainSpec
from hpo.spec.space.dimensions import build_space
from hpo.spec.space.entries import Entry, read_entry


class Annealing(Spec):
    steps: Annotated[Static[int], Field(ge=1)] = 100
    cooling: Annotated[Knob[float], Field(gt=0, lt=1)] = 0.9


class Annealed(Spec):
    annealing: Annealing = Annealing()
    train: TrainSpec


def _entries(section: dict[str, object]) -> list[Entry]:
    read = (read_entry(path, written)[0] for path, written in section.items())
    return [entry for entry in read if isinstance(entry, Entry)]


def test_a_document_without_code_of_the_users_is_a_training():
    assert root_of({"model": {"name": "mlp"}}, Path()) is Training
    assert root_of("no mapping", Path()) is Training
    assert file_of(Training) is SpecFile


def test_a_file_has_the_sections_of_its_training_and_those_of_every_spec():
    fields = file_of(Annealed).model_fields

    assert [*fields] == ["annealing", "train", "name", "space", "search", "study"]
    assert train_of(Annealed) is TrainSpec
    document = {"name": "x", "annealing": {"stepz": 3}, "train": {"epochs": 2}}
    assert spec_mistakes(file_of(Annealed), document) == [
        Mistake(
            ("annealing", "stepz"),
            "unknown key 'stepz'. Did you mean 'steps'? Known keys: cooling, steps.",
        )
    ]


def test_a_space_ranges_over_the_leaves_of_its_own_training():
    written = {
        "annealing.cooling": {"float": [0.5, 0.99]},
        "annealing.steps": {"int": [10, 20]},
        "model.dropout": {"float": [0.0, 0.5]},
    }
    values = {"train": {"epochs": 2}}

    space, mistakes = build_space(_entries(written), values, root=Annealed)

    assert [mistake.path for mistake in mistakes] == [("space", "model.dropout")]
    assert shaping(space, Annealed) == {"annealing.steps"}
    hparams = {"annealing.cooling": 0.7, "annealing.steps": 12}
    training = Annealed.model_validate(values)
    assert fill(training, hparams, 3) == Annealed(  # type: ignore[comparison-overlap, type-var]
        annealing=Annealing(steps=12, cooling=0.7), train=TrainSpec(epochs=2, stream=3)
    )
    assert filled({}, {"annealing.steps": 12}, Annealed) == {"annealing": {"steps": 12}}
