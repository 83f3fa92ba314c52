"""Which trials are known before a study runs."""

import json

import pytest

from hpo.errors import HpoError
from hpo.registry import SAMPLERS
from hpo.search.proposals.ahead import proposed_ahead
from hpo.search.proposals.stack import make_sampler, setting_of
from hpo.spec.load import load_experiment, require_search
from hpo.spec.schema import variants_of
from hpo.spec.sections.search import SearchSpec, missing_package
from hpo.trial import Trial, TrialState

SPEC = """\
name: x
data: {dataset: iris}
model: {name: mlp}
optimizer: {name: adam}
train: {epochs: 8}
space:
  model.dropout: {float: [0.0, 0.5]}
  model.norm: {choice: [none, layer]}
search:
  sampler: {name: random}
  objective: {maximize: accuracy}
  trials: 9
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(SPEC)
    return lambda *overrides: load_experiment(path, overrides)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_trial_is_what_the_sampler_proposes_in_one_go_or_in_turn(experiment, sampler):
    found = experiment(f"search.sampler.name={sampler}")
    search = require_search(found)
    asked = make_sampler(search.sampler, found.space, setting_of(found)).ask((), 9)

    assert [proposed_ahead(found, number) for number in range(9)] == asked


def test_known_points_come_first_whatever_the_sampler(experiment):
    points = "search.start=[{model.dropout: 0.25, model.norm: layer}, {}]"
    found = experiment(points, "search.sampler.name=cmaes")

    assert proposed_ahead(found, 0) == {"model.dropout": 0.25, "model.norm": "layer"}
    assert proposed_ahead(found, 1) == {"model.dropout": 0.0, "model.norm": "none"}
    with pytest.raises(HpoError, match=r"^--trial 2: cmaes proposes it by the results"):
        proposed_ahead(found, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search.sampler.name=cmaes"], "--trial 1: cmaes proposes it by the results of earlier"),
        (
            ["search.sampler={name: tpe, startup_trials: 1}"],
            "--trial 1: tpe proposes it by the results of earlier trials, so only the search can",
        ),
        (
            ["search.sampler.name=tpe", "search.scheduler.name=bohb"],
            "--trial 1: tpe proposes it by the results of earlier trials",
        ),
        (["search.from=[before]"], r"the search first tries the best of before \(search.from\)"),
        (
            ["space.model.dropout={float: [0.1, 0.5], adapt: true}"],
            r"the range of model.dropout moves with the results \(adapt\)",
        ),
    ],
)
def test_what_results_or_other_studies_decide_is_said_plainly(experiment, overrides, message):
    with pytest.raises(HpoError, match=message):
        proposed_ahead(experiment(*overrides), 1)


def test_a_space_that_ends_before_the_trial_is_named(experiment):
    found = experiment("space.model.dropout=0.1", "search.sampler.name=grid")

    assert {proposed_ahead(found, number)["model.norm"] for number in (0, 1)} == {"none", "layer"}
    with pytest.raises(HpoError, match=r"^--trial 2: the space allows only 2 configurations"):
        proposed_ahead(found, 2)


def test_auto_under_pbt_draws_at_random_and_so_is_known(experiment):
    found = experiment("search.sampler.name=auto", "search.scheduler.name=pbt")
    drawn = experiment("search.scheduler.name=pbt")
    assert proposed_ahead(found, 3) == proposed_ahead(drawn, 3)


LEARNING = [
    name
    for name in SAMPLERS
    if SAMPLERS[name].learns is not False
    and not missing_package(variants_of(SearchSpec, "sampler").specs[name](name=name))
]


@pytest.mark.parametrize("name", LEARNING)
def test_the_trials_that_are_told_ahead_do_not_depend_on_results(experiment, name):
    startup = ["search.sampler.startup_trials=4"] if SAMPLERS[name].draws_first else []
    found = experiment(f"search.sampler.name={name}", *startup)
    count = 4 if startup else 5 if name == "auto" else 1
    told = [proposed_ahead(found, number) for number in range(count)]

    # Trials end one after the other, from bad to good and from good to bad.
    for losses in ([0.1 * n for n in range(9)], [0.9 - 0.1 * n for n in range(9)]):
        search, trials = require_search(found), []
        sampler = make_sampler(search.sampler, found.space, setting_of(found))
        for number in range(count):
            (hparams,) = sampler.ask(trials, 1)
            loss = losses[number]
            trials.append(Trial(number, hparams, TrialState.COMPLETE, (loss,) * 8))
        assert [dict(trial.hparams) for trial in trials] == told
    with pytest.raises(HpoError, match=f"^--trial {count}: .* by the results of earlier trials"):
        proposed_ahead(found, count)


@pytest.mark.parametrize(
    "override",
    ["space.model.dropout={float: [0.1, 0.5], adapt: true}", "search.scheduler.name=bohb"],
)
def test_the_first_trial_is_known_where_later_ones_follow_results(experiment, override):
    found = experiment(override, "search.sampler.name=tpe")
    search = require_search(found)
    (first,) = make_sampler(search.sampler, found.space, setting_of(found)).ask((), 1)

    assert proposed_ahead(found, 0) == first
    with pytest.raises(HpoError, match=r"^--trial 1: "):
        proposed_ahead(found, 1)


@pytest.mark.long
@pytest.mark.parametrize("scheduler", ["none", "asha"])
def test_a_real_search_begins_with_the_trials_that_are_told_ahead(tmp_path, hpo, scheduler):
    (tmp_path / "x.yaml").write_text(SPEC)
    sets = ["search.sampler={name: tpe, startup_trials: 4}", f"search.scheduler.name={scheduler}"]
    words = ["x.yaml", *(word for text in sets for word in ("--set", text))]

    told = [json.loads(hpo("check", *words, "--trial", str(n), "--json").out) for n in range(4)]
    assert hpo("search", *words, "--quiet").code == 0
    report = json.loads(hpo("show", "x", "--top", "9", "--json").out)

    searched = {trial["number"]: trial["hparams"] for trial in report["top"]}
    assert len(searched) == 9
    assert [one["hparams"] for one in told] == [searched[number] for number in range(4)]
