"""The driver, on an executor in memory whose epochs cost nothing and end in any order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.engine.program import Program, split
from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import HpoError
from hpo.search.samplers.random import RandomSearch
from hpo.search.schedulers.make import make_scheduler
from hpo.space import Choice, Dimension, Float, SearchSpace
from hpo.spec.experiment import Training
from hpo.spec.fill import fill
from hpo.spec.sections.goal import Goal, Objective
from hpo.spec.sections.pruner import MedianPruner
from hpo.spec.sections.scheduler import (
    Asha,
    Hyperband,
    Median,
    NoScheduler,
    OptunaPruner,
    Patience,
    SuccessiveHalving,
)
from hpo.study.executors.messages import DataReference, Failed, Put
from hpo.study.log.events import Event, Happening, StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver, Work
from hpo.study.loop.rung_sizes import RungSizes
from hpo.study.loop.states import States
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.trial import HParams, TrialState
from tests.engine.samples import tiny_data
from tests.study.executors.in_memory import InMemoryExecutor, Learn

EPOCHS = 9
DATA = tiny_data()
TRAINING = Training.model_validate(
    {
        "data": {"dataset": "iris", "batch_size": 32},
        "model": {"name": "mlp", "widths": [4]},
        "optimizer": {"name": "sgd"},
        "train": {"epochs": EPOCHS},
    }
)
SPACE = SearchSpace(
    (
        Dimension("optimizer.learning_rate", Float(1e-3, 1.0, log=True)),
        Dimension("model.activation", Choice(("relu", "tanh"))),
    )
)
SCHEDULERS = {
    "none": NoScheduler(name="none"),
    "median": Median(name="median", startup_trials=2),
    "halving": SuccessiveHalving(name="successive_halving"),
    "asha": Asha(name="asha"),
    "hyperband": Hyperband(name="hyperband"),
    "patience": Patience(name="patience", epochs=2),
    "pruner": OptunaPruner(name="optuna", pruner=MedianPruner(name="median", n_startup_trials=2)),
}


def result(training: Training, epoch: int) -> dict[str, float]:
    """The metrics of an epoch of a trial: better later, best near a learning rate of 0.03."""
    miss = abs(np.log10(training.optimizer.learning_rate) + 1.5)
    if miss > 1.4:
        return {"accuracy": 0.1, "loss": np.nan, "train_loss": np.nan}
    if training.train.seed and miss > 1.1 and epoch == 3 + training.train.seed:
        return {"accuracy": 0.1, "loss": np.nan, "train_loss": np.nan}
    accuracy = 1 - miss / 3 - 0.3 / epoch + 0.01 * training.train.seed
    return {"accuracy": float(accuracy), "loss": 1.0, "train_loss": 1.0}


def learn(
    program: Program, data: DataReference, put: Put, epoch: int, weight: float
) -> tuple[dict[str, float], float]:
    """Train an epoch in the in-memory executor: `result`, in the program of the trial."""
    assert program == split(put.training, DATA, "cpu", frozenset(SPACE.by_path))[0]
    assert len(put.knobs) == len(program.knobs)
    return result(put.training, epoch), weight


class MemoryJournal:
    """A journal without a database; `log` is what a database would hold."""

    def __init__(self, log: Sequence[Event] = (), judging: Judging | None = None) -> None:
        self.log, goal = list(log), Goal((Objective(maximize="accuracy"),))
        self.state: StudyState = fold(self.log, goal, judging=judging or Judging())
        self._noted: list[Event] = []

    def record(self, what: Happening, trial: int | None = None) -> None:
        self._noted.append(self.state.record(what, trial, 0))

    def flush(self) -> None:
        self.log += self._noted
        self._noted = []


def prepare(hparams: HParams, number: int) -> Work:
    training = fill(TRAINING, hparams, number)
    program, knobs = split(training, DATA, "cpu", frozenset(SPACE.by_path))
    return Work(training, program, knobs, DataReference(training.data, DATA.fingerprint))


class Study:
    """A study on fakes, which can be killed and gone on with."""

    def __init__(
        self,
        tmp: Any,
        scheduler: str = "hyperband",
        trials: int = 20,
        judging: Judging | None = None,
    ) -> None:
        self.folder, self.judging = CheckpointFolder(tmp / "checkpoints"), judging
        self.sizes: RungSizes | None = None
        self.journal = MemoryJournal((), judging)
        self.rules = Rules(
            sampler=RandomSearch(SPACE, 0),
            scheduler_for=lambda n: make_scheduler(SCHEDULERS[scheduler], EPOCHS, n),
            trials=trials,
            epochs=EPOCHS,
            is_learning=False,
        )

    def go(
        self,
        seed: int = 0,
        pools: int = 2,
        lanes: int = 3,
        fits: int = 100,
        has_to_stop: Callable[[InMemoryExecutor], bool] = lambda _: False,
        dies: Callable[[InMemoryExecutor], bool] = lambda _: False,
        learns: Learn = learn,
    ) -> InMemoryExecutor:
        """Study to the end, to a stop, or to a death that leaves only the log and the files."""
        executor = InMemoryExecutor(pools, random.Random(seed), learns, fits)

        def watch() -> None:
            if dies(executor):
                raise KeyboardInterrupt

        with CheckpointWriter(self.folder) as writer:
            plans = Plans(Plan("map", lanes))
            states = States(writer)
            driver = Driver(
                self.rules, self.journal, executor, states, prepare, plans, 0.0, sizes=self.sizes
            )
            with contextlib.suppress(KeyboardInterrupt):
                self.reason = driver.run(lambda: has_to_stop(executor), watch)
            self.differences = driver.differences
            self.epochs_trained = driver.epochs_trained
        self.journal = MemoryJournal(self.journal.log, self.judging)
        return executor

    @property
    def outcome(self) -> list[tuple[HParams, TrialState, tuple[float, ...]]]:
        """What became of each trial."""
        return [(t.hparams, t.state, t.losses) for t in self.journal.state.trials]


@pytest.fixture
def run(tmp_path: Any) -> Study:
    return Study(tmp_path)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_study_ends_with_its_total_of_trials(tmp_path: Any, scheduler: str) -> None:
    run = Study(tmp_path, scheduler)
    run.go()
    trials = run.journal.state.trials
    assert [trial.number for trial in trials] == list(range(20))
    assert run.reason == "finished"
    assert any(trial.state is TrialState.COMPLETE for trial in trials)
    assert all(trial.state is not TrialState.RUNNING for trial in trials)
    for trial in trials:
        assert (trial.state is TrialState.COMPLETE) == (trial.epochs == EPOCHS)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_no_epoch_is_trained_twice(tmp_path: Any, scheduler: str) -> None:
    trained = Study(tmp_path, scheduler).go().trained
    assert len(trained) == len(set(trained))


@pytest.mark.parametrize("scheduler", ["none", "halving", "hyperband"])
def test_the_order_of_results_does_not_matter(tmp_path: Any, scheduler: str) -> None:
    outcomes = []
    for seed, pools, lanes in [(0, 1, 1), (1, 2, 3), (2, 3, 8)]:
        run = Study(tmp_path, scheduler)
        run.go(seed, pools, lanes)
        outcomes.append(run.outcome)
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Study]:
    """A study that was never stopped, by the name of its scheduler."""

    @cache
    def make(scheduler: str) -> Study:
        run = Study(tmp_path_factory.mktemp("calm"), scheduler)
        run.go()
        return run

    return make


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    moments=st.lists(st.integers(0, 12), max_size=4),
    scheduler=st.sampled_from(["none", "halving", "hyperband"]),
)
def test_a_study_killed_at_any_moment_ends_like_one_never_killed(
    tmp_path_factory: pytest.TempPathFactory,
    calm: Callable[[str], Study],
    seed: int,
    moments: list[int],
    scheduler: str,
) -> None:
    run = Study(tmp_path_factory.mktemp("killed"), scheduler)
    for moment in moments:
        run.go(seed, dies=lambda executor, moment=moment: len(executor.trained) >= moment)
    run.go(seed)
    assert run.outcome == calm(scheduler).outcome
    assert run.differences == 0


# By the curves of `result`, epoch 6 is the last that is 0.02 better than the best before it.
STOPS = Judging(EPOCHS, keeps_best=True, patience=2, min_delta=0.02)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_trials_that_stop_by_their_own_rule_are_complete_under_every_scheduler(
    tmp_path: Any, scheduler: str
) -> None:
    run = Study(tmp_path, scheduler, judging=STOPS)
    run.go()
    complete = [t for t in run.journal.state.trials if t.state is TrialState.COMPLETE]
    assert run.reason == "finished"
    assert complete
    assert {(trial.trained, trial.epochs) for trial in complete} == {(8, EPOCHS)}
    assert max(trial.trained for trial in run.journal.state.trials) == 8


@pytest.mark.parametrize("scheduler", ["none", "halving"])
def test_a_killed_study_whose_trials_stop_by_their_own_rule_ends_like_one_never_killed(
    tmp_path: Any, scheduler: str
) -> None:
    calm = Study(tmp_path / "calm", scheduler, judging=STOPS)
    calm.go()
    run = Study(tmp_path / "killed", scheduler, judging=STOPS)
    for moment in (3, 11, 23, 8):
        run.go(moment, dies=lambda executor, moment=moment: len(executor.trained) >= moment)
    run.go()
    assert run.outcome == calm.outcome
    assert run.differences == 0


def test_a_stop_loses_no_epoch(run: Study) -> None:
    first = run.go(has_to_stop=lambda executor: len(executor.trained) > 15)
    assert run.reason == "interrupted"
    second = run.go()
    assert not set(first.trained) & set(second.trained)
    assert run.reason == "finished"


def test_a_lost_checkpoint_means_training_again_and_no_second_row(run: Study) -> None:
    calm = run.go(has_to_stop=lambda executor: len(executor.trained) > 15)
    for file in run.folder.path.iterdir():
        file.write_bytes(b"broken")
    again = run.go(seed=3)
    assert set(calm.trained) & set(again.trained)
    reports = [(e.trial, e.what.epoch) for e in run.journal.log if e.kind == "report"]
    assert len(reports) == len(set(reports))
    assert run.differences == 0


def test_a_retrained_epoch_that_differs_is_counted_and_not_stored(
    run: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.go(has_to_stop=lambda executor: len(executor.trained) > 15)
    before = [e for e in run.journal.log if e.kind == "report"]
    for file in run.folder.path.iterdir():
        file.unlink()
    ours = result
    monkeypatch.setitem(
        globals(), "result", lambda t, e: {**ours(t, e), "accuracy": ours(t, e)["accuracy"] - 0.001}
    )
    run.go()
    assert run.differences > 0
    assert [e for e in run.journal.log if e.kind == "report"][: len(before)] == before


def test_an_epoch_that_diverges_when_trained_again_ends_its_trial(
    run: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.go(has_to_stop=lambda executor: len(executor.trained) > 15)
    for file in run.folder.path.iterdir():
        file.unlink()
    ours = result
    monkeypatch.setitem(globals(), "result", lambda t, e: {**ours(t, e), "loss": np.nan})
    run.go(has_to_stop=lambda executor: len(executor.trained) > 500)
    assert run.reason == "finished"
    assert run.differences > 0


def test_fewer_trials_than_have_begun_are_all_finished(run: Study) -> None:
    run.go(has_to_stop=lambda executor: len(executor.trained) > 15)
    begun = len(run.journal.state)
    run.rules = replace(run.rules, trials=2)
    run.go()
    assert len(run.journal.state) == begun
    assert any(t.state is TrialState.COMPLETE for t in run.journal.state.trials)


def test_a_diverged_trial_is_a_result(run: Study) -> None:
    run.go()
    diverged = [t for t in run.journal.state.trials if t.state is TrialState.DIVERGED]
    assert diverged
    assert all(trial.losses == () for trial in diverged)
    # An epoch that diverged was not finished, so that it counts for no speed.
    assert run.epochs_trained == sum(trial.epochs for trial in run.journal.state.trials) > 0


def test_a_pool_with_fewer_lanes_than_expected_loses_no_trial(run: Study, tmp_path: Any) -> None:
    run.go(lanes=8, fits=2)
    calm = Study(tmp_path / "calm")
    calm.go()
    assert run.outcome == calm.outcome
    assert {pin["lanes"] for pin in run.journal.state.pins.values()} == {2}


def test_a_pinned_plan_is_obeyed(run: Study) -> None:
    run.go(lanes=2, has_to_stop=lambda executor: len(executor.trained) > 5)
    pins = dict(run.journal.state.pins)
    run.go(lanes=7)
    assert run.journal.state.pins == pins


def test_a_space_that_runs_out_ends_the_study(tmp_path: Any) -> None:
    run = Study(tmp_path)

    class FiveOnly:
        def ask(self, trials: Any, n: int) -> list[dict[str, Any]]:
            number = len(trials)
            rng = np.random.default_rng(0)
            return [SPACE.draw(rng) for _ in range(min(n, 5 - number))]

    run.rules = Rules(FiveOnly(), run.rules.scheduler_for, 20, EPOCHS, is_learning=False)
    run.go()
    assert run.reason == "exhausted"
    assert len(run.journal.state) == 5
    assert any(t.state is TrialState.COMPLETE for t in run.journal.state.trials)


def test_more_trials_go_on_where_the_study_ended(run: Study) -> None:
    run.go()
    before = run.outcome
    run.rules = Rules(run.rules.sampler, run.rules.scheduler_for, 35, EPOCHS, is_learning=False)
    run.go()
    assert len(run.journal.state) == 35
    for (hparams, state, losses), (same, after, curve) in zip(before, run.outcome, strict=False):
        assert same == hparams
        assert curve[: len(losses)] == losses
        assert after == state or state is TrialState.PAUSED


def test_an_error_in_a_pool_reaches_the_caller(run: Study) -> None:
    def fail(executor: InMemoryExecutor) -> bool:
        executor.fail(Failed(0, RuntimeError("out of order")))
        return False

    with pytest.raises(RuntimeError, match="out of order"):
        run.go(has_to_stop=fail)


def test_the_trials_of_a_lost_worker_go_on_elsewhere(run: Study, tmp_path: Any) -> None:
    lost: list[int] = []

    def lose(executor: InMemoryExecutor) -> bool:
        if not lost and len(executor.trained) > 15:
            lost.append(1)
            executor.lose(1)
        return False

    run.go(has_to_stop=lose)
    calm = Study(tmp_path / "calm")
    calm.go()
    assert lost
    assert run.outcome == calm.outcome
    assert run.differences == 0


def test_a_study_without_workers_stops_and_goes_on_later(run: Study, tmp_path: Any) -> None:
    def lose_all(executor: InMemoryExecutor) -> bool:
        if len(executor.trained) == 15:
            executor.lose(0)
            executor.lose(1)
        return False

    with pytest.raises(HpoError, match=r"every worker is lost .*the machine is off"):
        run.go(has_to_stop=lose_all)
    assert run.journal.log[-1].kind == "stop"
    run.go()
    calm = Study(tmp_path / "calm")
    calm.go()
    assert run.outcome == calm.outcome


def test_trials_of_one_program_train_each_on_its_own_data(
    run: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial has data of its own name, and reports the name of the data that it saw."""
    usual = prepare

    def prepare_with_data(hparams: HParams, number: int) -> Work:
        return replace(usual(hparams, number), data=DataReference(TRAINING.data, str(number % 3)))

    def learn_data(
        program: Program, data: DataReference, put: Put, epoch: int, weight: float
    ) -> tuple[dict[str, float], float]:
        metrics, weight = learn(program, data, put, epoch, weight)
        return {**metrics, "seen": float(data.fingerprint)}, weight

    monkeypatch.setitem(globals(), "prepare", prepare_with_data)
    run.go(learns=learn_data)
    state = run.journal.state
    seen = {n: {metrics["seen"] for metrics in state.metrics[n]} for n in range(len(state))}
    assert seen == {n: {n % 3} for n in range(20)}
    assert len(state.pins) == 2, "a pin is of a program, whatever its data"


def test_the_log_records_which_results_the_sampler_saw(run: Study) -> None:
    run.go(pools=1, lanes=1)
    proposals = [event for event in run.journal.log if event.kind == "propose"]
    assert all(event.what.history_seq < event.seq for event in proposals)
    assert proposals[-1].what.history_seq > 0
