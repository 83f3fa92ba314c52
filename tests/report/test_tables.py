"""Studies on a terminal."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from hpo.report.insight.importance import Importance
from hpo.report.study_report import TrialReport, overviews, study_report, trial_report
from hpo.report.tables import hparams_table, studies_table, study_view, trial_view
from hpo.trial import TrialState


def drawn(view, width=200):
    console = Console(file=StringIO(), width=width)
    console.print(view)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_study_is_listed_in_a_row(storage, digits):
    lines = drawn(studies_table(overviews(storage)), width=80)

    assert len(lines) == 3
    assert lines[2].split()[:8] == ["digits", "finished", "4", "of", "4", "8", "accuracy", "0.8000"]


def test_a_study_is_shown_section_by_section(storage, digits):
    lines = drawn(study_view(study_report(storage, "digits", top=2)))

    assert lines[0] == "digits  finished"
    assert "  trials     4 of 4:  2 complete  1 pruned  1 diverged" in lines
    assert "  trained    8 epochs in 5.0 s, 0 programs, 1 run" in lines
    lost = "1 of 4 trials diverged: a metric became NaN or infinite, or their values cannot be"
    assert f"  noted      {lost} trained" in lines
    assert "  noted      The study began with jax 0.10.1 and goes on with 0.10.2." in lines
    best = lines.index("best trial: 1")
    assert lines[best + 1 : best + 3] == [
        "  accuracy 0.8000 after 3 epochs",
        "  ▁█▆  0.6000 to 0.8000, at best 0.9000 (epoch 2)",
    ]
    assert lines[-1] == "  skipped: needs 20 trials with a result; 4 have one"


def test_the_energy_of_a_study_has_a_row_where_it_was_counted(storage, digits):
    report = study_report(storage, "digits", top=2)
    assert report.joules is None
    assert not any(line.startswith("  energy") for line in drawn(study_view(report)))
    counted = drawn(study_view(replace(report, joules=1234.6)))
    assert "  energy     1,235 J in training" in counted


def test_the_importance_of_few_trials_is_called_a_rough_hint(storage, digits):
    report = study_report(storage, "digits", top=2)
    few, many = (
        drawn(study_view(replace(report, importance=Importance({"model.widths": 1.0}, n, 3))))[-1]
        for n in (25, 100)
    )
    assert few == (
        "  PED-ANOVA over 25 trials after 3 epochs: a rough hint, because the best tenth of them "
        "are 2 trials"
    )
    assert many == "  PED-ANOVA over 100 trials after 3 epochs"


def test_the_best_trials_have_a_column_for_each_hparam_where_there_is_room(storage, digits):
    lines = drawn(study_view(study_report(storage, "digits", top=2)))
    head = next(line for line in lines if "epochs  accuracy" in line)
    assert head.split()[4:] == ["widths", "name", "momentum", "learning_rate"]


def test_on_a_narrow_terminal_the_hparams_share_a_column(storage, digits):
    lines = drawn(study_view(study_report(storage, "digits", top=2)), width=60)

    assert any(line.endswith("hparams") for line in lines)
    assert max(map(len, lines)) <= 60


def test_long_values_of_hparams_are_shown_whole():
    lines = drawn(hparams_table({"model.widths": "x" * 100}), width=80)
    assert "".join(line.removeprefix("model.widths").strip() for line in lines) == "x" * 100


def test_a_study_without_results_says_so(storage, store, adamw):
    store([(adamw, [], TrialState.RUNNING)])
    assert "no trial has a result yet" in drawn(study_view(study_report(storage, "digits", 1)))


def test_a_trial_is_shown_with_its_curve_and_the_norms_of_its_gradient_by_layer(storage, digits):
    report = trial_report(storage, "digits", 1)
    norms = {"linears/0": (0.5, 0.25), "head": (2.0, 1.0)}
    shown = TrialReport(report.trial, report.metric, report.curve, norms)
    lines = drawn(trial_view(shown))

    assert lines[1:3] == ["trial 1", "  complete after 3 epochs"]
    assert "  accuracy  ▁█▆" in lines
    assert [line.split()[:3] for line in lines if line.split()[:1] == ["linears/0"]] == [
        ["linears/0", "0.5000", "0.2500"]
    ]
