"""Trials of several seeds, on the driver's fakes and on the real engine."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.engine.pools.occupant import EpochReport
from hpo.engine.program import Program
from hpo.search.samplers.random import RandomSearch
from hpo.space import Dimension, Float, SearchSpace
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.executors.messages import DataReference, Put
from hpo.study.log.event_rows import from_rows, to_row
from hpo.study.log.events import (
    Checkpoint,
    Event,
    Promote,
    Propose,
    ReplicaReport,
    Report,
    StudyState,
)
from hpo.study.log.judging import Judging
from hpo.study.loop.replicas import (
    Replicas,
    deviation_of,
    final_reports,
    mean_of,
    training_of,
    worst_of,
)
from hpo.study.loop.rung_sizes import RungSizes
from hpo.trial import Job, Run, RunJob, TrialState
from tests.study.loop.test_driver import EPOCHS, TRAINING, Study

LOSS = Goal((Objective(minimize="loss"),))
SEEDS = 3
LOW = SearchSpace((Dimension("optimizer.learning_rate", Float(1e-3, 0.4)),))


def of_seeds(folder: Path, scheduler: str = "hyperband") -> Study:
    run = Study(folder, scheduler, trials=12)
    run.rules = replace(run.rules, replicas=Replicas(SEEDS))
    return run


def reported(order: list[tuple[int, int, float]]) -> StudyState:
    """Trial 0 after reports of (seed, epoch, loss), in this order."""
    replicas, state = Replicas(2), StudyState(LOSS)
    state.record(Propose({}, 0), 0, 0)
    for seed, epoch, loss in order:
        for what in replicas.taken_in(state, Run(0, seed), epoch, {"loss": loss}):
            state.record(what, 0, 0)
    return state


@given(st.randoms(use_true_random=False))
def test_a_trial_has_the_mean_of_its_replicas_whichever_reports_come_first(
    rng: random.Random,
) -> None:
    left = {0: [1.0, 2.0, 4.0], 1: [3.0, 5.0, 5.0]}
    order = []
    while left:
        run = rng.choice([*left])
        order.append((run, 4 - len(left[run]), left[run].pop(0)))
        left = {run: losses for run, losses in left.items() if losses}
    assert reported(order).trial(0).losses == (2.0, 3.5, 4.5)


def test_a_trial_diverges_once_its_other_replicas_have_caught_up() -> None:
    replicas = Replicas(2)
    begun = [(0, 1, 1.0), (0, 2, 1.0), (0, 3, np.nan)]
    assert not replicas.has_diverged(reported(begun), 0)
    assert not replicas.has_diverged(reported([*begun, (1, 1, 3.0)]), 0)
    there = reported([*begun, (1, 1, 3.0), (1, 2, 3.0)])
    assert replicas.has_diverged(there, 0)
    assert there.trial(0).losses == (2.0, 2.0)
    ahead = [(1, epoch, 3.0) for epoch in (1, 2, 3, 4)]
    assert reported([*ahead, *begun]).trial(0).losses == (2.0, 2.0)


def test_a_run_that_has_trained_enough_or_diverged_has_no_work() -> None:
    state = reported([(0, 1, 1.0), (0, 2, 1.0), (1, 1, 1.0)])
    first, second = Run(0, 0), Run(0, 1)

    def jobs(job: Job, state: StudyState = state) -> list[RunJob]:
        return Replicas(2).jobs_of_runs([job], state)

    assert jobs(Job(0, 2)) == [RunJob(second, 2)]
    assert jobs(Job(0, 3)) == [RunJob(first, 3), RunJob(second, 3)]
    assert jobs(Job(1, 1)) == [RunJob(Run(1, 0), 1), RunJob(Run(1, 1), 1)]
    lost = reported([(0, 1, np.nan)])
    assert jobs(Job(0, 3), lost) == [RunJob(second, 3)]


def test_the_reports_of_replicas_are_in_the_log() -> None:
    happenings = [
        ReplicaReport(1, Run(0, 1), {"loss": 0.5, "accuracy": float("nan")}),
        Checkpoint(1, "0.1-1.safetensors", "abc", Run(0, 1)),
        Report(1, {"loss": 0.5}),
    ]
    rows = [to_row(Event(n, 0, 0, what)) for n, what in enumerate(happenings, 1)]
    read = [event.what for event in from_rows(rows)]
    assert repr(read) == repr(happenings)


def test_a_run_is_the_training_of_its_own_seed() -> None:
    assert training_of(Run(7), TRAINING) == TRAINING
    assert training_of(Run(7, 2), TRAINING).train.seed == 2
    last = TRAINING.model_copy(
        update={"train": TRAINING.train.model_copy(update={"seed": 2**32 - 1})}
    )
    assert training_of(Run(7, 1), last).train.seed == 0


def test_means_and_deviations_are_by_metric() -> None:
    reports = [{"loss": 1.0, "r2": 0.5}, {"loss": 3.0, "r2": 0.5}]
    assert mean_of(reports) == {"loss": 2.0, "r2": 0.5}
    assert deviation_of(reports) == {"loss": 1.0, "r2": 0.0}


def test_the_worst_result_is_the_least_accuracy_and_the_largest_loss() -> None:
    reports = [{"loss": 1.0, "accuracy": 0.5}, {"loss": 3.0, "accuracy": 0.9}]
    assert worst_of(reports, {"accuracy"}) == {"loss": 3.0, "accuracy": 0.5}
    lost = worst_of([*reports, {"loss": np.nan, "accuracy": 1.0}], {"accuracy"})
    assert np.isnan(lost["loss"])
    worst = TRAINING.model_copy(
        update={"train": TRAINING.train.model_copy(update={"judged_by": "worst"})}
    )
    backwards = Goal((Objective(minimize="accuracy"), Objective(maximize="own")))
    for goal, expected in ((None, (0.5, 0)), (backwards, (0.9, -1))):
        judge = Replicas.of(worst, goal)
        assert judge.summary([{"accuracy": 0.5, "own": -1}, {"accuracy": 0.9, "own": 0}]) == dict(
            zip(("accuracy", "own"), expected, strict=True)
        )


def test_a_trial_has_a_run_for_each_seed_and_fold() -> None:
    runs = Replicas(2, 3).runs_of(12)
    assert [run.key for run in runs] == ["12", "12.0.1", "12.0.2", "12.1", "12.1.1", "12.1.2"]
    assert [Run.parse(run.key) for run in runs] == runs
    assert all(training_of(run, TRAINING).train.seed == run.seed for run in runs)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), moments=st.lists(st.integers(0, 60), max_size=3))
def test_a_study_of_folds_killed_at_any_moment_ends_like_one_never_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, moments: list[int]
) -> None:
    def of_folds(name: str) -> Study:
        run = Study(tmp_path_factory.mktemp(name), "hyperband", trials=6)
        run.rules = replace(run.rules, replicas=Replicas(2, 3, "worst", frozenset({"accuracy"})))
        return run

    calm, run = of_folds("calm"), of_folds("killed")
    calm.go()
    for moment in moments:
        run.go(seed, dies=lambda executor, moment=moment: len(executor.trained) >= moment)
    run.go(seed)
    assert (run.outcome, run.differences) == (calm.outcome, 0)
    complete = [t for t in run.journal.state.trials if t.state is TrialState.COMPLETE]
    for trial in complete:
        finals = final_reports(run.journal.state, trial.number, EPOCHS)
        assert len(finals) == 6
        assert -trial.losses[-1] == min(final["accuracy"] for final in finals)
    assert complete


@pytest.mark.parametrize("scheduler", ["none", "median", "halving", "asha", "hyperband"])
def test_a_study_of_several_seeds_ends_with_its_total_of_trials(
    tmp_path: Path, scheduler: str
) -> None:
    run = of_seeds(tmp_path, scheduler)
    trained = run.go().trained
    trials = run.journal.state.trials
    assert run.reason == "finished"
    assert len(trials) == 12
    assert all(trial.state.is_finished for trial in trials)
    assert any(trial.state is TrialState.COMPLETE for trial in trials)
    assert len(trained) == len(set(trained)), "no epoch is trained twice"
    for trial in trials:
        assert (trial.state is TrialState.COMPLETE) == (trial.epochs == EPOCHS)
        if trial.epochs:
            finals = final_reports(run.journal.state, trial.number, trial.epochs)
            assert len(finals) == SEEDS
            assert -trial.losses[-1] == mean_of(finals)["accuracy"]
            assert deviation_of(finals)["accuracy"] > 0


@pytest.mark.parametrize("scheduler", ["none", "hyperband"])
def test_the_order_of_results_does_not_matter_with_several_seeds(
    tmp_path: Path, scheduler: str
) -> None:
    outcomes = []
    for seed, pools, lanes in [(0, 1, 1), (1, 2, 3), (2, 3, 8)]:
        run = of_seeds(tmp_path / str(seed), scheduler)
        run.go(seed, pools, lanes)
        outcomes.append(run.outcome)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    if scheduler == "none":
        assert any(state is TrialState.DIVERGED and losses for _, state, losses in outcomes[0])


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), moments=st.lists(st.integers(0, 30), max_size=3))
def test_a_study_of_several_seeds_killed_at_any_moment_ends_like_one_never_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, moments: list[int]
) -> None:
    calm = of_seeds(tmp_path_factory.mktemp("calm"))
    calm.go()
    run = of_seeds(tmp_path_factory.mktemp("killed"))
    for moment in moments:
        run.go(seed, dies=lambda executor, moment=moment: len(executor.trained) >= moment)
    run.go(seed)
    assert run.outcome == calm.outcome
    assert run.differences == 0


def test_a_stop_loses_no_epoch_of_any_seed(tmp_path: Path) -> None:
    run = of_seeds(tmp_path)
    first = run.go(has_to_stop=lambda executor: len(executor.trained) > 25)
    assert run.reason == "interrupted"
    second = run.go()
    assert not set(first.trained) & set(second.trained)
    assert run.reason == "finished"


def _score(rate: float, share: float, epoch: int) -> float:
    """An accuracy for which the best rates on a small share are not the best on a larger one."""
    return float(np.cos(400 * rate * (1 + share / 2)) + 0.3 * share + epoch / 100)


def _on_a_share(
    program: Program, data: DataReference, put: Put, epoch: int, weight: float
) -> tuple[dict[str, float], float]:
    assert weight == epoch - 1, "a run on a share starts from the first weights"
    assert put.training.sampling.share == put.run.budget / EPOCHS
    if put.training.optimizer.learning_rate > 0.5 and put.run.budget == 3 and epoch == 5:
        return {"accuracy": 0.1, "loss": np.nan}, weight + 1
    score = _score(put.training.optimizer.learning_rate, put.run.budget / EPOCHS, epoch)
    return {"accuracy": score, "loss": 1.0}, weight + 1


def by_share(folder: Path, scheduler: str = "hyperband", seeds: int = 1, trials: int = 12) -> Study:
    run = Study(folder, scheduler, trials, Judging(EPOCHS))
    replicas = Replicas(seeds, share_epochs=EPOCHS)
    run.rules = replace(run.rules, replicas=replicas)
    return run


def _of_a_size(
    program: Program, data: DataReference, put: Put, epoch: int, weight: float
) -> tuple[dict[str, float], float]:
    assert weight == epoch - 1, "a run on images of another size starts from the first weights"
    size = None if put.run.budget == EPOCHS else {1: 3, 3: 5}[put.run.budget]  # 2.67, 4.62
    assert data.spec is not None
    sizes = put.training.data.image_size, data.spec.image_size, program.template.data.image_size
    assert sizes == (size, size, size)
    assert put.training.sampling.share == 1
    score = _score(put.training.optimizer.learning_rate, put.run.budget / EPOCHS, epoch)
    return {"accuracy": score, "loss": 1.0}, weight + 1


def by_size(folder: Path, seeds: int = 1) -> Study:
    run = by_share(folder, seeds=seeds)
    assert run.rules.replicas == Replicas(seeds, share_epochs=EPOCHS)
    run.rules = replace(run.rules, replicas=replace(run.rules.replicas, by_size=True))
    run.sizes = RungSizes(8, EPOCHS)
    return run


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 1000),
    moments=st.lists(st.integers(0, 60), max_size=3),
    seeds=st.integers(1, 2),
)
def test_a_study_on_sizes_of_images_killed_at_any_moment_ends_like_one_never_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, moments: list[int], seeds: int
) -> None:
    calm = by_size(tmp_path_factory.mktemp("calm"), seeds)
    trained = calm.go(learns=_of_a_size).trained
    assert len(trained) == len(set(trained)), "no epoch is trained twice"
    run = by_size(tmp_path_factory.mktemp("killed"), seeds)
    for moment in moments:
        run.go(
            seed,
            dies=lambda executor, moment=moment: len(executor.trained) >= moment,
            learns=_of_a_size,
        )
    run.go(seed, pools=1, learns=_of_a_size)
    assert (run.outcome, run.differences) == (calm.outcome, 0)
    for trial in run.journal.state.trials:
        assert trial.is_full == (trial.epochs == EPOCHS)


def test_rungs_that_are_shares_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    run = by_share(tmp_path, "halving", trials=9)
    run.rules = replace(run.rules, sampler=RandomSearch(LOW, 0))
    trained = run.go(learns=_on_a_share).trained
    trials = run.journal.state.trials
    rates = [float(trial.hparams["optimizer.learning_rate"]) for trial in trials]  # type: ignore[arg-type]
    alive, reached = list(range(9)), {}
    for budget, places in ((1, 3), (3, 1), (9, 0)):
        scores = {n: _score(rates[n], budget / EPOCHS, EPOCHS) for n in alive}
        reached |= dict.fromkeys(alive, budget)
        for number in alive:
            assert -trials[number].losses[budget - 1] == scores[number]
        alive = sorted(alive, key=lambda number: -scores[number])[:places]
    assert {trial.number: trial.epochs for trial in trials} == reached
    (full,) = [trial for trial in trials if trial.is_full]
    assert (full.epochs, full.number) == (EPOCHS, max(reached, key=lambda n: reached[n]))
    # After 2 of 9 epochs it had done 6 epochs on a third of the rows.
    rate = rates[full.number]
    curve = [(1 / 9, 9), (1 / 3, 6), (1 / 3, 9), *((1.0, epoch) for epoch in range(4, 10))]
    assert [-loss for loss in full.losses] == [_score(rate, *place) for place in curve]
    assert run.journal.state.epochs == 9 * 1 + 3 * 3 + 1 * 9
    steps = {
        (e.what.epoch, e.what.to_epoch) for e in run.journal.log if isinstance(e.what, Promote)
    }
    assert steps == {(1, 3), (3, 9)}
    assert len(trained) == len(set(trained)) == (9 + 3 + 1) * EPOCHS


@pytest.mark.parametrize("scheduler", ["halving", "asha", "hyperband"])
def test_a_study_on_shares_of_the_rows_ends_with_a_winner_trained_on_all(
    tmp_path: Path, scheduler: str
) -> None:
    run = by_share(tmp_path, scheduler, seeds=2, trials=20)
    trained = run.go(learns=_on_a_share).trained
    state = run.journal.state
    assert len(trained) == len(set(trained)), "no epoch is trained twice"
    assert {trial.state for trial in state.trials} >= {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in state.trials:
        assert trial.is_full == (trial.epochs == EPOCHS)
        if trial.epochs:
            finals = final_reports(state, trial.number, trial.epochs)
            assert len(finals) == 2
        if trial.state is not TrialState.DIVERGED:
            assert -trial.losses[-1] == mean_of(finals)["accuracy"]
    ends = {run.budget for run, epoch in trained if epoch == EPOCHS}
    assert ends == {1, 3, 9}


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1000),
    moments=st.lists(st.integers(0, 60), max_size=3),
    seeds=st.integers(1, 2),
)
def test_a_study_on_shares_killed_at_any_moment_ends_like_one_never_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, moments: list[int], seeds: int
) -> None:
    calm = by_share(tmp_path_factory.mktemp("calm"), seeds=seeds)
    calm.go(learns=_on_a_share)
    run = by_share(tmp_path_factory.mktemp("killed"), seeds=seeds)
    for moment in moments:
        run.go(
            seed,
            dies=lambda executor, moment=moment: len(executor.trained) >= moment,
            learns=_on_a_share,
        )
    run.go(seed, learns=_on_a_share)
    assert (run.outcome, run.differences) == (calm.outcome, 0)
    assert run.journal.state.epochs == calm.journal.state.epochs


def test_a_stop_loses_no_epoch_on_any_share(tmp_path: Path) -> None:
    run = by_share(tmp_path)
    first = run.go(has_to_stop=lambda e: len(e.trained) > 60, learns=_on_a_share)
    assert run.reason == "interrupted"
    second = run.go(learns=_on_a_share)
    assert not set(first.trained) & set(second.trained)
    assert run.reason == "finished"


def test_epochs_count_what_they_are_worth_and_not_where_a_run_diverged() -> None:
    losses = (0.5, 0.4, float("nan"))
    whole = [EpochReport(Run(0), 1, {"loss": loss}) for loss in losses]
    assert Replicas().epochs_of(whole, 3) == 2
    parts = [
        EpochReport(Run(0, budget=budget), 1, {"loss": loss})
        for budget, loss in zip((3, 9, 9), losses, strict=True)
    ]
    assert Replicas(share_epochs=9).epochs_of(parts, 3) == pytest.approx(3 / 9 + 1)


def test_a_run_on_a_part_is_over_after_its_last_epoch_and_any_with_its_trial() -> None:
    state = reported([(0, 1, 0.5)])
    assert not Replicas(2).is_over(state, Run(0, 0))
    assert Replicas(2).is_over(state, Run(1, 0))
    parts = Replicas(share_epochs=2)
    state = StudyState(LOSS, Judging(2))
    state.record(Propose({}, 0), 0, 0)
    run = Run(0, budget=1)
    for epoch in (1, 2):
        assert not parts.is_over(state, run)
        for what in parts.taken_in(state, run, epoch, {"loss": 0.5}):
            state.record(what, 0, 0)
    assert parts.is_over(state, run)
