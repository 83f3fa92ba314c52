"""What a spec says about a task of a user's own, and what its class says in literals."""

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec.code.own_task import TaskTraining, said_by
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import Mark, marked_leaves
from tests.own_tasks import DESCENT, DOCUMENT, a_task

WRITTEN = "descent.py:Task"


def leaves(training: Any) -> dict[str, tuple[Mark, Any]]:
    return {path: (mark, value) for path, mark, value in marked_leaves(training)}


def test_the_numbers_of_the_literal_are_knobs_and_arguments_are_static(tmp_path: Path) -> None:
    experiment = a_task(tmp_path, task={"python": "descent.py:Task", "size": 4, "rate": 0.5})

    assert isinstance(experiment.training, TaskTraining)
    assert leaves(experiment.training) == {
        "task.rate": (Mark.KNOB, 0.5),
        "task.noise": (Mark.KNOB, 0.0),
        "task.size": (Mark.STATIC, 4),
        "task.target": (Mark.STATIC, 1.0),
    }
    said = said_by(experiment.training.task.own)
    assert (said.steps, said.metrics) == (5, (("loss", "minimize"),))


def test_reading_a_spec_runs_nothing_of_the_file(tmp_path: Path) -> None:
    experiment = a_task(tmp_path, code=f"raise SystemExit(3)\n{DESCENT}")

    assert experiment.training.train.epochs == 4


def test_equal_documents_have_the_same_class(tmp_path: Path) -> None:
    assert type(a_task(tmp_path).training) is type(a_task(tmp_path, "train.epochs=9").training)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    steps = 5\n", "", f"{WRITTEN} has no literal steps: write steps = 100 in the class"),
        ("steps = 5", "steps = 0", f"{WRITTEN} has steps = 0: write steps = 100 in the class"),
        (
            '{"loss": "minimize"}',
            '{"loss": "lower"}',
            f"{WRITTEN} has metrics = {{loss: 'lower'}}: write metrics = {{'loss': 'minimize'}} in",
        ),
        (
            '{"loss": "minimize"}',
            '{"parameters": "minimize"}',
            "gives a metric a name of hpo's own: rename parameters",
        ),
        ('"noise": 0.0', '"noise": None', "knobs = {rate: 0.1, noise: null}: write knobs = {"),
        ('"noise": 0.0', '"size": 3.0', "size is a knob and an argument of the constructor"),
        ("def evaluate", "def evaluated", f"{WRITTEN} has no method evaluate: define init, step,"),
        ("class Task", "class Tusk", "has no class or function Task: it defines Tusk"),
        ("size: int = 3", "size", "task.size: is missing: descent.py:Task needs it (descent.py:"),
    ],
)
def test_what_a_class_lacks_is_said_with_its_line_before_it_runs(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in DESCENT
    code = DESCENT.replace(old, new)
    if new == "size":
        code = code.replace("target: float = 1.0", "target")

    with pytest.raises(SpecError) as error:
        a_task(tmp_path, code=code)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            {"task": {"python": "descent.py:Task", "rates": 0.5}},
            "task.rates: unknown argument or knob 'rates'. Did you mean 'rate'?",
        ),
        (
            {"space": {"task.sise": {"int": [1, 2]}}},
            "space.task.sise: unknown argument or knob 'sise'. Did you mean 'size'?",
        ),
        ({"task": {"python": "absent.py:Task"}}, "task.python: there is no file"),
        ({"task": {"python": "descent.py:Task", "rate": "x"}}, "task.rate: cannot be 'x'"),
        ({"task": {}}, "task.python: is missing"),
        (
            {
                "train": {"epochs": 4, "changes": [{"after": 2, "hparams": {"task.size": 4}}]},
                "space": None,
                "search": None,
            },
            "train.changes: after 2 epochs: unknown leaf 'task.size'",
        ),
        ({"space": {"data.batch_size": {"int": [8, 9]}}}, "there is no leaf 'data.batch_size'"),
    ],
)
def test_what_a_spec_gives_a_task_must_be_known(
    tmp_path: Path, parts: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError) as error:
        a_task(tmp_path, **parts)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("search", "says"),
    [
        (
            {"objective": {"minimize": "los"}},
            "search.objective: unknown metric 'los'. Did you mean 'loss'?",
        ),
        (
            {"objective": {"maximize": "loss"}},
            "search.objective: descent.py:Task minimizes loss: write {minimize: loss}",
        ),
        ({"objective": {"minimize": "flops"}}, "flops is not known of a task of your own"),
        ({"objective": {"minimize": "train_seconds"}}, "is not known after every epoch"),
        ({"constraints": [{"metric": "lss", "at_most": 1}]}, "unknown metric 'lss'"),
    ],
)
def test_a_search_is_for_metrics_that_the_class_names(
    tmp_path: Path, search: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError) as error:
        a_task(tmp_path, search={**DOCUMENT["search"], **search})
    assert says in str(error.value)


@pytest.mark.parametrize("code", [None, "class Other:\n    pass\n"])
def test_a_stored_study_is_read_where_its_code_is_missing_or_another(
    tmp_path: Path, code: str | None
) -> None:
    if code is not None:
        (tmp_path / "descent.py").write_text(code)
    task = {"python": "descent.py:Task", "size": 4, "rate": 0.5}

    experiment = experiment_from_document({**DOCUMENT, "task": task}, tmp_path, "test")

    training: Any = experiment.training
    assert (training.task.size, training.task.rate) == (4, 0.5)
    assert leaves(training)["task.rate"][0] is Mark.KNOB
