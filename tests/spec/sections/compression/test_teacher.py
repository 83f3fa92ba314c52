"""The part `compression.teacher` of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.teacher import Teacher, teacher_mistakes, teacher_of
from tests.engine.samples import a_training


@pytest.mark.parametrize(
    ("leaf", "value"), [("weight", 1.1), ("weight", -0.1), ("temperature", 0), ("from", 3)]
)
def test_values_that_no_teacher_has_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Teacher.model_validate({leaf: value})


def test_a_folder_without_a_trained_model_is_told(tmp_path: Path) -> None:
    training = a_training(compression={"teacher": {"from": "big"}})
    assert teacher_of(training) == "big"
    assert teacher_of(a_training()) is None
    assert [*teacher_mistakes(a_training(), tmp_path)] == []

    (mistake,) = teacher_mistakes(training, tmp_path)
    assert mistake.path == ("compression", "teacher", "from")
    assert mistake.text == "'big' is not there: give a folder that hpo train wrote"
    (tmp_path / "big").mkdir()
    (mistake,) = teacher_mistakes(training, tmp_path)
    assert (
        mistake.text == "'big' is no folder of a trained model: give a folder that hpo train wrote"
    )
    (tmp_path / "big" / "ensemble.json").touch()
    assert [*teacher_mistakes(training, tmp_path)] == []
