"""What an experiment holds."""

import pytest

from tests.spec.samples import SEARCH, loaded


def test_a_spec_that_writes_a_default_is_the_same_written_out_as_one_that_leaves_it_out(tmp_path):
    short = loaded(tmp_path, SEARCH)
    long = loaded(
        tmp_path,
        SEARCH,
        "train.seed=0",
        "updates.sam_radius=0",
        "study.checkpoint_seconds=10",
        "search.sampler.name=auto",
        "search.scheduler.name=auto",
    )
    assert short.document != long.document
    assert short.written_out() == long.written_out()


@pytest.mark.parametrize("change", ["train.seed=1", "search.trials=11", "updates.clip_norm=1"])
def test_a_spec_that_says_something_else_is_another_one_written_out(tmp_path, change):
    assert loaded(tmp_path, SEARCH).written_out() != loaded(tmp_path, SEARCH, change).written_out()
