"""A spec that was searched is trained as its best trial."""

import json
import re

import pytest

from hpo.api.study import Study
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.baseline import Baseline
from hpo.study.log.events import fold
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage


def test_a_searched_spec_is_trained_as_its_best_trial(hpo, spec, tmp_path):
    refused = hpo("train", "flowers.yaml", "-o", "model")
    hpo("search", "flowers.yaml", "--quiet")
    best = hpo("export", "flowers").out
    trained = hpo("train", "flowers.yaml", "-o", "model", "--quiet", "--set", "train.seed=0")

    assert refused.code == 2
    assert "may vary: remove space, or use hpo search" in refused.err
    assert trained.code == 0, trained.err
    number, accuracy = re.search(r"# Trial (\d+) .* validation accuracy ([\d.]+)", best).groups()
    assert trained.err.startswith(f"Trial {number} is the best of flowers.")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["accuracy"] == pytest.approx(float(accuracy), abs=1e-4)


def test_the_baselines_of_a_searched_spec_stand_below_its_trained_winner(hpo, spec, tmp_path):
    hpo("search", "flowers.yaml", "--quiet")
    forest = Baseline("forest", "leaves of 1", {"accuracy": 0.875}, {"accuracy": 0.625})
    with Storage.create(f"sqlite:///{tmp_path / 'hpo.db'}") as storage:
        record = storage.study("flowers")
        state = fold(storage.events(record.id), Goal((Objective(maximize="accuracy"),)))
        with acquire(storage, record.id) as lease:
            storage.append(record.id, [state.record(forest, None, 0)], lease.token, None)

    trained = hpo("train", "flowers.yaml", "-o", "model", "--quiet")

    assert trained.code == 0, trained.err
    assert re.search(r"accuracy +test accuracy +baseline, untuned", trained.out)
    assert re.search(r"0\.8750 +0\.6250 +forest +leaves of 1\n", trained.out)
    (found,) = Study("flowers").baselines
    assert (found.value, found.test) == (0.875, {"accuracy": 0.625})


def test_a_damaged_database_is_named_where_its_spec_is_to_be_trained(hpo, spec, tmp_path):
    (tmp_path / "hpo.db").write_bytes(b"no database" * 100)
    refused = hpo("train", "flowers.yaml", "-o", "model")
    assert refused.code == 2
    assert "hpo.db" in refused.err
    assert "may vary" not in refused.err
