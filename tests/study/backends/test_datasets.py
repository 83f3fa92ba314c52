"""The data sets of a study, and the names that executors know them by."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.data.cache import DataCache
from hpo.data.dataset import Split
from hpo.errors import HpoError
from hpo.spec.sections.data import DataSpec
from hpo.study.backends.datasets import DataSets, check_metrics


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    write(path, 80)
    return path


def write(path, rows):
    lines = [f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(rows)]
    path.write_text("\n".join(["x1,x2,y", *lines]))


def a_spec(table, **leaves):
    dataset = {"csv": str(table), "target": "y"}
    return DataSpec.model_validate({"dataset": dataset, "batch_size": 8, **leaves})


def datasets():
    return DataSets(Path(), None, DataCache(None))


def test_a_data_set_is_read_once_for_all_batch_sizes(table):
    opened = datasets()
    small = opened.load(a_spec(table))
    table.unlink()
    assert opened.load(a_spec(table, batch_size=16)) is small


def test_batch_sizes_share_a_reference_and_other_data_have_another(table):
    opened = datasets()
    reference = opened.reference(a_spec(table))
    assert opened.reference(a_spec(table, batch_size=16)) == reference
    assert opened.reference(a_spec(table, normalize="minmax")) != reference


def test_a_reference_leads_to_its_data_in_another_process_too(table):
    reference = datasets().reference(a_spec(table))
    assert datasets().of(reference).fingerprint == reference.fingerprint


def test_data_that_have_changed_are_refused_to_a_reference(table):
    reference = datasets().reference(a_spec(table))
    write(table, 81)
    with pytest.raises(HpoError, match=r"data\.dataset: .*are not those of the study .*: copy"):
        datasets().of(reference)


def test_a_batch_larger_than_the_training_split_is_refused(table):
    with pytest.raises(
        HpoError, match=r"data\.batch_size: 500 is larger than the 48 training rows"
    ):
        datasets().load(a_spec(table, batch_size=500))


def test_a_metric_that_the_task_does_not_have_is_refused(table):
    data = datasets().load(a_spec(table))
    check_metrics("search", ["accuracy", "auroc", "parameters"], data, {})
    with pytest.raises(HpoError, match=r"search: rmse is not a metric of classification, which"):
        check_metrics("search", ["auroc", "rmse"], data, {})


def test_a_metric_that_no_predictions_make_a_number_is_refused(table):
    data = datasets().load(a_spec(table))
    one_class = Split({**data.validation.arrays, "y": data.validation.y * 0})
    with pytest.raises(
        HpoError, match=r"train\.metrics: auroc is NaN for any predictions on the 16"
    ):
        check_metrics("train.metrics", ["auroc"], replace(data, validation=one_class), {})
