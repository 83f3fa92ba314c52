"""Searches that keep the weights of their best trials."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from hpo.api.study import Study
from hpo.api.winning import Winner, best_trials
from hpo.data.load import load_data
from hpo.engine.training.ensemble import answering
from hpo.errors import SpecError
from hpo.spec.experiment import Experiment
from hpo.study import train as training
from hpo.study.backends import lanes
from hpo.study.backends.lanes import LaneBackend
from hpo.study.ensembles import rows
from hpo.study.ensembles.ensemble import ensemble_to_folder
from hpo.study.ensembles.members import Displays
from hpo.study.executors.messages import State
from hpo.study.kept.files import kept_folder, read_kept, trial_of
from hpo.study.loop import keeping, predictions
from hpo.study.loop.keeping import Keeper, best_complete
from hpo.study.signals import StopRequest
from hpo.study.storage.provenance import Provenance
from hpo.study.train import train_to_folder
from hpo.trained.model import load_model
from hpo.trial import Run
from tests.own_tasks import a_task
from tests.study.whole import DOCUMENT, Studies, an_experiment

SEARCH = {**DOCUMENT["search"], "keep_weights": 2, "trials": 6}


def kept(studies: Studies) -> set[int]:
    return {trial_of(name) for name in kept_folder(studies.url, "flowers").names()}


def train(studies: Studies, trial: Any, folder: Path, *, with_kept: bool) -> tuple[Any, Any]:
    """The result and the weights of a training of a trial."""
    studies.said.clear()
    made = train_to_folder(
        trial.experiment,
        folder,
        studies.around,
        lambda _: None,
        studies.said.append,
        StopRequest(),
        kept=trial.kept if with_kept else None,
    )
    return made, [member.weights for member in load_model(folder, "cpu").members]


@pytest.mark.long
@pytest.mark.parametrize(
    "parts",
    [
        {"model": {"name": "mlp", "widths": [8], "norm": "layer"}},
        {"train": {"epochs": 4, "seeds": 2, "average": {"name": "ema", "decay": 0.9}}},
        {"data": {"dataset": "iris", "batch_size": 16, "folds": 3}},
    ],
    ids=["one run", "seeds", "folds"],
)
def test_a_kept_trial_is_taken_with_the_bits_that_training_it_gives(
    studies: Studies, tmp_path: Path, parts: dict[str, Any]
) -> None:
    experiment = an_experiment(**{"search": SEARCH, **parts})
    studies.run(experiment)
    assert kept(studies) == best_complete(studies.state(experiment), 2)
    trials, _ = best_trials("flowers", studies.url, 2, trust_code=False)
    assert {trial.number for trial in trials} == kept(studies)
    taken, weights = train(studies, trials[0], tmp_path / "taken", with_kept=True)
    assert studies.said[-1] == (
        f"Uses the weights that the search kept for trial {trials[0].number}; it is not trained "
        "again."
    )
    again, expected = train(studies, trials[0], tmp_path / "again", with_kept=False)
    assert not [text for text in studies.said if text.startswith("Uses")]
    jax.tree.map(np.testing.assert_array_equal, weights, expected)
    assert taken.metrics == again.metrics
    assert taken.by_run == again.by_run
    assert taken.temperature == again.temperature
    assert [one.metrics for one in taken.curve] == [one.metrics for one in again.curve]
    _check_predictions(trials[0], tmp_path / "again", again)


def _check_predictions(trial: Winner, folder: Path, trained: Any) -> None:
    """The search has kept what the model predicts: the mean of its seeds, fold after fold."""
    assert trial.kept is not None
    found = Study("flowers", trial.kept.storage).predictions(trial.number)
    assert found is not None
    assert found.dtype == np.float64
    model = load_model(folder, "cpu")
    data = load_data(model.training.data, Path.cwd(), None)
    means, folds = [], data.members
    for place, fold in enumerate(folds):
        runs = model.members[place :: len(folds)]
        own = [_chances(model, run.weights, fold.validation.arrays["x"]) for run in runs]
        means.append(np.mean(own, axis=0))
    np.testing.assert_allclose(found, np.concatenate(means), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    if len(model.members) == len(folds):
        y = np.concatenate([fold.validation.y for fold in folds])
        right = found.argmax(axis=1) == y
        by_fold = [part.mean() for part in np.split(right, len(folds))]
        assert np.mean(by_fold) == pytest.approx(trained.metrics["validation"]["accuracy"])


def _raises_for_memory(*_: Any) -> None:
    raise MemoryError


def _chances(model: Any, weights: Any, x: np.ndarray) -> np.ndarray:
    """The softmax of a model's outputs, by NumPy."""
    outputs = np.asarray(answering(model.program, model.training)(weights, x), np.float64)
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    chances: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return chances


def test_predictions_come_once_a_search_is_over_and_a_stopped_one_adds_them_when_it_goes_on(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {**SEARCH, "scheduler": {"name": "none"}, "trials": 3}
    experiment = an_experiment(search=search)

    def kept_predictions() -> list[bool]:
        found = [read_kept(kept_folder(studies.url, "flowers"), number) for number in kept(studies)]
        return [one is not None and one.predictions is not None for one in found]

    with monkeypatch.context() as now:
        # As for answers that are too many to keep.
        now.setattr(predictions, "MOST_BYTES", 30 * 3 * 8 - 1)
        studies.run(experiment)
        assert kept_predictions() == [False, False]
    stopped = StopRequest()
    stopped.set()
    assert studies.run(experiment, stop=stopped).reason == "interrupted"
    assert kept_predictions() == [False, False]
    with monkeypatch.context() as now:
        now.setattr(lanes, "library_versions", lambda: {"jax": "0"})
        studies.run(experiment)  # other libraries would give other bits
        assert kept_predictions() == [False, False]
    with monkeypatch.context() as now:
        now.setattr(LaneBackend, "_predictions", _raises_for_memory)
        assert studies.run(experiment).progress.best is not None
    assert studies.said[-1] == (
        "Not all validation predictions are kept (MemoryError): hpo ensemble computes them."
    )
    assert kept_predictions() == [False, False]
    stops, first = StopRequest(), LaneBackend._predictions

    def predicted(*arguments: Any) -> Any:
        stops.set()
        return first(*arguments)

    with monkeypatch.context() as now:
        now.setattr(LaneBackend, "_predictions", predicted)
        assert studies.run(experiment, stop=stops).reason == "finished"
    assert kept_predictions() == [True, False]
    studies.run(experiment)
    assert kept_predictions() == [True, True]
    before = kept_folder(studies.url, "flowers").names()
    with monkeypatch.context() as now:
        now.setattr(keeping, "read_kept", lambda *_: pytest.fail("their heads are read alone"))
        studies.run(experiment)
    assert kept_folder(studies.url, "flowers").names() == before


def test_a_study_that_goes_on_keeps_better_trials_and_drops_the_others(
    studies: Studies, tmp_path: Path
) -> None:
    first = an_experiment("search.trials=3", search={**SEARCH, "scheduler": {"name": "none"}})
    studies.run(first)
    before = kept(studies)
    assert before == best_complete(studies.state(first), 2)
    more = an_experiment(search={**SEARCH, "scheduler": {"name": "none"}, "trials": 8})
    studies.run(more)
    assert kept(studies) == best_complete(studies.state(more), 2)
    # The weights of an earlier study of this name go with its name.
    again = an_experiment(search={**SEARCH, "scheduler": {"name": "none"}, "keep_weights": 0})
    outcome = studies.run(again, starts_over=True)
    assert kept(studies) == set()
    assert outcome.set_aside is not None
    assert len(kept_folder(studies.url, outcome.set_aside).names()) == 2


def test_an_ensemble_takes_kept_trials_and_trains_those_of_other_libraries_or_devices(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies.run(an_experiment(search=SEARCH))

    def refuse(*_: Any) -> None:
        pytest.fail("the search has kept what the members predict")

    monkeypatch.setattr(rows, "mean_on_validation", refuse)
    trials, objective = best_trials("flowers", studies.url, 2, trust_code=False)
    studies.said.clear()
    display = SimpleNamespace(watch=lambda _: None, say=studies.said.append)
    made = ensemble_to_folder(
        trials,
        objective,
        tmp_path / "together",
        studies.around,
        Displays(lambda: nullcontext(display), lambda _: nullcontext(display)),
        studies.said.append,
        StopRequest(),
    )
    taken = [f"Uses the weights that the search kept for trial {trial.number};" for trial in trials]
    assert [text.partition(" it ")[0] for text in studies.said] == taken
    winner = made.compared[f"trial {trials[0].number}"]["validation"]
    best = Study("flowers", studies.url).best
    assert best is not None
    assert winner is not None
    assert winner["accuracy"] == pytest.approx(best.value)

    for part, other in (
        ("describe", lambda _: "1 x NVIDIA H100 (gpu)"),
        ("library_versions", lambda: {"jax": "0"}),
    ):
        with monkeypatch.context() as now:
            now.setattr(training, part, other)
            train(studies, trials[0], tmp_path / part, with_kept=True)
        assert not [text for text in studies.said if text.startswith("Uses")]


def test_the_log_waits_for_the_weights_of_the_best_and_takes_those_of_its_last_epoch_alone(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = an_experiment("search.trials=3", search={**SEARCH, "keep_weights": 0})
    studies.run(experiment)
    state = studies.state(experiment)
    ((number,), (other, *_)) = best_complete(state, 1), set(state.metrics) - best_complete(state, 1)
    work: Any = SimpleNamespace(
        data=SimpleNamespace(fingerprint="data"), training=experiment.training
    )
    folder, run = kept_folder(studies.url, "flowers"), Run(number)
    curves = {run: state.metrics[number]}
    arrays = {"params": np.zeros(2, np.float32)}
    with Keeper(folder, 1, Provenance({}, "", "")) as keeper:
        assert not keeper.wants(state, other, {Run(other): state.metrics[other]}, work)
        assert not keeper.holds_back(time.monotonic())
        assert keeper.wants(state, number, curves, work)
        assert keeper.holds_back(time.monotonic())
        assert not keeper.holds_back(time.monotonic() - 3600)
        keeper.take(State(run, 3, 0, arrays), state)  # of 4 epochs
        assert not keeper.holds_back(time.monotonic())
        assert keeper.wants(state, number, curves, work)
        keeper.take_held(number, None, state)  # a run whose weights are nowhere
        assert not keeper.holds_back(time.monotonic())
        assert keeper.wants(state, number, curves, work)
        keeper.take_held(number, State(run, 4, 0, arrays), state)
    assert not keeper.holds_back(time.monotonic())

    def mistaken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(keeping, "prune_kept", mistaken)
    with pytest.raises(ZeroDivisionError), Keeper(folder, 1, Provenance({}, "", "")) as keeper:
        keeper.prune(state)
    assert [trial_of(name) for name in folder.names()] == [number]


def test_a_task_of_ones_own_is_kept_too(studies: Studies, tmp_path: Path) -> None:
    search = {**DOCUMENT["search"], "objective": {"minimize": "loss"}, "keep_weights": 1}
    studies.run(a_task(tmp_path, search=search), trusts_code=True)
    (trial,), _ = best_trials("descent", studies.url, 1, trust_code=True)
    found = []
    for kept in (trial.kept, None):
        studies.said.clear()
        folder = tmp_path / f"model-{kept is None}"
        say, stop = studies.said.append, StopRequest()
        made = train_to_folder(
            trial.experiment, folder, studies.around, lambda _: None, say, stop, kept=kept
        )
        found.append((made.metrics, any(text.startswith("Uses") for text in studies.said)))
    assert found == [(found[1][0], True), (found[1][0], False)]


def test_nothing_is_written_by_default(studies: Studies, tmp_path: Path) -> None:
    studies.run(an_experiment("search.trials=2"))
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".weights")]


def refused(*overrides: str, **parts: Any) -> str:
    def make() -> Experiment:
        return an_experiment(*overrides, **{"search": SEARCH, **parts})

    with pytest.raises(SpecError) as error:
        make()
    return str(error.value)


def test_what_keeping_does_not_go_with_is_refused_in_a_sentence() -> None:
    assert "and train.keep: best judges it by earlier ones: write 0" in refused("train.keep=best")
    stopped = refused("train.early_stop={patience: 2}")
    assert "and train.early_stop judges it by earlier ones: write 0, or leave" in stopped
    text = refused("search.scheduler={name: hyperband, budget: share}", "train.epochs=9")
    assert "budget: share trains several: write 0" in text
