"""What `auto` picks."""

import pytest

from hpo.search.auto import chosen_scheduler, picked, sampler_picks
from hpo.search.schedulers.make import make_scheduler
from hpo.space import SearchSpace
from hpo.spec.sections.scheduler import Bohb, Median, NoScheduler, Patience
from hpo.spec.sections.search import Objective, SearchSpec, Tpe
from tests.search.picks import AUTO, names, space_of, study_of


@pytest.mark.parametrize(
    ("space", "trials", "expected"),
    [
        (space_of(8), 100, [("curve_gp", None)]),
        (space_of(8), 1000, [("curve_gp", 400), ("tpe", None)]),
        (space_of(8, conditional=4), 100, [("curve_gp", None)]),
        (space_of(8, conditional=5), 100, [("tpe", None)]),
        (space_of(24), 100, [("curve_gp", None)]),
        (space_of(25), 100, [("tpe", None)]),
        (SearchSpace(), 100, [("curve_gp", None)]),
    ],
)
def test_the_sampler_follows_dimensions_conditions_and_trials(space, trials, expected):
    assert names(sampler_picks(space, study_of(trials, AUTO))) == expected


def test_several_objectives_and_bohb_have_tpe():
    assert names(sampler_picks(space_of(8), study_of(100, AUTO, objectives=2))) == [("tpe", None)]
    assert names(sampler_picks(space_of(8), study_of(100, Bohb(name="bohb")))) == [("tpe", None)]


@pytest.mark.parametrize(
    ("epochs", "budgets"),
    [(1, (1,)), (3, (3,)), (4, (1, 4)), (27, (1, 6, 27)), (52, (3, 13, 52)), (200, (12, 50, 200))],
)
def test_the_scheduler_has_three_rungs_where_there_are_epochs_for_them(epochs, budgets):
    assert {bracket.budgets for bracket in make_scheduler(AUTO, epochs, 40).brackets} == {budgets}


def test_a_scheduler_other_than_auto_stays():
    none = NoScheduler(name="none")
    assert chosen_scheduler(none, 100) is none


def test_picks_are_printed_with_their_reason():
    search = SearchSpec(objective=Objective(maximize="accuracy"), trials=1000)
    assert picked(search, space_of(8), 52) == {
        "sampler": "curve_gp, from 400 results on tpe (8 dimensions that vary)",
        "scheduler": "successive_halving, min_epochs 3, eta 4 (52 epochs)",
    }
    plain = search.model_copy(update={"sampler": Tpe(name="tpe")})
    assert list(picked(plain, space_of(8), 52)) == ["scheduler"]
    assert "none" in picked(search, space_of(8), 2)["scheduler"]


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        (Median(name="median"), {"scheduler": "min_epochs 6 (51 epochs)"}),
        (Median(name="median", min_epochs=2), {}),
        (Patience(name="patience"), {"scheduler": "epochs 5 (of 51 epochs)"}),
        (Patience(name="patience", epochs=2), {}),
    ],
)
def test_numbers_that_follow_from_train_epochs_are_printed(scheduler, told):
    search = SearchSpec(
        objective=Objective(maximize="accuracy"),
        trials=10,
        sampler=Tpe(name="tpe"),
        scheduler=scheduler,
    )
    assert picked(search, space_of(8), 51) == told
