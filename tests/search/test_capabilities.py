"""What the registry claims of a sampler or a scheduler is what it does."""

import subprocess
import sys
from dataclasses import replace

import pytest

from hpo.errors import HpoError, SpecError
from hpo.registry import SAMPLERS, SCHEDULERS
from hpo.search.proposals.stack import is_learning, make_sampler
from hpo.search.sampler import Setting, free
from hpo.search.scheduler import Evolving
from hpo.search.schedulers.explore import explorer_of
from hpo.search.schedulers.make import make_scheduler, outline
from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.spec.experiment import Training
from hpo.spec.load import load_experiment
from hpo.spec.schema import variants_of
from hpo.spec.sections.search import SearchSpec, missing_package
from hpo.trial import Trial, TrialState

SPECS = {kind: variants_of(SearchSpec, kind).specs for kind in ("sampler", "scheduler")}
# Numbers that shorten a study so that each scheduler compares, or what a spec cannot do without.
FIELDS = {
    "median": {"startup_trials": 2},
    "optuna": {"pruner": {"name": "median", "n_startup_trials": 2}},
    "pbt": {"population": 4, "interval": 2},
    "bohb": {"min_epochs": 9, "random_share": 0.0},
}
SPACE = SearchSpace(
    (
        Dimension("kind", Choice(("a", "b", "c"))),
        Dimension("depth", Int(1, 40)),
        Dimension("share", Float(0.0, 1.0, step=0.01)),
    )
)
CONTINUOUS = SearchSpace((Dimension("share", Float(0.0, 1.0)),))


def spec_of(kind, name):
    return SPECS[kind][name](name=name, **(FIELDS.get(name, {}) if kind == "scheduler" else {}))


def setting_of(scheduler="none", objectives=1, given=free):
    return Setting(0, 100, 9, spec_of("scheduler", scheduler), objectives, given)


def proposals(name, trials, **setting):
    return make_sampler(spec_of("sampler", name), SPACE, setting_of(**setting)).ask(trials, 3)


def ended(loss, second=0.0, count=30):
    """Trials that were trained in full; `loss` is a function of their hparams, as is `second`."""
    drawn = make_sampler(spec_of("sampler", "random"), SPACE, setting_of()).ask([], count)
    return [
        Trial(n, h, TrialState.COMPLETE, (loss(h),) * 9, (loss(h), second * h["depth"]))
        for n, h in enumerate(drawn)
    ]


def low(hparams):
    return hparams["share"]


def high(hparams):
    return 1.0 - hparams["share"]


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    if lacks := missing_package(spec_of("sampler", request.param)):
        pytest.skip(lacks)
    return request.param


def test_a_sampler_learns_from_results_where_it_says_so(sampler):
    differs = proposals(sampler, ended(low)) != proposals(sampler, ended(high))
    assert differs == is_learning(spec_of("sampler", sampler), SPACE, setting_of())
    if SAMPLERS[sampler].learns is not None:
        assert differs == SAMPLERS[sampler].learns


def test_a_sampler_takes_several_objectives_where_it_says_so(sampler):
    entry = SAMPLERS[sampler]
    if not entry.several_objectives:
        # Only the first of the values is looked at.
        assert proposals(sampler, ended(low)) == proposals(sampler, ended(low, second=1.0))
        return
    one, other = (proposals(sampler, ended(low, second=sign), objectives=2) for sign in (1.0, -1.0))
    assert all(SPACE.allows(hparams) and len(hparams) == 3 for hparams in one)
    assert (one != other) == (entry.learns is not False)


def test_a_sampler_takes_given_hparams_where_it_says_so(sampler):
    given = {"kind": "b", "depth": 7}
    found = proposals(sampler, ended(low), given=lambda _: given)
    if SAMPLERS[sampler].takes_given:
        assert all(given.items() <= hparams.items() for hparams in found)
    else:
        assert found == proposals(sampler, ended(low))


@pytest.mark.parametrize("space", [SPACE, CONTINUOUS], ids=["finite", "continuous"])
def test_a_sampler_searches_continuous_ranges_unless_it_says_otherwise(sampler, space):
    def propose():
        return make_sampler(spec_of("sampler", sampler), space, setting_of()).ask([], 1)

    if SAMPLERS[sampler].finite_only and space is CONTINUOUS:
        with pytest.raises(HpoError, match="finite"):
            propose()
    else:
        assert len(propose()) == 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_fitted_to_one_budget_where_it_says_so(name, tmp_path):
    if missing_package(spec_of("sampler", name)):
        pytest.skip("its package is missing")
    file = tmp_path / "spec.yaml"
    file.write_text(
        "name: fitted\n"
        "data: {dataset: digits, batch_size: 32}\n"
        "model: {name: mlp, widths: [8]}\n"
        "optimizer: {name: sgd, learning_rate: 0.1}\n"
        "train: {epochs: 9}\n"
        "space: {optimizer.learning_rate: {choice: [0.1, 0.2, 0.3]}}\n"
        f"search: {{sampler: {{name: {name}}}, scheduler: {{name: bohb}}, trials: 9,"
        " objective: {minimize: loss}}\n"
    )
    if not SAMPLERS[name].fits_one_budget:
        with pytest.raises(SpecError, match=f"{name} cannot be fitted to one budget"):
            load_experiment(file)
        return
    load_experiment(file)
    differs = [proposals(name, ended(loss), scheduler="bohb") for loss in (low, high)]
    assert differs[0] != differs[1]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_whose_package_is_missing_is_refused(name, monkeypatch):
    monkeypatch.setattr("hpo.spec.sections.search.find_spec", lambda _: None)
    entry, spec = SAMPLERS[name], spec_of("sampler", name)
    if entry.package:
        with pytest.raises(HpoError, match=f"{name} needs the package {entry.package}"):
            make_sampler(spec, SPACE, setting_of())
    else:
        make_sampler(spec, SPACE, setting_of())


def trained(name, loss_of):
    """The trials of a study that runs three jobs at a time."""
    scheduler, found = make_scheduler(spec_of("scheduler", name), 9, 12), []
    while True:
        for number in scheduler.eliminated(found):
            found[number] = replace(found[number], state=TrialState.PRUNED)
        wanted = scheduler.replacements(found) if isinstance(scheduler, Evolving) else ()
        for one in wanted:
            found[one.trial] = replace(found[one.trial], exploited=one.epoch)
        jobs = scheduler.runnable(found, 3)[:3]
        if not jobs:
            return found
        for job in jobs:
            losses = tuple(loss_of(job.trial, epoch) for epoch in range(job.to_epoch))
            state = TrialState.COMPLETE if job.to_epoch == 9 else TrialState.PAUSED
            found[job.trial : job.trial + 1] = [Trial(job.trial, {}, state, losses)]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_epochs_of_a_study_depend_on_results_where_a_scheduler_says_so(name):
    curves = [
        lambda number, epoch: float(number),
        lambda number, epoch: 50.0 - number - epoch,
        lambda number, epoch: 50.0 - 0.1 * number - epoch,
    ]
    counts = {sum(trial.epochs for trial in trained(name, curve)) for curve in curves}
    announced = outline(spec_of("scheduler", name), 9, 12)
    assert announced.is_upper_bound == SCHEDULERS[name].epochs_vary
    assert max(counts) <= announced.epochs
    assert (counts != {announced.epochs}) == SCHEDULERS[name].epochs_vary


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_sampler_is_fitted_to_one_budget_where_a_scheduler_says_so(name):
    # All but the last epoch tell the opposite of the last one.
    trials = [replace(t, losses=(1.0 - t.losses[0],) * 8 + t.losses[:1]) for t in ended(low)]
    paused = [
        replace(t, state=TrialState.PAUSED, losses=t.losses[:3]) if t.number % 2 else t
        for t in trials
    ]
    plain, found = (proposals("tpe", paused, scheduler=each) for each in ("none", name))
    assert (found != plain) == SCHEDULERS[name].fits_sampler


@pytest.mark.parametrize("name", SCHEDULERS)
def test_trials_go_on_with_other_hparams_where_a_scheduler_says_so(name):
    spec, changes = spec_of("scheduler", name), SCHEDULERS[name].changes_hparams
    assert isinstance(make_scheduler(spec, 9, 12), Evolving) == changes
    assert (explorer_of(spec, SPACE, 0, Training) is not None) == changes


@pytest.mark.parametrize("name", SCHEDULERS)
def test_bounds_are_turned_for_a_maximized_metric_where_a_scheduler_says_so(name):
    assert hasattr(spec_of("scheduler", name), "in_losses") == SCHEDULERS[name].judges_values


def test_capabilities_are_read_without_importing_samplers_or_schedulers():
    code = (
        "import sys; from hpo.registry import SAMPLERS, SCHEDULERS\n"
        "[entry.learns for entry in (*SAMPLERS.values(), *SCHEDULERS.values())]\n"
        "print(sorted(name for name in sys.modules if name.startswith(('hpo.search', 'optuna'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


OWN = '''
from typing import Literal
from hpo.search.schedulers.full import FullTraining
from hpo.spec.marks import Spec

class Mine(Spec):
    """A sampler of one's own."""
    name: Literal["mine"]

class Full(Spec):
    """A scheduler of one's own."""
    name: Literal["own_full"]

def make_full(spec, epochs, trials):
    return FullTraining(epochs, trials)
'''
SPEC = """
name: own
data: {dataset: digits, batch_size: 32}
model: {name: mlp, widths: [8]}
optimizer: {name: sgd, learning_rate: 0.1}
train: {epochs: 4}
space: {optimizer.learning_rate: {float: [0.1, 0.2]}}
search:
  sampler: {name: mine}
  scheduler: {name: own_full}
  trials: 5
  objective: [{minimize: loss}, {maximize: accuracy}]
"""


@pytest.mark.parametrize("several", [True, False])
def test_check_goes_by_the_claims_of_a_sampler_and_a_scheduler_from_outside(tmp_path, several):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "spec.yaml").write_text(SPEC)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from hpo import registry\n"
        f"registry.add('sampler', 'mine', 'own:Mine', 'own:none', several_objectives={several})\n"
        "registry.add('scheduler', 'own_full', 'own:Full', 'own:make_full')\n"
        "import hpo.cli\n"
        f"sys.argv = ['hpo', 'check', {str(tmp_path / 'spec.yaml')!r}]\n"
        "hpo.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if several:
        assert "trials to epoch: 5 to 4" in done.stdout, done.stderr
    else:
        assert "mine searches for one objective, and there are 2" in done.stderr
