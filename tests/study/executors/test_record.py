"""The results of a trial by epoch, in memory and in its file."""

import pytest

from hpo.study.executors.record import Record
from hpo.study.executors.results import Result


def values(record):
    return [metrics["loss"] for metrics in record.epochs]


def taken(record, *results):
    record.begin(goes_on=False)
    return [record.take(Result(named, {"loss": value}), 1.0) for named, value in results]


def test_results_without_numbers_are_those_of_one_epoch_after_the_other(tmp_path):
    record = Record(tmp_path, 5)
    assert taken(record, (None, 0.5), (None, 0.4)) == [None, None]
    assert values(record) == [0.5, 0.4]


def test_epochs_that_are_left_out_have_the_values_of_the_next_one(tmp_path):
    record = Record(tmp_path, 9)
    taken(record, (3, 0.5), (5, 0.4))
    assert values(record) == [0.5, 0.5, 0.5, 0.4, 0.4]
    assert record.spent == pytest.approx(2)


def test_the_first_epoch_may_be_called_0(tmp_path):
    record = Record(tmp_path, 5)
    taken(record, (0, 0.5), (1, 0.4))
    assert values(record) == [0.5, 0.4]
    again = Record(tmp_path, 5)
    again.begin(goes_on=True)
    again.take(Result(2, {"loss": 0.3}), 1.0)
    assert values(again) == [0.5, 0.4, 0.3]


def test_the_first_value_of_an_epoch_stands_and_one_too_far_does_not_count(tmp_path):
    record = Record(tmp_path, 2)
    notes = taken(record, (1, 0.5), (1, 0.1), (2, 0.4), (3, 0.2))
    assert values(record) == [0.5, 0.4]
    assert notes == [
        None,
        "epoch 1 is reported again: its first value stands.",
        None,
        "epoch 3 is beyond the last one (2): it does not count.",
    ]


def test_a_command_that_starts_again_repeats_its_epochs_unheard(tmp_path):
    taken(Record(tmp_path, 5), (None, 0.5), (None, 0.4))
    record = Record(tmp_path, 5)
    assert taken(record, (None, 0.9), (None, 0.8), (None, 0.3)) == [None, None, None]
    assert values(record) == [0.5, 0.4, 0.3]


def test_a_command_that_goes_on_reports_the_next_epoch(tmp_path):
    taken(Record(tmp_path, 5), (None, 0.5), (None, 0.4))
    record = Record(tmp_path, 5)
    record.begin(goes_on=True)
    record.take(Result(None, {"loss": 0.3}), 1.0)
    assert values(record) == [0.5, 0.4, 0.3]


def test_the_last_result_of_a_command_that_ends_stands_for_the_rest(tmp_path):
    record = Record(tmp_path, 4)
    taken(record, (None, 0.5))
    record.end()
    assert values(record) == [0.5] * 4
    assert values(Record(tmp_path, 4)) == [0.5] * 4


def test_a_line_that_was_cut_short_by_a_kill_is_dropped(tmp_path):
    record = Record(tmp_path, 5)
    taken(record, (None, 0.5))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"metrics": {"lo')
    again = Record(tmp_path, 5)
    again.begin(goes_on=True)
    again.take(Result(None, {"loss": 0.4}), 1.0)
    assert values(Record(tmp_path, 5)) == [0.5, 0.4]


def test_results_are_known_up_to_a_damaged_line(tmp_path):
    whole = '{"metrics": {"loss": 0.5}, "seconds": 1.0}\n'
    for damaged in ("nonsense", "[]", '{"metrics": {"loss": "x"}, "seconds": 1}', '{"metrics": 3}'):
        (tmp_path / "results.jsonl").write_text(f"{whole}{damaged}\n{whole}")
        assert values(Record(tmp_path, 5)) == [0.5]
        assert (tmp_path / "results.jsonl").read_text() == whole
