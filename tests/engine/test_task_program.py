"""The program of a task of a user's own: what decides it, and its label."""

from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.dataset import NO_DATA
from hpo.engine.task_program import TaskProgram, split_task
from tests.own_tasks import DESCENT, a_task


def program_of(folder: Path, *overrides: str, **parts: Any) -> tuple[TaskProgram, np.ndarray]:
    training: Any = a_task(folder, *overrides, space=None, search=None, **parts).training
    return split_task(training, NO_DATA, "cpu")


def test_only_arguments_of_the_constructor_decide_the_program(tmp_path: Path) -> None:
    program, knobs = program_of(tmp_path, "task.rate=0.5", "train.seed=3")
    other, others = program_of(tmp_path, "task.rate=0.0", "train.epochs=9")

    assert program == other
    assert hash(program) == hash(other)
    assert program.knobs == ("noise", "rate")
    assert knobs.tolist() == [0.0, 0.5]
    assert others.tolist() == [0.0, 0.0]
    wider, _ = program_of(tmp_path, "task.size=9")
    assert wider != program
    assert wider.arguments == {"size": 9, "target": 1.0}
    assert str(wider) == "descent.py:Task, size 9, target 1.0"


def test_a_default_that_python_computes_is_left_to_python(tmp_path: Path) -> None:
    code = DESCENT.replace("size: int = 3", "size: int = 2 * 2")

    assert program_of(tmp_path, code=code)[0].arguments == {"target": 1.0}
    assert program_of(tmp_path, "task.size=5", code=code)[0].arguments["size"] == 5


def test_a_label_is_the_same_in_every_folder_and_another_for_other_code(tmp_path: Path) -> None:
    labels = []
    for name, code in (("a", DESCENT), ("b", DESCENT), ("c", DESCENT + "# changed\n")):
        (tmp_path / name).mkdir()
        labels.append(program_of(tmp_path / name, code=code)[0].label)

    assert labels[0] == labels[1] != labels[2]
    assert program_of(tmp_path, "task.size=9")[0].label not in labels
