"""The section `train` of a spec; `tests/spec/test_mistakes.py` has what it refuses."""

from tests.spec.samples import loaded


def test_a_further_metric_counts_once_however_often_it_is_named(tmp_path):
    once = loaded(tmp_path, "", "train.metrics=[auroc]").training.train
    twice = loaded(tmp_path, "", "train.metrics=[auroc, auroc]").training.train
    assert once.metrics == ("auroc",)
    assert once == twice


def test_numbers_that_change_while_it_trains_are_whole_or_broken_numbers(tmp_path):
    changes = "train.changes=[{after: 3, hparams: {optimizer.momentum: 0.5, model.dropout: 0}}]"
    (change,) = loaded(tmp_path, "", changes).training.train.changes
    assert (change.after, change.hparams) == (3, {"optimizer.momentum": 0.5, "model.dropout": 0})
