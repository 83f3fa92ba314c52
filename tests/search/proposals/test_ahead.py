"""Which trials are known before a study runs."""

import pytest

from hpo.errors import HpoError
from hpo.search.proposals.ahead import proposed_ahead
from hpo.search.proposals.stack import make_sampler, setting_of
from hpo.spec.load import load_experiment, require_search

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
    found = experiment(points, "search.sampler.name=tpe")

    assert proposed_ahead(found, 0) == {"model.dropout": 0.25, "model.norm": "layer"}
    assert proposed_ahead(found, 1) == {"model.dropout": 0.0, "model.norm": "none"}
    with pytest.raises(HpoError, match=r"^--trial 2: tpe proposes it by the results"):
        proposed_ahead(found, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search.sampler.name=auto"], "--trial 1: curve_gp proposes it by the results of earlier"),
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
