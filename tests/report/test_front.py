"""Several objectives in reports and exports."""

import io
from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console
from rich.padding import Padding

from hpo.errors import HpoError
from hpo.report.console import console_for
from hpo.report.export import export_front, write_front
from hpo.report.front import front_of, front_view
from hpo.report.study_report import as_json, study_report
from hpo.spec.load import load_experiment
from hpo.spec.sections.goal import Goal, Objective
from hpo.trial import Trial, TrialState

GOAL = Goal((Objective(maximize="accuracy"), Objective(minimize="parameters")))
TODAY = date(2025, 11, 22)


def trial(number, accuracy, parameters, violation=0.0):
    values = (-accuracy, float(parameters))
    return Trial(number, {"w": number}, TrialState.COMPLETE, values[:1], values, violation)


TRIALS = [
    trial(0, 0.9, 1000),
    trial(1, 0.85, 200),
    trial(2, 0.5, 100),
    trial(3, 0.4, 500),
    trial(4, 0.99, 9000, violation=1.0),
]


def test_a_front_is_shown_in_the_metrics_own_units():
    front = front_of(TRIALS, GOAL)
    assert [(t.number, dict(t.values)) for t in front.trials] == [
        (0, {"accuracy": 0.9, "parameters": 1000.0}),
        (1, {"accuracy": 0.85, "parameters": 200.0}),
        (2, {"accuracy": 0.5, "parameters": 100.0}),
    ]
    assert front.knee == 1
    # The worst trial in full of each objective, be it infeasible.
    assert front.reference == {"accuracy": 0.4, "parameters": 9000.0}
    assert front.hypervolume == pytest.approx(0.5 * 8000 + 0.45 * 800 + 0.1 * 100)


def test_a_reference_may_be_given():
    goal = Goal((GOAL.first, Objective(minimize="parameters", reference=1100)))
    assert front_of(TRIALS, goal).hypervolume == pytest.approx(0.5 * 100 + 0.45 * 800 + 0.1 * 100)


def test_without_a_feasible_trial_there_is_no_front():
    assert front_of([TRIALS[4]], GOAL) is None
    assert front_of([], GOAL) is None


def test_the_view_names_every_trial_of_the_front_and_plots_all():
    console = Console(width=200, record=True)
    with console.capture() as capture:
        console.print(front_view(front_of(TRIALS, GOAL)))
    text = capture.get()
    assert "0.8500          200       1   knee" in text
    assert text.count("●") == 3
    assert text.count("·") == 1
    assert "parameters" in text


HPARAMS = {
    "model.widths": [64, 32, 16],
    "optimizer.learning_rate": 0.0012,
    "model.dropout": 0.25,
    "optimizer.weight_decay": 1.5e-5,
}


@pytest.mark.parametrize("goal", [GOAL, Goal((*GOAL.objectives, Objective(minimize="flops")))])
def test_a_front_has_at_most_80_columns_where_there_is_no_terminal(goal):
    trials = [
        replace(
            trial(number, accuracy, 10**9 * accuracy),
            hparams=HPARAMS,
            values=(-accuracy, 10**9 * accuracy, 10**12 * accuracy)[: len(goal.objectives)],
        )
        for number, accuracy in [(0, 0.8), (1, 0.9)]
    ]
    written = io.StringIO()
    console_for(file=written).print(Padding(front_view(front_of(trials, goal)), (0, 0, 0, 2)))

    lines = written.getvalue().splitlines()
    assert 60 < max(len(line.rstrip()) for line in lines) <= 80
    words = written.getvalue().split()
    for value in ("widths=[64,", "16]", "learning_rate=0.0012", "dropout=0.25"):
        assert words.count(value) == 2
    assert words.count("weight_decay=1.5e-05") == 2


@pytest.fixture
def both(store, adamw, sgd, spec):
    """Trials 0 and 1 beat each other in one objective, for the loss is one less the accuracy."""
    search = {"objective": [{"maximize": "accuracy"}, {"maximize": "loss"}], "trials": 4}
    lives = [
        (adamw, [0.5, 0.6, 0.75], TrialState.COMPLETE),
        (sgd, [0.6, 0.9, 0.5], TrialState.COMPLETE),
        (adamw, [0.95], TrialState.PRUNED),
    ]
    return store(lives, spec={**spec, "search": search})


def test_a_study_of_several_objectives_is_won_by_the_best_of_the_first(storage, both):
    report = study_report(storage, "digits", 5)
    assert report.overview.best.number == 0
    assert report.overview.objective == "maximize accuracy, maximize loss"
    document = as_json(report)
    assert [trial["number"] for trial in document["front"]["trials"]] == [0, 1]
    assert document["top"][0]["metrics"] == {"accuracy": 0.75, "loss": 0.25}


def test_all_of_a_front_is_exported_into_a_folder(storage, both, tmp_path):
    folder = tmp_path / "front"
    exports = export_front(storage, "digits", folder, TODAY)
    write_front(folder, exports, replace=False)
    assert sorted(file.name for file in folder.iterdir()) == ["trial-0.yaml", "trial-1.yaml"]
    assert load_experiment(folder / "trial-1.yaml").training.train.stream == 1
    assert "accuracy 0.5000 after 3 epochs, loss 0.5000." in (folder / "trial-1.yaml").read_text()
    with pytest.raises(HpoError, match=r"trial-0.yaml exists: give another, or --force"):
        write_front(folder, exports, replace=False)


def test_one_objective_has_no_front(storage, digits, tmp_path):
    assert study_report(storage, "digits", 5).front is None
    with pytest.raises(HpoError, match="has one objective"):
        export_front(storage, "digits", tmp_path, TODAY)
