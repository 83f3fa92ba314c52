"""What a private training does not go with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hpo.errors import SpecError
from hpo.spec.load import load_experiment

_SPEC = {
    "name": "private",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "privacy": {"clip": 1.0, "noise": 1.0},
    "train": {"epochs": 2},
}


def _load(folder: Path, **sections: object):
    (folder / "s.yaml").write_text(yaml.safe_dump(_SPEC | sections))
    return load_experiment(folder / "s.yaml")


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"privacy": {"clip": 1.0}}, r"privacy\.noise: is missing beside clip: write both"),
        (
            {"model": {"name": "mlp", "norm": "batch"}},
            r"apart, and model\.norm batch keeps statistics",
        ),
        ({"updates": {"sam_radius": 0.1}}, r"updates\.sam_radius takes a second gradient"),
        ({"sampling": {"name": "importance"}}, r"draws each row by itself, and importance draws"),
        (
            {"data": {"dataset": "iris", "folds": 3}},
            r"privacy\.noise: counts one training, and data\.folds",
        ),
        (
            {"augment": {"swap_noise": 0.1}},
            r"augment\.swap_noise mixes the rows of a batch: remove one",
        ),
        ({"train": {"epochs": 2, "precision": "float16"}}, r"counts every step, and float16 skips"),
        ({"optimizer": {"name": "momo"}}, r"and momo gets the gradient .*: use another optimizer"),
    ],
)
def test_what_a_private_training_cannot_have_is_refused(
    tmp_path: Path, sections: dict[str, object], says: str
) -> None:
    with pytest.raises(SpecError, match=says):
        _load(tmp_path, **sections)


def test_a_population_cannot_be_private(tmp_path: Path) -> None:
    search = {
        "trials": 8,
        "objective": {"maximize": "accuracy"},
        "sampler": {"name": "random"},
        "scheduler": {"name": "pbt"},
    }
    space = {"optimizer.learning_rate": {"float": [0.01, 1.0]}}
    with pytest.raises(
        SpecError, match=r"privacy\.noise: counts one .* copies weights between trials"
    ):
        _load(tmp_path, train={"epochs": 20}, space=space, search=search)


def test_epsilon_needs_privacy_in_the_spec_or_its_space(tmp_path: Path) -> None:
    train = {"epochs": 2, "metrics": ["epsilon"]}
    with pytest.raises(SpecError, match=r"epsilon needs privacy\.noise: write it"):
        _load(tmp_path, privacy={}, train=train)
    space = {"privacy.noise": {"float": [0.5, 4.0]}, "privacy.clip": {"float": [0.1, 2.0]}}
    found = _load(
        tmp_path,
        privacy={},
        train=train,
        space=space,
        search={"trials": 2, "objective": {"maximize": "accuracy"}},
    )
    assert len(found.space.dimensions) == 2
