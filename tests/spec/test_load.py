"""Specs that load: files, stored documents, and what a search or a training needs of them."""

import json
from pathlib import Path

import pytest

from hpo.errors import HpoError, SpecError
from hpo.spec.file.dump import dump_spec
from hpo.spec.load import (
    experiment_from_document,
    load_experiment,
    require_search,
    require_single,
)
from tests.spec.samples import SEARCH, SPEC, loaded
from tests.spec.space.samples import searched


def test_the_configs_that_come_with_hpo_load_from_any_folder_unless_it_has_its_own():
    assert load_experiment(Path("configs/digits.yaml")).folder.name == "configs"

    Path("configs").mkdir()
    Path("configs/digits.yaml").write_text(SPEC.replace("epochs: 9", "epochs: 4"))
    assert load_experiment(Path("configs/digits.yaml")).training.train.epochs == 4


def test_a_spec_without_space_and_search_is_a_training_configuration(tmp_path):
    experiment = loaded(tmp_path, "")
    assert len(experiment.space) == 0
    assert experiment.search is None
    assert require_single(experiment) == experiment
    with pytest.raises(HpoError, match="add search"):
        require_search(experiment)


def test_a_search_needs_something_that_varies_and_a_training_nothing(tmp_path):
    with pytest.raises(HpoError, match="nothing varies"):
        require_search(loaded(tmp_path, SEARCH))
    varied = loaded(tmp_path, SEARCH + "space: {model.norm: {choice: [none, layer]}}")
    assert require_search(varied) == varied.search
    with pytest.raises(HpoError, match=r"model\.norm may vary"):
        require_single(varied)


def test_a_space_of_constants_alone_is_a_training_configuration(tmp_path):
    text = """
    model.dropout: {value: 0.25}
    optimizer.schedule.name: cosine
    optimizer.schedule.warmup: {derived: model.dropout / 5}
    optimizer.momentum: {value: 0.5, when: {optimizer.name: sgd}}
    """
    found = require_single(loaded(tmp_path, f"space: {text}"))
    assert (len(found.space), "space" in found.document) == (0, False)
    assert found.training.model.dropout == 0.25
    assert found.training.optimizer.schedule.warmup == 0.05


def test_a_stored_document_loads_back_to_an_equal_experiment(tmp_path):
    text = SEARCH + "space: {include: [optimizer, mlp], optimizer.name: {choice: [sgd, adam]}}"
    experiment = loaded(tmp_path, text, "train.epochs=27", "search.trials=5")
    stored = json.loads(json.dumps(experiment.document))
    assert experiment_from_document(stored, tmp_path) == experiment
    (tmp_path / "again.yaml").write_text(dump_spec(stored))
    assert parsed_space(tmp_path / "again.yaml") == experiment.document["space"]


def parsed_space(path: Path):
    from hpo.spec.file.document import parse_yaml

    return parse_yaml(path.read_text(), "f").values["space"]


def test_a_grid_does_not_move_its_ranges():
    with pytest.raises(SpecError, match="moves its bounds, which grid cannot follow: remove adapt"):
        searched({"data.batch_size": {"int": [16, 18], "adapt": True}}, sampler={"name": "grid"})
