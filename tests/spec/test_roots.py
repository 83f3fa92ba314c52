"""A spec file over another training than data, model and optimizer."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from hpo.errors import SpecError
from hpo.spec.code.own_data import OwnData
from hpo.spec.experiment import SpecFile, Training
from hpo.spec.file.document import Mistake
from hpo.spec.file.dump import dump_spec
from hpo.spec.fill import fill, filled
from hpo.spec.load import load_document, load_experiment
from hpo.spec.marks import Knob, Spec, Static
from hpo.spec.programs import shaping
from hpo.spec.roots import file_of, root_of, train_of
from hpo.spec.schema import spec_mistakes
from hpo.spec.sections.train import TrainSpec
from hpo.spec.space.dimensions import build_space
from hpo.spec.space.entries import Entry, read_entry
from tests.documents import SMALL


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


LOAD = """
raise SystemExit("nobody may run this")

def load(path, least: float = 0.0): ...
"""


def test_the_short_form_of_own_data_is_written_out_with_its_lines(tmp_path):
    (tmp_path / "data.py").write_text(LOAD)
    spec = tmp_path / "spec.yaml"
    rest = SMALL | {"space": {}, "search": {"objective": {"minimize": "loss"}, "trials": 1}}
    del rest["data"]
    text = "data:\n  python: data.py:load\n  path: a.txt\n  least: {}\n  batch_size: 8\n"
    spec.write_text(text.format(0.5) + dump_spec(rest))

    experiment = load_experiment(spec, ["data.dataset.least=0.75"])

    assert experiment.document["data"] == {
        "dataset": {"python": "data.py:load", "path": "a.txt", "least": 0.75},
        "batch_size": 8,
    }
    assert experiment.training.data.batch_size == 8
    spec.write_text(text.format("much") + dump_spec(rest))
    with pytest.raises(SpecError, match=r"spec\.yaml:4: data\.least: cannot be 'much'"):
        load_experiment(spec)


def test_an_override_may_give_own_data_in_the_short_form(tmp_path):
    (tmp_path / "data.py").write_text(LOAD)
    search = {"objective": {"minimize": "loss"}, "trials": 1}
    written = "data={python: data.py:load, path: a.txt, batch_size: 8}"

    experiment = load_document(
        {**SMALL, "space": {}, "search": search}, tmp_path, [written, "data.least=0.75"]
    )

    assert experiment.document["data"] == {
        "dataset": {"python": "data.py:load", "path": "a.txt", "least": 0.75},
        "batch_size": 8,
    }
    assert experiment.training.data.batch_size == 8


def test_code_of_the_users_may_read_data_beside_a_model_and_a_loss_of_theirs(tmp_path):
    (tmp_path / "own.py").write_text(f"{LOAD}\ndef focal(outputs, y): ...\nclass Net: ...\n")
    document = {
        **SMALL,
        "data": {"dataset": {"python": "own.py:load", "path": "a.txt"}},
        "model": {"python": "own.py:Net"},
        "loss": {"python": "own.py:focal"},
        "train": {"epochs": 1, "metrics": [{"python": "own.py:focal"}]},
        "space": {},
    }

    training = load_document(document, tmp_path).training

    assert isinstance(training, Training)
    assert isinstance(training.data.dataset, OwnData)
    assert training.loss is not None
    assert training.model.own.code is not None
    assert [*training.own_metrics] == ["own.py:focal"]


def test_mistakes_in_moved_sections_are_told_by_the_paths_that_the_user_wrote(tmp_path):
    (tmp_path / "train.py").write_text("def objective(trial, rate): ...\ndef load(): ...\n")
    (tmp_path / "function.yaml").write_text(
        "name: function\n"
        'objective: {python: "train.py:objective", wrkers: 2, memory_limit: 2Gib}\n'
        "search: {objective: {minimize: loss}, trials: 3}\n"
    )
    (tmp_path / "data.yaml").write_text('name: data\ndata: {python: "train.py:load", shade: 3}\n')

    for spec, paths in (
        ("function", ["objective.wrkers", "objective.memory_limit"]),
        ("data", ["data.shade"]),
    ):
        with pytest.raises(SpecError) as error:
            load_experiment(tmp_path / f"{spec}.yaml")
        told = [line.split(": ")[1] for line in error.value.mistakes]
        assert [path for path in paths if path not in told] == []


def test_a_key_that_an_objective_does_not_know_is_told_with_those_that_it_knows(tmp_path):
    (tmp_path / "train.py").write_text("def objective(trial): ...\n")
    document = {
        "name": "function",
        "objective": {"python": "train.py:objective", "wrkers": 2},
        "search": {"objective": {"minimize": "loss"}, "trials": 3},
    }
    with pytest.raises(SpecError) as error:
        load_document(document, tmp_path)
    assert error.value.mistakes == [
        "objective.wrkers: unknown key 'wrkers'. Did you mean 'workers'? Known keys: env, folder, "
        "grace, log_limit, memory_limit, python, results, stay, time_limit, values, workers."
    ]
