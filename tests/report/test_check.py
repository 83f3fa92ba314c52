"""What `hpo check` says about a valid spec."""

import json
from dataclasses import replace
from pathlib import Path

from hpo.report.check import as_json, check_summary, distribution_text, render
from hpo.space import Choice
from hpo.spec.load import experiment_from_document
from tests.own_code import own_experiment, write_net

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 9},
}
SPACE = {
    "model.norm": {"choice": ["none", "layer"]},
    "model.dropout": {"float": [0.0, 0.5], "when": {"model.norm": "none"}},
}


def summary(space, **search):
    search = {"objective": {"maximize": "accuracy"}, "trials": 27, **search}
    return check_summary(
        experiment_from_document({**SPEC, "space": space, "search": search}, Path())
    )


def test_the_figures_of_a_study_are_shown_in_plain_text():
    text = render(summary(SPACE, scheduler={"name": "successive_halving"}))
    assert text.splitlines() == [
        "digits is valid.",
        "space      2 dimensions, infinitely many configurations",
        "           model.norm     'none', 'layer'",
        "           model.dropout  0.0 to 0.5 when model.norm is 'none'",
        "objective  maximize accuracy",
        "sampler    auto: curve_gp (2 dimensions that vary)",
        "scheduler  successive_halving",
        "           trials to epoch: 9 to 1, 3 to 3, 1 to 9  (3 times)",
        "trials     27",
        "epochs     63",
        "programs   at most 2",
    ]


def test_what_the_trials_of_a_cohort_share_is_shown():
    found = summary({**SPACE, "optimizer.learning_rate": {"float": [0.1, 0.5]}}, cohort=4)
    text = "4 trials in a row share a program: the first decides model.norm"
    assert f"cohort     {text}" in render(found)
    assert as_json(found)["cohort"] == text
    assert "cohort" not in render(summary(SPACE))
    assert as_json(summary(SPACE))["cohort"] is None


def test_epochs_of_a_scheduler_that_decides_later_are_an_upper_bound():
    assert "epochs     at most 243" in render(summary(SPACE, scheduler={"name": "median"}))


def test_no_more_programs_are_announced_than_trials():
    space = {"data.batch_size": {"int": [1, 1_000_000]}}
    assert summary(space, trials=12).programs == 12


def test_numbers_that_are_only_assumed_to_be_knobs_make_no_upper_bound(tmp_path):
    write_net(tmp_path)
    space = {"model.rate": {"float": [0.0, 0.5]}, "model.width": {"choice": [4, 8]}}
    found = check_summary(own_experiment(tmp_path, space=space))
    trials = found.trials
    assert f"programs   at most {trials}, 2 where all assumed knobs are knobs" in render(found)
    assert (as_json(found)["programs_at_most"], as_json(found)["programs_expected"]) == (trials, 2)
    decided = check_summary(own_experiment(tmp_path, {"knobs": ["rate"]}, space))
    assert (decided.programs, decided.programs_expected) == (2, 2)


def test_a_cohort_shares_a_number_that_may_turn_out_not_to_be_a_knob(tmp_path):
    write_net(tmp_path)
    space = {"model.width": {"choice": [4, 8]}, "model.rate": {"float": [0.1, 0.5]}}

    def cohort(model):
        experiment = own_experiment(tmp_path, model, space)
        search = experiment.search.model_copy(update={"cohort": 4})
        return check_summary(replace(experiment, search=search)).cohort

    shared = "4 trials in a row share a program: the first decides model.width"
    assert cohort({}) == f"{shared}, model.rate (unless it is a knob)"
    assert cohort({"knobs": ["rate"]}) == shared


def test_a_command_compiles_nothing():
    document = {
        "name": "script",
        "command": {"run": "sh train.sh {a}"},
        "space": {"a": {"int": [1, 9]}},
        "search": {"objective": {"minimize": "loss"}, "trials": 4},
    }
    found = check_summary(experiment_from_document(document, Path()))
    assert "programs" not in render(found)
    assert as_json(found)["programs_at_most"] is None


def test_a_grid_has_no_more_trials_than_combinations():
    space = {"model.norm": {"choice": ["none", "layer"]}}
    found = summary(space, sampler={"name": "grid"}, scheduler={"name": "none"})
    assert (found.trials, found.epochs) == (2, 18)


def test_a_spec_without_a_search_is_one_trial():
    found = check_summary(experiment_from_document(SPEC, Path()))
    assert (found.trials, found.epochs, found.programs) == (1, 9, 1)
    assert "sampler" not in render(found)


def test_the_figures_are_there_as_json():
    found = json.loads(json.dumps(as_json(summary(SPACE))))
    assert found["space_size"] is None
    assert found["dimensions"][1]["when"] == "when model.norm is 'none'"
    assert found["programs_at_most"] == 2
    assert found["picked"] == {
        "sampler": "curve_gp (2 dimensions that vary)",
        "scheduler": "successive_halving, min_epochs 1, eta 4 (9 epochs)",
    }
    assert found["device_budget"] is None


def test_a_budget_for_data_is_shown_as_people_write_it():
    document = {**SPEC, "data": {"dataset": "digits", "device_budget": "2GiB"}}
    found = check_summary(experiment_from_document(document, Path()))
    assert render(found).splitlines()[-1] == "data       streamed if over 2GiB of a device"
    assert as_json(found)["device_budget"] == 2 << 30


def test_every_seed_of_a_trial_counts():
    spec = {**SPEC, "train": {"epochs": 9, "seeds": 3}, "space": SPACE}
    search = {"objective": {"maximize": "accuracy"}, "trials": 2, "scheduler": {"name": "none"}}
    told = check_summary(experiment_from_document({**spec, "search": search}, Path()))
    assert "trials     2, each on 3 seeds" in render(told).splitlines()
    assert (told.epochs, as_json(told)["seeds"]) == (2 * 9 * 3, 3)


def test_a_small_range_that_may_widen_gives_as_many_trials_as_its_limits_do():
    narrow = {"data.batch_size": {"int": [1, 6]}}
    wide = {"data.batch_size": {"int": [1, 6], "adapt": [1, 20]}}
    assert (summary(narrow).trials, summary(wide).trials) == (6, 20)


def test_a_long_choice_shows_its_first_values_and_their_number():
    text = distribution_text(Choice(tuple(range(20_000))))
    assert text.startswith("0, 1, 2, ")
    assert text.endswith("18, 19, ... (20,000 values)")
