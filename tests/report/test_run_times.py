"""The tables that show where time went."""

import json

import pytest
from rich.console import Console

from hpo.errors import StudyError
from hpo.report.run_times import as_json, times_of_runs, times_view
from hpo.study.log.events import Start, Stop, Times, fold
from hpo.study.storage.lease import acquire
from hpo.study.storage.stored import stored_experiment

POOL = {"start_up": 1.0, "training": 6.0, "evaluating": 2.0, "idle": 1.0}
DRIVER = {"start_up": 1.5, "waiting": 8.4}


@pytest.fixture
def timed(storage, store):
    """A study whose first run told its time twice and ended; the second one was killed."""
    record = store([], stop=None)
    experiment = stored_experiment(record, "here")
    with acquire(storage, record.id) as lease:
        state = fold(storage.events(record.id), experiment.search.goal)
        happenings = [
            Times({"pool 0": {"idle": 1.0}}),
            Times({"pool 0": POOL, "driver": DRIVER}),
            Stop("interrupted"),
            Start({"device": "1 x cpu"}),
            Times({"pool 0": {"start_up": 4.0}, "driver": {"start_up": 4.0}}),
        ]
        log = [state.record(what, None, 1000 * i) for i, what in enumerate(happenings)]
        storage.append(record.id, log, lease.token)
    return storage


def text_of(view):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_each_run_is_shown_by_its_last_record(timed):
    first, second = times_of_runs(timed, "digits")

    assert (first.seconds, first.is_whole) == (10.0, True)
    assert first.threads == {"pool 0": POOL, "driver": DRIVER}
    assert (second.start_ms, second.seconds, second.is_whole) == (3000, 4.0, False)


def test_a_column_of_the_table_adds_up_to_its_run(timed):
    text = text_of(times_view("digits", times_of_runs(timed, "digits")))

    first, second, note = text.split("\n\n")

    def cells(words):
        line = next(line for line in first.splitlines() if words in line)
        return line.split(words)[1].split()

    assert cells("waiting for the pools") == ["-", "8.40", "s", "84%"]
    assert cells("training") == ["6.00", "s", "60%", "-"]
    assert "compiling" not in first
    assert "4.0 s up to its last record" in second
    assert note.startswith("Evaluation runs inside the compiled call of a round")


def test_the_times_are_json_all_the_way_down(timed):
    (first, _) = json.loads(json.dumps(as_json(times_of_runs(timed, "digits"))))
    assert first["threads"]["pool 0"] == POOL


def test_a_study_of_an_older_version_has_none(storage, digits):
    assert times_of_runs(storage, "digits") == ()
    assert "no run has recorded its time yet" in text_of(times_view("digits", ()))


def test_a_study_that_is_not_there_is_named_with_those_that_are(storage, digits):
    with pytest.raises(StudyError, match="has no study 'digit'"):
        times_of_runs(storage, "digit")
