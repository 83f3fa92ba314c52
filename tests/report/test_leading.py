"""Search, show and export name the same leading trial."""

import re
from datetime import date

import pytest

from hpo.errors import HpoError
from hpo.report.export import export_trial
from hpo.report.study_report import overviews, study_report
from hpo.spec.load import experiment_from_document
from hpo.study.log.events import fold
from hpo.study.progress import Watcher
from hpo.trial import TrialState

COMPLETE, PAUSED, PRUNED = TrialState.COMPLETE, TrialState.PAUSED, TrialState.PRUNED


class Idle:
    """A driver and a compiler with nothing to do."""

    epochs_trained, programs = 0.0, 0
    is_stopping = False

    def in_training(self):
        return set()


@pytest.mark.parametrize(
    ("bound", "lives", "leading"),
    [
        # Of the trials in full trial 1 comes nearest to the bound, and none that was pruned.
        (0.01, [([0.5, 0.6, 0.7], COMPLETE), ([0.5, 0.6, 0.8], COMPLETE), ([0.9], PRUNED)], 1),
        (None, [([0.95], PRUNED), ([0.6, 0.7], PAUSED), ([0.6, 0.65], PAUSED)], 1),
    ],
)
def test_every_report_names_the_same_leading_trial(
    storage, store, spec, adamw, tmp_path, bound, lives, leading
):
    bounds = [] if bound is None else [{"metric": "loss", "at_most": bound}]
    bounded = {**spec, "search": {**spec["search"], "constraints": bounds}}
    record = store([(adamw, *life) for life in lives], spec=bounded)
    experiment = experiment_from_document(bounded, tmp_path)
    state = fold(storage.events(record.id), experiment.search.goal)

    progress = Watcher(experiment, state, Idle(), lambda: 0, lambda _: None).progress()
    report = study_report(storage, "digits", top=1)
    with pytest.raises(HpoError) as refusal:
        export_trial(storage, "digits", None, None, date(2026, 11, 22))

    assert progress.best is None
    assert progress.leader.number == leading
    assert report.curve_of.number == report.top[0].number == leading
    assert re.findall(r"leading one is trial (\d+)", str(refusal.value)) == [str(leading)]
    assert [overview.best for overview in overviews(storage)] == [None]
