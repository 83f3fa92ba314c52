"""What `hpo list` and `hpo show` report about a study."""

import json
import math
import re
from io import StringIO

import pytest
from rich.console import Console

from hpo import __version__
from hpo.errors import DamagedError, HpoError, StudyError
from hpo.report.study_report import (
    as_json,
    baseline_results,
    overviews,
    study_report,
    trial_report,
)
from hpo.report.tables import study_view
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.baseline import Baseline
from hpo.study.storage.lease import acquire
from hpo.trial import Trial, TrialState


def test_the_best_trial_is_the_best_of_those_that_trained_in_full(storage, digits):
    report = study_report(storage, "digits", top=10)

    assert (report.overview.best.number, report.overview.best.value) == (1, 0.8)
    assert report.curve == (0.6, 0.9, 0.8)


def test_the_figures_of_a_study_add_up(storage, digits):
    report = study_report(storage, "digits", top=10)

    assert report.overview.states == {
        TrialState.COMPLETE: 2,
        TrialState.PRUNED: 1,
        TrialState.DIVERGED: 1,
    }
    assert (report.overview.trials, report.overview.trials_total) == (4, 4)
    assert (report.overview.epochs, report.seconds) == (8, 5.0)
    # What a study that names neither began with, before there was `auto`.
    assert (report.sampler, report.scheduler) == ("tpe", "hyperband")
    assert report.picked == {}


@pytest.mark.parametrize(
    ("stop", "said"), [(None, TrialState.RUNNING), ("target", TrialState.PAUSED)]
)
def test_trials_that_a_stop_left_unfinished_are_shown_as_paused(storage, store, adamw, stop, said):
    # The second was proposed, and never had a lane for an epoch: it has not begun.
    store([(adamw, [0.5], TrialState.RUNNING), (adamw, [], TrialState.RUNNING)], stop=stop)
    report = study_report(storage, "digits", top=1)
    assert report.overview.states == {said: 1}
    assert report.overview.trials == 1
    assert report.top[0].state is said


def test_a_report_shows_what_auto_picked(storage, store, spec, adamw):
    auto = {part: {"name": "auto"} for part in ("sampler", "scheduler")}
    picks = {**spec, "search": {**spec["search"], **auto}}
    store([(adamw, [0.5, 0.6, 0.7], TrialState.COMPLETE)], spec=picks)
    report = study_report(storage, "digits", top=1)
    assert (report.sampler, report.scheduler) == ("auto", "auto")
    assert report.picked["sampler"].startswith("curve_gp")


def test_trials_of_several_seeds_have_a_deviation(storage, store, spec, adamw):
    two = {**spec, "train": {**spec["train"], "seeds": 2}}
    store([(adamw, [0.5, 0.6, 0.7], TrialState.COMPLETE)], spec=two)
    report = study_report(storage, "digits", top=1)
    assert report.overview.epochs == 6
    assert report.top[0].value == 0.7
    assert report.top[0].deviation == pytest.approx(0.1)
    console = Console(file=StringIO(), width=100)
    console.print(study_view(report))
    assert console.file.getvalue().count("0.7000 ± 0.1000") == 2  # the best, and in the table


def test_differences_noted_on_resume_are_shown_with_their_run(storage, digits):
    (run,) = study_report(storage, "digits", top=1).runs

    assert run.device == "2 x cpu"
    assert run.differences == ("The study began with jax 0.10.1 and goes on with 0.10.2.",)


def test_no_more_of_the_best_trials_are_shown_than_asked_for(storage, digits):
    assert [trial.number for trial in study_report(storage, "digits", top=2).top] == [1, 0]


def test_without_a_full_trial_the_curve_is_that_of_the_trial_trained_longest(
    storage, store, adamw, sgd
):
    store([(adamw, [0.5, 0.6], TrialState.PAUSED), (sgd, [0.9], TrialState.PRUNED)])

    report = study_report(storage, "digits", top=1)

    assert report.overview.best is None
    assert report.curve_of.number == 0


def test_a_study_without_results_has_no_curve(storage, store, adamw):
    store([(adamw, [], TrialState.RUNNING)])

    report = study_report(storage, "digits", top=1)

    assert (report.curve_of, report.curve, report.top) == (None, (), ())


@pytest.mark.parametrize("reason", ["finished", "exhausted", "none_found", "timeout", "failed"])
def test_the_status_of_a_study_is_how_its_last_run_ended(storage, store, reason):
    store([], stop=reason)
    assert overviews(storage)[0].status == reason


def test_a_study_without_a_recorded_end_is_running_or_was_killed(storage, store):
    record = store([], stop=None)

    assert overviews(storage)[0].status == "killed"
    with acquire(storage, record.id):
        assert overviews(storage)[0].status == "running"
        assert study_report(storage, "digits", 1).driver.startswith("process ")


def test_studies_are_listed_oldest_first(storage, store, spec):
    store([])
    store([], spec={**spec, "name": "again"})
    assert [overview.name for overview in overviews(storage)] == ["digits", "again"]


def test_a_study_that_cannot_be_read_does_not_hide_the_others(storage, store, caplog):
    storage.create_study("old", {"name": "old"}, 0, {}, "")
    store([])

    assert [overview.name for overview in overviews(storage)] == ["digits"]
    assert [record.getMessage() for record in caplog.records] == [
        f"old is left out: study 'old' was stored by hpo {__version__} with a spec that this "
        f"version cannot read: use hpo {__version__}."
    ]


def test_a_report_is_json_all_the_way_down(storage, digits, sgd):
    document = json.loads(json.dumps(as_json(study_report(storage, "digits", top=1))))

    assert document["overview"]["states"] == {"complete": 2, "pruned": 1, "diverged": 1}
    assert document["top"][0]["hparams"] == sgd
    assert document["importance"]["skipped"] == "needs 20 trials with a result; 4 have one"


def test_a_spec_of_another_version_names_the_version_to_use(storage):
    storage.create_study("old", {"name": "old"}, 0, {}, "")

    with pytest.raises(StudyError, match=f"'old' was stored by hpo {re.escape(__version__)} with"):
        study_report(storage, "old", 1)


def test_a_study_with_names_of_a_package_asks_to_register_that_package(storage, spec):
    own = {
        **spec,
        "data": {"dataset": {"points": "points.txt"}},
        "model": {"name": "gated"},
        "space": {"optimizer.name": {"choice": ["sgd", "sign"]}},
        "search": {**spec["search"], "objective": {"minimize": "brier"}},
    }
    storage.create_study("own", own, 0, {}, "")
    said = (
        "study 'own' has names that are unknown here: model 'gated', optimizer 'sign', format of "
        "data 'points', metric 'brier'. First register the package that adds them "
        "(hpo.registry.add)."
    )

    with pytest.raises(StudyError, match=f"^{re.escape(said)}$"):
        study_report(storage, "own", 1)
    assert [overview.objective for overview in overviews(storage)] == ["minimize brier"]


def test_results_without_an_objective_are_damage_of_one_study_alone(storage, store, spec, adamw):
    store([(adamw, [0.5], TrialState.COMPLETE)], spec={**spec, "name": "sound"})
    goal = [{"maximize": "accuracy"}, {"minimize": "parameters"}]
    broken = {**spec, "search": {**spec["search"], "objective": goal}}
    store([(adamw, [0.5, 0.6, 0.7], TrialState.COMPLETE)], spec={**broken, "name": "broken"})

    assert [overview.name for overview in overviews(storage)] == ["sound"]
    with pytest.raises(DamagedError, match="study 'broken': no 'parameters'"):
        study_report(storage, "broken", top=1)


def test_an_infinite_number_of_epochs_is_no_spec(storage, spec, caplog):
    storage.create_study("digits", {**spec, "train": {"epochs": math.inf}}, 0, {}, "")
    assert overviews(storage) == ()
    assert "a spec that this version cannot read" in caplog.text


def test_baselines_have_the_metrics_of_the_goal_the_best_first_and_plain_values():
    goal = Goal((Objective(minimize="rmse"), Objective(maximize="r2")))
    best = Trial(3, {}, TrialState.COMPLETE, (0.5,), (0.5, -0.7))
    near = Baseline("forest", "leaves of 1", {"rmse": 0.4, "r2": 0.8, "mae": 0.3}, {"rmse": 0.6})
    far = Baseline("constant", "", {"rmse": 1.0, "r2": math.nan, "mae": 0.9})
    cut = Baseline("linear", "penalty 1", seconds=2.0)

    found = baseline_results([far, cut, near], goal, best)

    assert [(one.name, one.value, one.is_better, one.is_cut) for one in found] == [
        ("forest", 0.4, True, False),
        ("constant", 1.0, False, False),
        ("linear", None, False, True),
    ]
    assert found[0].metrics == {"rmse": 0.4, "r2": 0.8}
    assert found[0].test == {"rmse": 0.6}
    assert found[1].metrics == {"rmse": 1.0}  # JSON has no NaN
    assert not any(one.is_better for one in baseline_results([near], goal, None))


def test_a_trial_that_the_study_does_not_have_is_refused(storage, digits):
    with pytest.raises(HpoError, match=r"study 'digits' has no trial 9: its trials are 0 to 3\."):
        trial_report(storage, "digits", 9)
